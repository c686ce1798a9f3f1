import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetUserRequest(_message.Message):
    __slots__ = ("name", "pow", "image")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POW_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    pow: int
    image: bytes
    def __init__(self, name: _Optional[str] = ..., pow: _Optional[int] = ..., image: _Optional[bytes] = ...) -> None: ...

class GetUserReply(_message.Message):
    __slots__ = ("message", "user", "image_info")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INFO_FIELD_NUMBER: _ClassVar[int]
    message: str
    user: User
    image_info: ImageInfo
    def __init__(self, message: _Optional[str] = ..., user: _Optional[_Union[User, _Mapping]] = ..., image_info: _Optional[_Union[ImageInfo, _Mapping]] = ...) -> None: ...

class GetImage(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: bytes
    def __init__(self, image: _Optional[bytes] = ...) -> None: ...

class GetImageReply(_message.Message):
    __slots__ = ("message", "image_info", "error")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INFO_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    message: str
    image_info: ImageInfo
    error: Error
    def __init__(self, message: _Optional[str] = ..., image_info: _Optional[_Union[ImageInfo, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ...) -> None: ...

class GetAllReply(_message.Message):
    __slots__ = ("name", "pow", "image", "user", "image_info", "errors", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POW_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INFO_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    pow: int
    image: bytes
    user: User
    image_info: ImageInfo
    errors: _containers.RepeatedCompositeFieldContainer[Error]
    message: str
    def __init__(self, name: _Optional[str] = ..., pow: _Optional[int] = ..., image: _Optional[bytes] = ..., user: _Optional[_Union[User, _Mapping]] = ..., image_info: _Optional[_Union[ImageInfo, _Mapping]] = ..., errors: _Optional[_Iterable[_Union[Error, _Mapping]]] = ..., message: _Optional[str] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("name", "pow", "pow_squared", "image_id", "create_time", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    POW_FIELD_NUMBER: _ClassVar[int]
    POW_SQUARED_FIELD_NUMBER: _ClassVar[int]
    IMAGE_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    pow: int
    pow_squared: int
    image_id: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., pow: _Optional[int] = ..., pow_squared: _Optional[int] = ..., image_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ImageInfo(_message.Message):
    __slots__ = ("id", "format", "width", "height", "frames", "pixels", "size_bytes", "sha256", "create_time", "color_space", "dominant_color", "blur_hash")
    ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    COLOR_SPACE_FIELD_NUMBER: _ClassVar[int]
    DOMINANT_COLOR_FIELD_NUMBER: _ClassVar[int]
    BLUR_HASH_FIELD_NUMBER: _ClassVar[int]
    id: str
    format: str
    width: int
    height: int
    frames: int
    pixels: int
    size_bytes: int
    sha256: bytes
    create_time: _timestamp_pb2.Timestamp
    color_space: str
    dominant_color: str
    blur_hash: str
    def __init__(self, id: _Optional[str] = ..., format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frames: _Optional[int] = ..., pixels: _Optional[int] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., color_space: _Optional[str] = ..., dominant_color: _Optional[str] = ..., blur_hash: _Optional[str] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "reason", "message", "details", "mensaje", "field", "facts", "retry_delay", "image_problem")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class ImageProblem(_message.Message):
        __slots__ = ("limit", "actual", "unit", "format")
        LIMIT_FIELD_NUMBER: _ClassVar[int]
        ACTUAL_FIELD_NUMBER: _ClassVar[int]
        UNIT_FIELD_NUMBER: _ClassVar[int]
        FORMAT_FIELD_NUMBER: _ClassVar[int]
        limit: int
        actual: int
        unit: str
        format: str
        def __init__(self, limit: _Optional[int] = ..., actual: _Optional[int] = ..., unit: _Optional[str] = ..., format: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    MENSAJE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    mensaje: str
    field: str
    facts: _containers.ScalarMap[str, str]
    retry_delay: _duration_pb2.Duration
    image_problem: Error.ImageProblem
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., mensaje: _Optional[str] = ..., field: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., image_problem: _Optional[_Union[Error.ImageProblem, _Mapping]] = ...) -> None: ...
