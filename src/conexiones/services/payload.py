"""Replies with their large field beside them: sending then copies it once, where protobuf copies it twice."""

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


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
