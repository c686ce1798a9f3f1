from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ImageProblem(_message.Message):
    __slots__ = ("reason", "limit", "actual", "unit", "format")
    REASON_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    limit: int
    actual: int
    unit: str
    format: str
    def __init__(self, reason: _Optional[str] = ..., limit: _Optional[int] = ..., actual: _Optional[int] = ..., unit: _Optional[str] = ..., format: _Optional[str] = ...) -> None: ...

class MessageTooLarge(_message.Message):
    __slots__ = ("limit_bytes", "streaming_method")
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STREAMING_METHOD_FIELD_NUMBER: _ClassVar[int]
    limit_bytes: int
    streaming_method: str
    def __init__(self, limit_bytes: _Optional[int] = ..., streaming_method: _Optional[str] = ...) -> None: ...
