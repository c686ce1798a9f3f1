import datetime

from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

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

class OffsetMismatch(_message.Message):
    __slots__ = ("expected_offset", "actual_offset")
    EXPECTED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_OFFSET_FIELD_NUMBER: _ClassVar[int]
    expected_offset: int
    actual_offset: int
    def __init__(self, expected_offset: _Optional[int] = ..., actual_offset: _Optional[int] = ...) -> None: ...

class WriterFenced(_message.Message):
    __slots__ = ("writer_epoch",)
    WRITER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    writer_epoch: int
    def __init__(self, writer_epoch: _Optional[int] = ...) -> None: ...

class ChecksumMismatch(_message.Message):
    __slots__ = ("algorithm", "expected", "actual")
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    algorithm: str
    expected: bytes
    actual: bytes
    def __init__(self, algorithm: _Optional[str] = ..., expected: _Optional[bytes] = ..., actual: _Optional[bytes] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "reason", "message", "details", "mensaje", "field", "facts", "retry_delay", "image_problem", "checksum_mismatch")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    MENSAJE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_MISMATCH_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    mensaje: str
    field: str
    facts: _containers.ScalarMap[str, str]
    retry_delay: _duration_pb2.Duration
    image_problem: ImageProblem
    checksum_mismatch: ChecksumMismatch
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ..., mensaje: _Optional[str] = ..., field: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ..., retry_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., image_problem: _Optional[_Union[ImageProblem, _Mapping]] = ..., checksum_mismatch: _Optional[_Union[ChecksumMismatch, _Mapping]] = ...) -> None: ...
