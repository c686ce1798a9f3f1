"""The boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from conexiones.domain.formats.header import MAX_PARTS, Buffer, unpack
from conexiones.errors import CorruptImage
from conexiones.image_formats import ImageFormat

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")

# Bounds the time of reading a table. That of an image with a hundred thousand tiles is shorter.
_MAX_TABLE_BYTES = 4 << 20


class Box(NamedTuple):
    """The type of a box, and where its content starts and ends, which may be past the end of the file."""

    kind: bytes
    start: int
    end: int


def boxes(format: ImageFormat, data: Buffer, position: int, end: int) -> Iterator[Box]:
    """The boxes between two positions. Bytes at the end that are too few for a box header are ignored."""
    for _ in range(MAX_PARTS):
        if position + 8 > end:
            return
        size, kind = unpack(_HEADER, data, position)
        start = position + 8
        if size == 1:
            (size,) = unpack(_LARGE, data, start)
            start += 8
        elif size == 0:
            size = end - position  # The box ends where its container ends.
        if position + size < start:
            raise CorruptImage(format=format)
        yield Box(kind, start, position + size)
        position += size
    raise CorruptImage(format=format)


def only(format: ImageFormat, children: dict[bytes, list[Box]], kind: bytes) -> Box:
    """The box of a type of which there has to be exactly one. Raises CorruptImage."""
    found = children.get(kind, ())
    if len(found) != 1:
        raise CorruptImage(format=format)
    return found[0]


def table(format: ImageFormat, data: Buffer, box: Box) -> bytes:
    """A copy of the content of a box that is a table, so that reading past its end is an error."""
    if box.end - box.start > _MAX_TABLE_BYTES:
        raise CorruptImage(format=format)
    return data[box.start : box.end]


def fullbox(format: ImageFormat, data: Buffer, box: Box) -> tuple[int, bytes]:
    """The version of a full box, and its content, of which the first four bytes are version and flags."""
    content = table(format, data, box)
    return content[0], content
