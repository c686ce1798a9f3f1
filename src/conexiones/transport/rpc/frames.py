"""Messages cut out of the body of a gRPC stream: each behind a byte of flags and four of its length.

Bytes come a MiB at a time, and each copy of them costs as much as the network: a message that is one field of
bytes, as those that carry images are, is not given to protobuf, which would copy it twice.
"""

import struct
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from conexiones import errors
from conexiones.transport.rpc.codecs import decoded

_HEAD = 5
_TAG = 1 << 3 | 2
"""Of field 1, of bytes (https://protobuf.dev/programming-guides/encoding)."""

_LONGEST = 6
"""Bytes before the content of a message's only field: its tag, and its length of up to 32 bits."""

_SHORT = struct.Struct(">BIBBB")
"""Flags, size, tag, and the one or two bytes of the length of a content of less than 16 KiB."""

_LONG = struct.Struct(">BIBBBB")
"""The same with three bytes of length: a content of 16 KiB or more, and less than 2 MiB."""

_GATHERED = 64 << 10
"""Bytes of short messages that are given as one piece: each alone would cost more than its bytes do."""


class Sole:
    """What stands for a message whose only field is of bytes: it has the field by its name.

    Of a message that comes in pieces there is one for each.
    """

    __slots__ = ("image",)

    def __init__(self, image: bytes | memoryview) -> None:
        self.image = image


class Frames:
    """The messages of one body. With `pieces`, those of one field of bytes are given as their bytes come, the
    long in parts and the short together, in memoryviews that hold all that came with them."""

    def __init__(self, message: type[Message], *, pieces: bool, too_large: Mapping[str, Any]) -> None:
        self._message = message
        self._sole = [field.name for field in message.DESCRIPTOR.fields] == list(Sole.__slots__)
        self._pieces = pieces and self._sole
        self._too_large = too_large
        self._data = memoryview(b"")
        self._at = 0
        self._begun = bytearray()  # of a message that data before had the beginning of
        self._left = 0  # bytes of a message that is given in pieces

    def feed(self, data: bytes) -> None:
        """What comes next, when `next` has given all that came before."""
        self._data, self._at = memoryview(data), 0

    def next(self) -> Any:
        """The next message that is there, or piece; None if more has to come. Raises MessageTooLarge,
        MalformedRequest, MalformedMessage, InvalidUtf8."""
        if self._left:
            return self._piece()
        if self._begun:
            return self._complete()
        if self._pieces:
            whole = self._long() or self._gather()
            if whole:
                return Sole(whole)
        here = len(self._data) - self._at
        if here >= _HEAD:
            size = self._size(self._data[self._at : self._at + _HEAD])
            if here >= _HEAD + size:
                return self._decoded(self._take(_HEAD + size)[_HEAD:])
            if self._pieces and (content := self._content(size)):
                self._left = content
                return self._piece()
        self._begun += self._take(here)
        return None

    def _long(self) -> memoryview | None:
        """The content of the next message if that is a long one, and whole: as below, with one look at it."""
        data, at = self._data, self._at
        if len(data) - at < _LONG.size:
            return None
        flags, size, tag, low, middle, high = _LONG.unpack_from(data, at)
        begin = at + _LONG.size
        content = low & 0x7F | (middle & 0x7F) << 7 | high << 14
        end = begin + content
        if flags or tag != _TAG or not (low >= 0x80 <= middle and 0 < high < 0x80) or end > len(data):
            return None
        if size != content + 4 or size > self._too_large["limit"]:
            return None
        self._take(end - at)
        return data[begin:end]

    def _gather(self) -> bytes:
        """The contents of the short messages that are next and whole, as one."""
        data, at, parts = self._data, self._at, []
        last = min(len(data), at + _GATHERED) - _HEAD - _LONGEST
        while at <= last:
            flags, size, tag, low, high = _SHORT.unpack_from(data, at)
            begin, content = (7, low) if low < 0x80 else (8, low & 0x7F | high << 7)
            end = at + _HEAD + size
            if flags or tag != _TAG or high >= 0x80 <= low or at + begin + content != end or end > len(data):
                break
            parts.append(data[at + begin : end])
            at = end
        if len(parts) < 2:
            return b""
        gathered = b"".join(parts)
        self._take(at - self._at)
        return gathered

    def end(self) -> None:
        """Raises MalformedRequest if the body has ended within a message."""
        if self._begun or self._left:
            raise errors.MalformedRequest

    def _size(self, head: bytes | bytearray | memoryview) -> int:
        if head[0]:  # flags: of a compressed message, which would need grpc-encoding
            raise errors.MalformedRequest
        size = int.from_bytes(head[1:_HEAD])
        if size > self._too_large["limit"]:
            raise errors.MessageTooLarge(**self._too_large)
        return size

    def _take(self, size: int) -> memoryview:
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        if self._at == len(self._data):
            self._data, self._at = memoryview(b""), 0  # who waits for more holds none of it
        return taken

    def _complete(self) -> Any:
        """The message that was begun."""
        self._begun += self._take(_HEAD - len(self._begun)) if len(self._begun) < _HEAD else b""
        if len(self._begun) < _HEAD:
            return None
        size = self._size(self._begun)
        self._begun += self._take(_HEAD + size - len(self._begun))
        if len(self._begun) < _HEAD + size:
            return None
        whole, self._begun = self._begun, bytearray()
        return self._decoded(memoryview(whole)[_HEAD:])

    def _content(self, size: int) -> int:
        """Moves to the content of a message that is begun here, and gives its length; 0 if that cannot be
        seen, or there is more to the message."""
        begin = self._at + _HEAD
        before, content = _sole(self._data[begin : begin + _LONGEST])
        if not content or before + content != size:
            return 0
        self._at = begin + before
        return content

    def _piece(self) -> Sole | None:
        piece = self._take(self._left)
        self._left -= len(piece)
        return Sole(piece) if piece else None

    def _decoded(self, data: memoryview) -> Any:
        if self._sole:
            before, content = _sole(data[:_LONGEST])
            if content and before + content == len(data):
                return Sole(data[before:] if self._pieces else bytes(data[before:]))
        return decoded(bytes(data), self._message)


def _sole(data: memoryview) -> tuple[int, int]:
    """Of a message that begins with field 1, of bytes: the bytes before its content, and those of it; else
    zeros."""
    if not data or data[0] != _TAG:
        return 0, 0
    length = 0
    for index, byte in enumerate(data[1:]):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return index + 2, length
    return 0, 0
