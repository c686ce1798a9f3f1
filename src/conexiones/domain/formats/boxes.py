"""The boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from conexiones.domain.formats.facts import MAX_PARTS, Buffer, unpack
from conexiones.errors import CorruptImage

_HEADER = struct.Struct(">I4s")
_LARGE = struct.Struct(">Q")

# The tables of an image with a hundred thousand tiles take less. It bounds the time of reading them.
_MAX_TABLE_BYTES = 4 << 20


class Box(NamedTuple):
    """A box's type, and where in the file its content starts and ends, which may be past the file's end."""

    kind: bytes
    start: int
    end: int


def boxes(format: str, data: Buffer, position: int, end: int) -> Iterator[Box]:
    """The boxes between two positions. A last few bytes that hold no header are let be."""
    for _ in range(MAX_PARTS):
        if position + 8 > end:
            return
        size, kind = unpack(_HEADER, data, position)
        start = position + 8
        if size == 1:
            (size,) = unpack(_LARGE, data, start)
            start += 8
        elif size == 0:
            size = end - position  # To the end of what holds it.
        if position + size < start:
            raise CorruptImage(format=format)
        yield Box(kind, start, position + size)
        position += size
    raise CorruptImage(format=format)


def only(format: str, children: dict[bytes, list[Box]], kind: bytes) -> Box:
    """The one box of a type that has to be there."""
    found = children.get(kind, ())
    if len(found) != 1:
        raise CorruptImage(format=format)
    return found[0]


def table(format: str, data: Buffer, box: Box) -> bytes:
    """The content of a box that is a table, copied: reading past its end is then an error."""
    if box.end - box.start > _MAX_TABLE_BYTES:
        raise CorruptImage(format=format)
    return data[box.start : box.end]


def fullbox(format: str, data: Buffer, box: Box) -> tuple[int, bytes]:
    """The version, and the content with version and flags in its first four bytes, of a full box."""
    content = table(format, data, box)
    return content[0], content
