"""Makes the messages of requests, so that a value that a field cannot have is refused here, with its name."""

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from conexiones.errors import InvalidField

M = TypeVar("M", bound=Message)

MOST_BYTES = (2 << 30) - (1 << 20)
"""A message has less than 2 GiB. With more, gRPC would send an empty one."""

SHA256_BYTES = 32

_TAKES = {
    FieldDescriptor.CPPTYPE_INT32: f"{-(2**31)} to {2**31 - 1}",
    FieldDescriptor.CPPTYPE_INT64: f"{-(2**63)} to {2**63 - 1}",
    FieldDescriptor.CPPTYPE_STRING: "text in UTF-8",
}


def made(kind: type[M], **fields: Any) -> M:
    """The message with these fields; None leaves one out. Raises InvalidField."""
    for name, value in fields.items():
        if isinstance(value, bytes) and len(value) > MOST_BYTES:
            raise InvalidField(field=name, takes="less than 2 GiB")
    try:
        return kind(**fields)
    except (ValueError, TypeError) as error:
        for name, value in fields.items():
            if not _fits(kind, name, value):
                raise InvalidField(field=name, takes=_takes(kind, name)) from error
        raise


def identified(kind: type[M], id: str) -> M:
    """The message with this id, which cannot be None. Raises InvalidField."""
    return made(kind, id=text("id", id))


def text(field: str, value: str) -> str:
    """Raises InvalidField for what is no text, such as None."""
    if not isinstance(value, str):
        raise InvalidField(field=field, takes=_TAKES[FieldDescriptor.CPPTYPE_STRING])
    return value


def digest(value: bytes | str | None) -> bytes | None:
    """A SHA-256, which may be in hexadecimal. Raises InvalidField."""
    if value is None:
        return None
    try:
        found = bytes.fromhex(value) if isinstance(value, str) else bytes(memoryview(value))
    except (ValueError, TypeError):
        found = b""
    if len(found) != SHA256_BYTES:
        raise InvalidField(field="sha256", takes="a SHA-256 of 32 bytes or 64 hexadecimal digits")
    return found


def _fits(kind: type[Message], name: str, value: object) -> bool:
    try:
        kind(**{name: value})
    except (ValueError, TypeError):
        return False
    return True


def _takes(kind: type[Message], name: str) -> str:
    field = kind.DESCRIPTOR.fields_by_name[name]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes"
    return _TAKES.get(field.cpp_type, "another type")
