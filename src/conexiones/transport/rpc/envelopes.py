"""Messages in envelopes, as in gRPC and Connect streams: before each are a byte of flags and four of its
length.

Bytes come a MiB at a time, and each copy of them costs as much as the network. So a message with one field of
bytes and no other, such as those that carry images, is not given to protobuf, which would copy it twice.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from conexiones.errors import MalformedRequest, MessageTooLarge, UndeclaredCompression
from conexiones.transport.rpc.codecs import PROTOBUF, Codec, Data
from conexiones.transport.rpc.gathered import Gathered
from conexiones.transport.rpc.payloads import Carried, Payload

COMPRESSED: Final = 1
"""The flag of a message that is compressed."""

_HEAD = 5
"""Bytes before a message: its flags and its length."""

_TAG = 1 << 3 | 2
"""The tag of field 1 as a field of bytes (https://protobuf.dev/programming-guides/encoding)."""

_LONGEST = 6
"""Bytes before the content of a message's only field: its tag, and its length of up to 32 bits."""

_SHORT = struct.Struct(">BIBBB")
"""Flags, size, tag, and the one or two bytes of the length of a content of less than 16 KiB."""

_LONG = struct.Struct(">BIBBBB")
"""The same with three bytes of length: a content of 16 KiB or more, and less than 2 MiB."""

SHORT = 256 << 10
"""A message that is shorter than so many bytes may be copied, and decoded on the event loop."""

_GATHERED = 64 << 10
"""Up to so many bytes of short messages are given as one piece, as each piece has a cost of its own."""


class Sole:
    """Stands for a message whose only field is `image`, of bytes.

    If a message is given in pieces, there is one for each piece.
    """

    __slots__ = ("image",)

    def __init__(self, image: bytes | memoryview) -> None:
        self.image = image


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A message that takes long to decode: it is long, or still compressed."""

    data: Data
    is_compressed: bool


Found = Message | Sole | Carried | Undecoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """The requests of one method: their class, the most bytes of one, and the method that takes larger
    images, for the error.

    With `pieces`, messages of which a Sole can stand are given as their bytes come: a long one in pieces,
    short ones together. The pieces are memoryviews, which keep in memory all bytes that came with them.
    """

    message: type[Message]
    max_bytes: int
    streaming_method: str
    pieces: bool = False
    sole: bool = False
    """Whether a Sole can stand for a message of the class."""
    payload: Payload | None = None

    @classmethod
    def of(cls, message: type[Message], *, max_bytes: int, streaming_method: str, pieces: bool) -> "Requests":
        sole = [field.name for field in message.DESCRIPTOR.fields] == list(Sole.__slots__)
        return cls(
            message=message,
            max_bytes=max_bytes,
            streaming_method=streaming_method,
            pieces=pieces and sole,
            sole=sole,
            payload=Payload.of(message.DESCRIPTOR),
        )

    def too_large(self) -> MessageTooLarge:
        return MessageTooLarge(limit=self.max_bytes, streaming_method=self.streaming_method)


def envelope(parts: Sequence[bytes], flags: int = 0) -> bytes:
    """A message, in parts that follow one another, in its envelope."""
    return b"".join((bytes((flags,)), sum(map(len, parts)).to_bytes(4), *parts))


def whole(body: bytes, requests: Requests) -> bytes | None:
    """The message of a body that is one envelope and nothing else, and not compressed; else None."""
    size = len(body) - _HEAD
    if not 0 <= size <= requests.max_bytes or body[0] or int.from_bytes(body[1:_HEAD]) != size:
        return None
    return body[_HEAD:]


class Envelopes:
    """The messages of one body. With `compressed`, they may be compressed."""

    __slots__ = (
        "_at",
        "_codec",
        "_compressed",
        "_data",
        "_head",
        "_left",
        "_message",
        "_pieces",
        "_requests",
        "_sole",
    )

    def __init__(self, requests: Requests, codec: Codec, *, compressed: bool) -> None:
        plain = codec is PROTOBUF
        self._requests = requests
        self._codec = codec
        self._compressed = compressed
        self._sole = requests.sole and plain
        self._pieces = requests.pieces and plain
        self._data = memoryview(b"")
        self._at = 0
        self._head = bytearray()  # of the message that is gathered until it is whole, as far as it came
        self._message: Gathered | None = None
        self._left = 0  # bytes still to come of a message that is given in pieces

    @property
    def gathering(self) -> int:
        """The size of the message that is gathered until it is whole; 0 if there is none."""
        return self._message.size if self._message else 0

    @property
    def within(self) -> bool:
        """Whether a message has begun that is not whole."""
        return bool(self._head or self._left)

    @property
    def missing(self) -> int:
        """The bytes still to come of the message that is gathered, once its size is known."""
        return self._message.missing if self._message else 0

    @property
    def is_compressed(self) -> bool:
        """Whether the message that is gathered is compressed."""
        return bool(self._head and self._head[0])

    def feed(self, data: bytes | bytearray) -> None:
        """Takes the next bytes of the body. Call it when `next` has given None."""
        self._data, self._at = memoryview(data), 0

    def next(self) -> Found | None:
        """The next message, or piece of one; None if more bytes have to come. Raises MessageTooLarge,
        MalformedRequest, UndeclaredCompression, MalformedMessage, InvalidUtf8."""
        if self._left:
            return self._piece()
        if self._head:
            return self._complete()
        if self._pieces:
            whole = self._long() or self._gather()
            if whole:
                return Sole(whole)
        here = len(self._data) - self._at
        if here >= _HEAD:
            head = self._data[self._at : self._at + _HEAD]
            size = self._size(head)
            if here >= _HEAD + size:
                return self._decoded(self._take(_HEAD + size)[_HEAD:], head[0])
            if self._pieces and not head[0] and (content := self._content(size)):
                self._left = content
                return self._piece()
        return self._complete()

    def _long(self) -> memoryview | None:
        """The content of the next message if it is whole and long (_LONG). It is the fastest way to most
        messages of a large image; None leaves the message to the rest of `next`."""
        data, at = self._data, self._at
        if len(data) - at < _LONG.size:
            return None
        flags, size, tag, low, middle, high = _LONG.unpack_from(data, at)
        begin = at + _LONG.size
        content = low & 0x7F | (middle & 0x7F) << 7 | high << 14
        end = begin + content
        if flags or tag != _TAG or not (low >= 0x80 <= middle and 0 < high < 0x80) or end > len(data):
            return None
        if size != content + 4 or size > self._requests.max_bytes:
            return None
        self._take(end - at)
        return data[begin:end]

    def _gather(self) -> bytes:
        """The contents of the next messages that are whole and short, joined; empty unless there are
        several."""
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
        if self._head or self._left:
            raise MalformedRequest

    def _size(self, head: bytes | bytearray | memoryview) -> int:
        if head[0]:
            if head[0] != COMPRESSED:
                raise MalformedRequest
            if not self._compressed:
                raise UndeclaredCompression
        size = int.from_bytes(head[1:_HEAD])
        if size > self._requests.max_bytes:
            raise self._requests.too_large()
        return size

    def _take(self, size: int) -> memoryview:
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        if self._at == len(self._data):
            self._data, self._at = memoryview(b""), 0  # it is not held while waiting for more
        return taken

    def _complete(self) -> Found | None:
        """The message that is gathered, once it is whole."""
        head, message = self._head, self._message
        if message is None:
            head += self._take(_HEAD - len(head))
            if len(head) < _HEAD:
                return None
            message = self._message = Gathered(self._size(head))
        message.add(self._take(message.missing))
        if message.missing:
            return None
        self._head, self._message = bytearray(), None
        return self._decoded(message.whole(), head[0])

    def _content(self, size: int) -> int:
        """Moves to the content of the message that begins here, and gives its length. 0 if the length has not
        come yet, or the message has other fields."""
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

    def _decoded(self, data: memoryview, flags: int) -> Found:
        # A short message is copied, since its view would keep in memory all bytes that came with it.
        is_short = len(data) < SHORT
        if flags:
            return Undecoded(bytes(data) if is_short else data, is_compressed=True)
        if self._sole:
            before, content = _sole(data[:_LONGEST])
            if content and before + content == len(data):
                return Sole(bytes(data[before:]) if is_short and not self._pieces else data[before:])
        if self._codec.takes_long(data):
            return Undecoded(bytes(data) if is_short else data, is_compressed=False)
        requests = self._requests
        return self._codec.decode(bytes(data) if is_short else data, requests.message, requests.payload)


def _sole(data: memoryview) -> tuple[int, int]:
    """The number of bytes before the content of field 1, of bytes, with which a message begins, and the
    number of those of the content. Zeros if it does not begin so."""
    if not data or data[0] != _TAG:
        return 0, 0
    length = 0
    for index, byte in enumerate(data[1:]):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return index + 2, length
    return 0, 0
