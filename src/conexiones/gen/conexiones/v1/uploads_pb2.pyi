import datetime

from conexiones.gen.conexiones.v1 import access_pb2 as _access_pb2
from conexiones.gen.conexiones.v1 import errors_pb2 as _errors_pb2
from conexiones.gen.conexiones.v1 import images_pb2 as _images_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Upload(_message.Message):
    __slots__ = ("id", "state", "committed_size", "size_bytes", "writer_epoch", "create_time", "update_time", "expire_time", "image", "failure", "user", "name", "owner")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Upload.State]
        STATE_OPEN: _ClassVar[Upload.State]
        STATE_READY: _ClassVar[Upload.State]
        STATE_REJECTED: _ClassVar[Upload.State]
        STATE_FAILED: _ClassVar[Upload.State]
        STATE_CANCELLED: _ClassVar[Upload.State]
        STATE_EXPIRED: _ClassVar[Upload.State]
    STATE_UNSPECIFIED: Upload.State
    STATE_OPEN: Upload.State
    STATE_READY: Upload.State
    STATE_REJECTED: Upload.State
    STATE_FAILED: Upload.State
    STATE_CANCELLED: Upload.State
    STATE_EXPIRED: Upload.State
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_SIZE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: Upload.State
    committed_size: int
    size_bytes: int
    writer_epoch: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    image: _images_pb2.Image
    failure: _errors_pb2.Failure
    user: str
    name: str
    owner: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[Upload.State, str]] = ..., committed_size: _Optional[int] = ..., size_bytes: _Optional[int] = ..., writer_epoch: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., image: _Optional[_Union[_images_pb2.Image, _Mapping]] = ..., failure: _Optional[_Union[_errors_pb2.Failure, _Mapping]] = ..., user: _Optional[str] = ..., name: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class GetLimitsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLimitsResponse(_message.Message):
    __slots__ = ("max_image_bytes", "max_pixels", "max_message_bytes", "max_chunk_bytes", "preferred_chunk_bytes", "idle_expiry", "total_expiry", "server_version", "server_time", "max_open_uploads", "max_open_bytes", "renditions", "access", "max_small_bytes")
    MAX_IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    IDLE_EXPIRY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_EXPIRY_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_OPEN_UPLOADS_FIELD_NUMBER: _ClassVar[int]
    MAX_OPEN_BYTES_FIELD_NUMBER: _ClassVar[int]
    RENDITIONS_FIELD_NUMBER: _ClassVar[int]
    ACCESS_FIELD_NUMBER: _ClassVar[int]
    MAX_SMALL_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_image_bytes: int
    max_pixels: int
    max_message_bytes: int
    max_chunk_bytes: int
    preferred_chunk_bytes: int
    idle_expiry: _duration_pb2.Duration
    total_expiry: _duration_pb2.Duration
    server_version: str
    server_time: _timestamp_pb2.Timestamp
    max_open_uploads: int
    max_open_bytes: int
    renditions: _images_pb2.RenditionLimits
    access: _access_pb2.Access
    max_small_bytes: int
    def __init__(self, max_image_bytes: _Optional[int] = ..., max_pixels: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_chunk_bytes: _Optional[int] = ..., preferred_chunk_bytes: _Optional[int] = ..., idle_expiry: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., total_expiry: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., server_version: _Optional[str] = ..., server_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_open_uploads: _Optional[int] = ..., max_open_bytes: _Optional[int] = ..., renditions: _Optional[_Union[_images_pb2.RenditionLimits, _Mapping]] = ..., access: _Optional[_Union[_access_pb2.Access, _Mapping]] = ..., max_small_bytes: _Optional[int] = ...) -> None: ...

class CreateUploadRequest(_message.Message):
    __slots__ = ("request_id", "user", "size_bytes", "name")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user: str
    size_bytes: int
    name: str
    def __init__(self, request_id: _Optional[str] = ..., user: _Optional[str] = ..., size_bytes: _Optional[int] = ..., name: _Optional[str] = ...) -> None: ...

class CreateUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class WriteChunkRequest(_message.Message):
    __slots__ = ("upload_id", "writer_epoch", "offset", "data", "crc32c")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    WRITER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    writer_epoch: int
    offset: int
    data: bytes
    crc32c: int
    def __init__(self, upload_id: _Optional[str] = ..., writer_epoch: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ...) -> None: ...

class WriteChunkResponse(_message.Message):
    __slots__ = ("committed_size", "writer_epoch")
    COMMITTED_SIZE_FIELD_NUMBER: _ClassVar[int]
    WRITER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    committed_size: int
    writer_epoch: int
    def __init__(self, committed_size: _Optional[int] = ..., writer_epoch: _Optional[int] = ...) -> None: ...

class WriteStreamRequest(_message.Message):
    __slots__ = ("upload_id", "offset", "data", "crc32c")
    UPLOAD_ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    upload_id: str
    offset: int
    data: bytes
    crc32c: int
    def __init__(self, upload_id: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ...) -> None: ...

class WriteStreamResponse(_message.Message):
    __slots__ = ("committed_size", "writer_epoch")
    COMMITTED_SIZE_FIELD_NUMBER: _ClassVar[int]
    WRITER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    committed_size: int
    writer_epoch: int
    def __init__(self, committed_size: _Optional[int] = ..., writer_epoch: _Optional[int] = ...) -> None: ...

class GetUploadRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class FinishUploadRequest(_message.Message):
    __slots__ = ("id", "size_bytes", "sha256")
    ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    id: str
    size_bytes: int
    sha256: bytes
    def __init__(self, id: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class FinishUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class CancelUploadRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelUploadResponse(_message.Message):
    __slots__ = ("upload",)
    UPLOAD_FIELD_NUMBER: _ClassVar[int]
    upload: Upload
    def __init__(self, upload: _Optional[_Union[Upload, _Mapping]] = ...) -> None: ...

class UploadImageRequest(_message.Message):
    __slots__ = ("request_id", "image", "user", "name", "sha256", "crc32c")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    image: bytes
    user: str
    name: str
    sha256: bytes
    crc32c: int
    def __init__(self, request_id: _Optional[str] = ..., image: _Optional[bytes] = ..., user: _Optional[str] = ..., name: _Optional[str] = ..., sha256: _Optional[bytes] = ..., crc32c: _Optional[int] = ...) -> None: ...

class UploadImageResponse(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: _images_pb2.Image
    def __init__(self, image: _Optional[_Union[_images_pb2.Image, _Mapping]] = ...) -> None: ...

class UploadImagesRequest(_message.Message):
    __slots__ = ("request_id", "image", "user", "name", "sha256", "crc32c")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    image: bytes
    user: str
    name: str
    sha256: bytes
    crc32c: int
    def __init__(self, request_id: _Optional[str] = ..., image: _Optional[bytes] = ..., user: _Optional[str] = ..., name: _Optional[str] = ..., sha256: _Optional[bytes] = ..., crc32c: _Optional[int] = ...) -> None: ...

class UploadImagesResponse(_message.Message):
    __slots__ = ("request_id", "image", "failure")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    image: _images_pb2.Image
    failure: _errors_pb2.Failure
    def __init__(self, request_id: _Optional[str] = ..., image: _Optional[_Union[_images_pb2.Image, _Mapping]] = ..., failure: _Optional[_Union[_errors_pb2.Failure, _Mapping]] = ...) -> None: ...

class CreateTicketRequest(_message.Message):
    __slots__ = ("ttl", "max_bytes", "max_images", "formats", "owner")
    TTL_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGES_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    ttl: _duration_pb2.Duration
    max_bytes: int
    max_images: int
    formats: _containers.RepeatedScalarFieldContainer[str]
    owner: str
    def __init__(self, ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_bytes: _Optional[int] = ..., max_images: _Optional[int] = ..., formats: _Optional[_Iterable[str]] = ..., owner: _Optional[str] = ...) -> None: ...

class CreateTicketResponse(_message.Message):
    __slots__ = ("id", "secret", "expire_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    secret: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., secret: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
