"""Messages with a large field of bytes, which is carried beside the message and never copied.

A library would copy it two to six times, while every other call stands still. Here it is cut out of the
message, and the library reads the rest, which is short.
"""

import binascii
import re
import secrets
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

LEAST = 16 << 10
"""Bytes from which a payload is worth to be carried."""

MOST_REST = 64 << 10
"""The most bytes of a message besides its payload. Reading them takes all other calls' time: two
milliseconds, where each two bytes are an element of a list."""

MOST_SINGLE = 1 << 20
"""The same of a message without lists, in either format."""

MOST_JSON_REST = 128 << 10
"""The same in JSON, whose numbers and bytes are longer."""

_FIELDS = 16
"""Fields of a message up to which its payload is looked for."""

_SHORT = frozenset({"sha256"})
"""Names of fields of bytes that are never long."""

_VARINT, _BYTES = 0, 2
_FIXED = (0, 8, 0, 0, 0, 4)
"""Bytes of the values of wire types that are always as long."""

_VARINT_BYTES = 10

_PIECE = 256 << 10
"""Characters of base64 that are decoded at a time; other threads run between two pieces."""

_CODES = {b"/": (b"2f", b"2F"), b"+": (b"2b", b"2B"), b"=": (b"3d", b"3D")}
_BACKSLASH = re.compile(rb"\\")
_QUOTE = re.compile(rb'"')
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_ESCAPED = ((rb"\/", b"/"), *((rb"\u00" + code, char) for char, codes in _CODES.items() for code in codes))
"""What libraries of JSON escape in base64: PHP's the slash, .NET's the plus, Gson the equals sign."""

_MARK_BYTES = 12  # whose base64 needs no padding


@dataclass(frozen=True, slots=True)
class Payload:
    """The one field of bytes of a class of messages that may be long."""

    name: str
    number: int
    json: re.Pattern[bytes]
    """What is before its content in JSON."""

    @classmethod
    def of(cls, descriptor: Any) -> "Payload | None":
        """By the descriptor of the class. None if it has no such field, or several."""
        found = [
            field
            for field in descriptor.fields
            if field.type == FieldDescriptor.TYPE_BYTES and field.name not in _SHORT
        ]
        if len(found) != 1 or found[0].is_repeated or found[0].containing_oneof:
            return None
        return cls(found[0].name, found[0].number, re.compile(rb'"%b"\s*:\s*"' % found[0].json_name.encode()))


class Carried:
    """Stands for a message: it has all of its fields, and its payload is `content`."""

    __slots__ = ("_content", "_message", "_name")

    def __init__(self, message: Message, payload: Payload, content: bytearray | memoryview) -> None:
        self._message = message
        self._name = payload.name
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return self._content if name == self._name else getattr(self._message, name)

    def whole(self) -> Message:
        """The message with a copy of the payload in it."""
        message = type(self._message).FromString(self._message.SerializeToString())
        setattr(message, self._name, bytes(self._content))
        return message

    def ClearField(self, name: str) -> None:  # noqa: N802 (as in protobuf)
        """As that of a message: the payload is no longer held."""
        if name == self._name:
            self._content = memoryview(b"")
        else:
            self._message.ClearField(name)


def cut_protobuf(data: memoryview, payload: Payload) -> tuple[bytes, memoryview] | None:
    """The rest of a message in protobuf, and its payload. None if it has no large one, or is not understood.
    The payload is a view of `data`."""
    content: memoryview | None = None
    rest: list[memoryview] = []
    at = kept = 0
    for _ in range(_FIELDS):
        if at == len(data):
            break
        try:
            number, begin, end = _field(data, at)
        except IndexError:
            return None
        if number == payload.number:
            content = data[begin:end]  # of several, the last one counts
            rest.append(data[kept:at])
            kept = end
        at = end
    if at != len(data) or content is None or len(content) < LEAST:
        return None
    return b"".join((*rest, data[kept:])), content


def _field(data: memoryview, at: int) -> tuple[int, int, int]:
    """The number of the field at that position if it is one of bytes, else 0; where its value begins, and
    where it ends. Raises IndexError if that cannot be said
    (https://protobuf.dev/programming-guides/encoding)."""
    tag, at = _varint(data, at)
    wire = tag & 7
    if wire == _BYTES:
        size, at = _varint(data, at)
        if at + size > len(data):
            raise IndexError(size)
        return tag >> 3, at, at + size
    if wire == _VARINT:
        return 0, at, _varint(data, at)[1]
    if not (wire < len(_FIXED) and _FIXED[wire]):
        raise IndexError(wire)
    return 0, at, at + _FIXED[wire]


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number, and the position after it. Raises IndexError."""
    value = 0
    for place in range(_VARINT_BYTES):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError(at)


@dataclass(frozen=True, slots=True)
class CutJson:
    """The rest of a message in JSON, with `mark`, in base64, in the place of the payload; and where the
    payload is. Only if the message read from the rest has the mark as its payload was that the right
    place."""

    rest: bytes
    mark: bytes
    begin: int
    end: int


def cut_json(data: memoryview, payload: Payload) -> CutJson | None:
    """None if the message has no large payload, or is not understood."""
    at = 0
    for _ in range(_FIELDS):
        begin = payload.json.search(data, at)
        if begin is None:
            return None
        end = _QUOTE.search(data, begin.end())
        if end is None:
            return None
        if end.start() - begin.end() >= LEAST:
            mark = secrets.token_bytes(_MARK_BYTES)
            text = binascii.b2a_base64(mark, newline=False)
            rest = b"".join((data[: begin.end()], text, data[end.start() :]))
            return CutJson(rest, mark, begin.end(), end.start())
        at = end.end()
    return None


def from_base64(text: memoryview) -> bytearray | None:
    """The bytes of base64, standard or URL-safe, padded or not, as it stands in JSON. None if it is not
    base64. To be called in a thread if the text is long."""
    found = bytearray()
    if (whole := _unescaped(text)) is not None:
        text = memoryview(whole)
    for begin in range(0, len(text), _PIECE):
        piece = bytes(text[begin : begin + _PIECE]).translate(_URL_SAFE)
        if begin + _PIECE >= len(text):
            piece += b"=" * (-len(piece) % 4)
        try:
            found += binascii.a2b_base64(piece, strict_mode=True)
        except binascii.Error:
            return None
    return found


def _unescaped(text: memoryview) -> bytes | None:
    """The text without escapes; None if it has none."""
    if not _BACKSLASH.search(text):
        return None
    found = bytes(text)
    for escape, char in _ESCAPED:
        found = found.replace(escape, char)
    return found
