import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Image(_message.Message):
    __slots__ = ("id", "format", "width", "height", "frames", "pixels", "size_bytes", "sha256", "create_time", "user", "etag", "content_type", "facts", "name", "owner")
    ID_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    id: str
    format: str
    width: int
    height: int
    frames: int
    pixels: int
    size_bytes: int
    sha256: bytes
    create_time: _timestamp_pb2.Timestamp
    user: str
    etag: str
    content_type: str
    facts: Facts
    name: str
    owner: str
    def __init__(self, id: _Optional[str] = ..., format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frames: _Optional[int] = ..., pixels: _Optional[int] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., user: _Optional[str] = ..., etag: _Optional[str] = ..., content_type: _Optional[str] = ..., facts: _Optional[_Union[Facts, _Mapping]] = ..., name: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class Facts(_message.Message):
    __slots__ = ("problem", "color_space", "bits_per_sample", "has_alpha", "dominant_color", "blur_hash")
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    COLOR_SPACE_FIELD_NUMBER: _ClassVar[int]
    BITS_PER_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    HAS_ALPHA_FIELD_NUMBER: _ClassVar[int]
    DOMINANT_COLOR_FIELD_NUMBER: _ClassVar[int]
    BLUR_HASH_FIELD_NUMBER: _ClassVar[int]
    problem: str
    color_space: str
    bits_per_sample: int
    has_alpha: bool
    dominant_color: str
    blur_hash: str
    def __init__(self, problem: _Optional[str] = ..., color_space: _Optional[str] = ..., bits_per_sample: _Optional[int] = ..., has_alpha: _Optional[bool] = ..., dominant_color: _Optional[str] = ..., blur_hash: _Optional[str] = ...) -> None: ...

class Rendition(_message.Message):
    __slots__ = ("width", "height", "fit", "format", "quality", "animated", "keep_profile")
    class Fit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FIT_UNSPECIFIED: _ClassVar[Rendition.Fit]
        FIT_INSIDE: _ClassVar[Rendition.Fit]
        FIT_COVER: _ClassVar[Rendition.Fit]
        FIT_CONTAIN: _ClassVar[Rendition.Fit]
    FIT_UNSPECIFIED: Rendition.Fit
    FIT_INSIDE: Rendition.Fit
    FIT_COVER: Rendition.Fit
    FIT_CONTAIN: Rendition.Fit
    class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FORMAT_UNSPECIFIED: _ClassVar[Rendition.Format]
        FORMAT_JPEG: _ClassVar[Rendition.Format]
        FORMAT_PNG: _ClassVar[Rendition.Format]
        FORMAT_WEBP: _ClassVar[Rendition.Format]
        FORMAT_AVIF: _ClassVar[Rendition.Format]
    FORMAT_UNSPECIFIED: Rendition.Format
    FORMAT_JPEG: Rendition.Format
    FORMAT_PNG: Rendition.Format
    FORMAT_WEBP: Rendition.Format
    FORMAT_AVIF: Rendition.Format
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    ANIMATED_FIELD_NUMBER: _ClassVar[int]
    KEEP_PROFILE_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    fit: Rendition.Fit
    format: Rendition.Format
    quality: int
    animated: bool
    keep_profile: bool
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., fit: _Optional[_Union[Rendition.Fit, str]] = ..., format: _Optional[_Union[Rendition.Format, str]] = ..., quality: _Optional[int] = ..., animated: _Optional[bool] = ..., keep_profile: _Optional[bool] = ...) -> None: ...

class RenditionInfo(_message.Message):
    __slots__ = ("format", "width", "height", "frames", "size_bytes", "sha256", "etag", "content_type")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    format: str
    width: int
    height: int
    frames: int
    size_bytes: int
    sha256: bytes
    etag: str
    content_type: str
    def __init__(self, format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frames: _Optional[int] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[bytes] = ..., etag: _Optional[str] = ..., content_type: _Optional[str] = ...) -> None: ...

class RenditionLimits(_message.Message):
    __slots__ = ("max_side", "max_pixels", "max_quality", "max_seconds", "formats")
    MAX_SIDE_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_QUALITY_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FORMATS_FIELD_NUMBER: _ClassVar[int]
    max_side: int
    max_pixels: int
    max_quality: int
    max_seconds: float
    formats: _containers.RepeatedScalarFieldContainer[Rendition.Format]
    def __init__(self, max_side: _Optional[int] = ..., max_pixels: _Optional[int] = ..., max_quality: _Optional[int] = ..., max_seconds: _Optional[float] = ..., formats: _Optional[_Iterable[_Union[Rendition.Format, str]]] = ...) -> None: ...

class GetImageRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetImageResponse(_message.Message):
    __slots__ = ("image",)
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    image: Image
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class ListImagesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "user", "start_time", "end_time", "name", "sha256", "owner")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    user: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    name: str
    sha256: _containers.RepeatedScalarFieldContainer[bytes]
    owner: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., user: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., name: _Optional[str] = ..., sha256: _Optional[_Iterable[bytes]] = ..., owner: _Optional[str] = ...) -> None: ...

class ListImagesResponse(_message.Message):
    __slots__ = ("images", "next_page_token")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    next_page_token: str
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteImageRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteImageResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DownloadImageRequest(_message.Message):
    __slots__ = ("id", "offset", "limit", "if_etag", "rendition")
    ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    IF_ETAG_FIELD_NUMBER: _ClassVar[int]
    RENDITION_FIELD_NUMBER: _ClassVar[int]
    id: str
    offset: int
    limit: int
    if_etag: str
    rendition: Rendition
    def __init__(self, id: _Optional[str] = ..., offset: _Optional[int] = ..., limit: _Optional[int] = ..., if_etag: _Optional[str] = ..., rendition: _Optional[_Union[Rendition, _Mapping]] = ...) -> None: ...

class DownloadImageResponse(_message.Message):
    __slots__ = ("image", "offset", "data", "crc32c", "rendition")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CRC32C_FIELD_NUMBER: _ClassVar[int]
    RENDITION_FIELD_NUMBER: _ClassVar[int]
    image: Image
    offset: int
    data: bytes
    crc32c: int
    rendition: RenditionInfo
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., crc32c: _Optional[int] = ..., rendition: _Optional[_Union[RenditionInfo, _Mapping]] = ...) -> None: ...

class WatchImagesRequest(_message.Message):
    __slots__ = ("resume_token", "user", "owner", "max_events")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    MAX_EVENTS_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    user: str
    owner: str
    max_events: int
    def __init__(self, resume_token: _Optional[str] = ..., user: _Optional[str] = ..., owner: _Optional[str] = ..., max_events: _Optional[int] = ...) -> None: ...

class WatchImagesResponse(_message.Message):
    __slots__ = ("resume_token", "stored", "deleted_id", "heartbeat", "resync", "described", "events")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    DELETED_ID_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    DESCRIBED_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    stored: Image
    deleted_id: str
    heartbeat: Heartbeat
    resync: Resync
    described: Image
    events: Events
    def __init__(self, resume_token: _Optional[str] = ..., stored: _Optional[_Union[Image, _Mapping]] = ..., deleted_id: _Optional[str] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., resync: _Optional[_Union[Resync, _Mapping]] = ..., described: _Optional[_Union[Image, _Mapping]] = ..., events: _Optional[_Union[Events, _Mapping]] = ...) -> None: ...

class Events(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("stored", "deleted_id", "described", "resume_token")
    STORED_FIELD_NUMBER: _ClassVar[int]
    DELETED_ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIBED_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    stored: Image
    deleted_id: str
    described: Image
    resume_token: str
    def __init__(self, stored: _Optional[_Union[Image, _Mapping]] = ..., deleted_id: _Optional[str] = ..., described: _Optional[_Union[Image, _Mapping]] = ..., resume_token: _Optional[str] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Resync(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SignImageUrlRequest(_message.Message):
    __slots__ = ("id", "rendition", "download", "ttl")
    ID_FIELD_NUMBER: _ClassVar[int]
    RENDITION_FIELD_NUMBER: _ClassVar[int]
    DOWNLOAD_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    id: str
    rendition: Rendition
    download: bool
    ttl: _duration_pb2.Duration
    def __init__(self, id: _Optional[str] = ..., rendition: _Optional[_Union[Rendition, _Mapping]] = ..., download: _Optional[bool] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SignImageUrlResponse(_message.Message):
    __slots__ = ("path", "expire_time")
    PATH_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    path: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, path: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
