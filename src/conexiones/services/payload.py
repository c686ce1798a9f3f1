"""Replies that are more than a message: with their large field beside them, so that sending copies it once
where protobuf copies it twice; or shared by many calls, so that they are encoded once."""

from collections.abc import Callable, Hashable

from google.protobuf.message import Message

_BYTES = 2
"""The wire type of a field of bytes (https://protobuf.dev/programming-guides/encoding)."""


class WithPayload:
    """Stands for `message` with its field `data`, of bytes, set to `data`."""

    __slots__ = ("_data", "_message")

    def __init__(self, message: Message, data: bytes) -> None:
        self._message = message
        self._data = data

    def parts(self) -> list[bytes]:
        """The message on the wire, in parts that follow one another."""
        number = self._message.DESCRIPTOR.fields_by_name["data"].number
        tag = _varint(number << 3 | _BYTES) + _varint(len(self._data))
        return [self._message.SerializeToString(), tag, self._data]

    def whole(self) -> Message:
        """The message with the bytes in it."""
        return type(self._message).FromString(b"".join(self.parts()))


class Shared:
    """Stands for `message` in the replies of any number of calls. The message must not change any more."""

    __slots__ = ("_encoded", "_message")

    def __init__(self, message: Message) -> None:
        self._message = message
        self._encoded: dict[Hashable, bytes] = {}

    def encoded(self, way: Hashable, encode: Callable[[Message], bytes]) -> bytes:
        """The message as `encode` gives it, which is called once for each `way` of encoding."""
        found = self._encoded.get(way)
        if found is None:
            found = self._encoded[way] = encode(self._message)
        return found


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
