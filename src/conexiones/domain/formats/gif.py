"""GIF: CompuServe "Graphics Interchange Format, Version 89a", 15 to 27."""

import re
import struct

from conexiones.domain.formats.header import (
    FIRST_WINDOW,
    MAX_PARTS,
    Buffer,
    ImageHeader,
    larger,
    unpack,
    window,
)
from conexiones.errors import CorruptImage, TruncatedImage

_SCREEN = struct.Struct("<HHBxx")
_IMAGE = struct.Struct("<HHHHB")
_EXTENSION, _DESCRIPTOR, _TRAILER = 0x21, 0x2C, 0x3B

# A run of data sub-blocks, without its terminator. A pattern is many times as fast here as a loop in Python.
# Full blocks come first because most blocks are full, and then the others from the shortest up.
_SUB_BLOCKS = re.compile(
    rb"(?s:(?:" + b"|".join(rb"\x%02x.{%d}" % (n, n) for n in (255, *range(1, 255))) + rb")*+)"
)

# Old authoring tools wrote these screen sizes whatever the image was. libnsgif, the decoder in libvips, takes
# the extent of the first frame instead; so do we, so that width × height are those of the decoded image.
_MEANINGLESS = frozenset({(640, 480), (640, 512), (800, 600), (1024, 768), (1280, 1024), (1600, 1200)})
_LARGEST_SCREEN = 2048


def probe(data: Buffer) -> ImageHeader:
    """The header of a whole GIF, which has at least one image and ends with the trailer."""
    header, position = _first_image(data)
    frames = 0
    for _ in range(MAX_PARTS):
        introducer = data[position]
        if introducer == _DESCRIPTOR:
            frames += 1
            flags = data[position + 9]
            position = _after_sub_blocks(data, position + 11 + _table_bytes(flags))
        elif introducer == _EXTENSION:
            position = _after_sub_blocks(data, position + 2)
        elif introducer == _TRAILER:
            return ImageHeader(format="GIF", width=header.width, height=header.height, frames=frames)
        else:
            break
    raise CorruptImage(format="GIF")


def peek(head: Buffer, *, full: bool) -> ImageHeader:
    """What the file says up to the descriptor of the first image."""
    return _first_image(head)[0]


def _first_image(data: Buffer) -> tuple[ImageHeader, int]:
    """The size of the canvas, and the position of the first image's descriptor.

    The canvas is the logical screen, unless that is meaningless, enlarged to hold the first
    image, as libnsgif does it.
    """
    width, height, flags = unpack(_SCREEN, data, 6)
    if not width or not height or max(width, height) > _LARGEST_SCREEN or (width, height) in _MEANINGLESS:
        width = height = 1
    position = 13 + _table_bytes(flags)
    for _ in range(MAX_PARTS):
        introducer = data[position]
        if introducer == _EXTENSION:
            position = _after_sub_blocks(data, position + 2)
        elif introducer == _DESCRIPTOR:
            left, top, image_width, image_height, _ = unpack(_IMAGE, data, position + 1)
            if not image_width or not image_height:
                break
            width, height = max(width, left + image_width), max(height, top + image_height)
            return ImageHeader(format="GIF", width=width, height=height), position
        else:
            break
    raise CorruptImage(format="GIF")


def _table_bytes(flags: int) -> int:
    """The bytes of the colour table that the flags of a screen or image announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_sub_blocks(data: Buffer, position: int) -> int:
    """The position after the data sub-blocks at `position` and their terminator."""
    reach = FIRST_WINDOW
    while data[position]:
        end = min(position + reach, len(data))
        piece, base = window(data, position, end)
        run = _SUB_BLOCKS.match(piece, position - base, end - base)
        if run is None or base + run.end() == position:
            raise TruncatedImage(format="GIF")
        position = base + run.end()
        reach = larger(reach)
    return position + 1
