import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "start_time", "image_count", "image_bytes", "user_count", "open_upload_count", "build", "schema_version", "verification")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    USER_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_UPLOAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    version: str
    start_time: _timestamp_pb2.Timestamp
    image_count: int
    image_bytes: int
    user_count: int
    open_upload_count: int
    build: str
    schema_version: int
    verification: Verification
    def __init__(self, version: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., image_count: _Optional[int] = ..., image_bytes: _Optional[int] = ..., user_count: _Optional[int] = ..., open_upload_count: _Optional[int] = ..., build: _Optional[str] = ..., schema_version: _Optional[int] = ..., verification: _Optional[_Union[Verification, _Mapping]] = ...) -> None: ...

class Verification(_message.Message):
    __slots__ = ("begin_time", "image_count", "image_bytes", "last_finish_time", "last_image_count", "last_image_bytes", "damaged_image_count")
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_FINISH_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DAMAGED_IMAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    begin_time: _timestamp_pb2.Timestamp
    image_count: int
    image_bytes: int
    last_finish_time: _timestamp_pb2.Timestamp
    last_image_count: int
    last_image_bytes: int
    damaged_image_count: int
    def __init__(self, begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., image_count: _Optional[int] = ..., image_bytes: _Optional[int] = ..., last_finish_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_image_count: _Optional[int] = ..., last_image_bytes: _Optional[int] = ..., damaged_image_count: _Optional[int] = ...) -> None: ...
