"""The boxes of the ISO base media file format (ISO/IEC 14496-12), of which AVIF and HEIF consist."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from conexiones.domain.formats.reader import Reader
from conexiones.errors import CorruptImage
from conexiones.image_formats import ImageFormat

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")

# Bounds the time of reading a table. That of an image with a hundred thousand tiles is shorter.
_MAX_TABLE_BYTES = 4 << 20

_BOX_PARTS = 8  # More than what it takes: no honest file has tens of thousands of boxes.


class Box(NamedTuple):
    """The type of a box, and where its content starts and ends, which may be past the end of the file."""

    kind: bytes
    start: int
    end: int


def boxes(format: ImageFormat, file: Reader, position: int, end: int, *, more: bool = False) -> Iterator[Box]:
    """The boxes between two positions. Bytes at the end that are too few for a box header are ignored.

    `more`: there may be more of the container than is there, so that a box which ends where its container
    ends does so past `end`.
    """
    while position + 8 <= end:
        file.spend(_BOX_PARTS)
        size, kind = file.unpack(_HEADER, position)
        start = position + 8
        if size == 1:
            (size,) = file.unpack(_LARGE, start)
            start += 8
        elif size == 0:
            size = end - position + more  # The box ends where its container ends.
        if position + size < start:
            raise CorruptImage(format=format)
        yield Box(kind, start, position + size)
        position += size


def only(format: ImageFormat, children: dict[bytes, list[Box]], kind: bytes) -> Box:
    """The box of a type of which there has to be exactly one. Raises CorruptImage."""
    found = children.get(kind, ())
    if len(found) != 1:
        raise CorruptImage(format=format)
    return found[0]


def _table(format: ImageFormat, file: Reader, box: Box) -> bytes:
    """A copy of the content of a box that is a table, so that reading past its end is an error."""
    if box.end - box.start > _MAX_TABLE_BYTES:
        raise CorruptImage(format=format)
    return file.bytes(box.start, box.end)


def fullbox(format: ImageFormat, file: Reader, box: Box) -> tuple[int, bytes]:
    """The version of a full box, and its content, of which the first four bytes are version and flags."""
    content = _table(format, file, box)
    return content[0], content
