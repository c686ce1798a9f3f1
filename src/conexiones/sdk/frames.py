"""Frames of a download. Reading the bytes field here copies it once; protobuf would copy it twice."""

from google.protobuf.message import DecodeError

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageResponse

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
"""Wire types (https://protobuf.dev/programming-guides/encoding)."""

_DATA = DownloadImageResponse.DATA_FIELD_NUMBER << 3 | _BYTES


class Frame:
    """A DownloadImageResponse: its `data`, and a `message` of all its other fields."""

    __slots__ = ("data", "message")

    def __init__(self, raw: bytes) -> None:
        """Raises DecodeError."""
        begin, start, end = _find_data(raw)
        self.data = raw[start:end]
        self.message = DownloadImageResponse.FromString(raw[:begin] + raw[end:])


def _find_data(raw: bytes) -> tuple[int, int, int]:
    """The offsets where the field `data` begins, and where its content begins and ends.

    All three are the end of the message if it has no such field.
    """
    found = (len(raw),) * 3
    at = 0
    while at < len(raw):
        begin = at
        tag, at = _varint(raw, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(raw, at)
        elif kind == _BYTES:
            size, at = _varint(raw, at)
            if tag == _DATA:
                if found[0] < len(raw):
                    raise DecodeError("data is there twice")
                found = (begin, at, at + size)
            at += size
        elif kind in (_EIGHT, _FOUR):
            at += 8 if kind == _EIGHT else 4
        else:
            raise DecodeError(f"no wire type: {kind}")
    if at > len(raw):
        raise DecodeError("it ends within a field")
    return found


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The value of the varint at that offset, and the offset behind it."""
    value = 0
    for index, byte in enumerate(raw[at : at + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    raise DecodeError("it ends within a number")
