"""GIF: CompuServe "Graphics Interchange Format, Version 89a", 15 to 27."""

import re
import struct

from conexiones.domain.formats.facts import MAX_PARTS, Buffer, Facts, unpack, window
from conexiones.errors import CorruptImage, TruncatedImage

_SCREEN = struct.Struct("<HHBxx")
_IMAGE = struct.Struct("<HHHHB")
_EXTENSION, _DESCRIPTOR, _TRAILER = 0x21, 0x2C, 0x3B

# A run of data sub-blocks, without its terminator: the one place where speed asks for a pattern. Full blocks
# come first for they are most; then the short ones, where a block's length is looked up for few bytes.
_SUB_BLOCKS = re.compile(
    rb"(?s:(?:" + b"|".join(rb"\x%02x.{%d}" % (n, n) for n in (255, *range(1, 255))) + rb")*+)"
)

# The pattern keeps the interpreter lock, so other threads get their turn after each window.
_WINDOW = 1 << 20

# Screen sizes of old authoring tools, which say nothing about the image: libnsgif, the decoder in libvips,
# takes the first frame's extent instead, and so do we, for width × height to be those of what is decoded.
_MEANINGLESS = frozenset({(640, 480), (640, 512), (800, 600), (1024, 768), (1280, 1024), (1600, 1200)})
_LARGEST_SCREEN = 2048


def probe(data: Buffer) -> Facts:
    """The facts of a whole GIF: at least one image, and the trailer reached."""
    facts, position = _first_image(data)
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
            return Facts(format="GIF", width=facts.width, height=facts.height, frames=frames)
        else:
            break
    raise CorruptImage(format="GIF")


def describe(head: Buffer, *, full: bool) -> Facts:
    """The facts as far as the first image's descriptor."""
    return _first_image(head)[0]


def _first_image(data: Buffer) -> tuple[Facts, int]:
    """The size of the canvas, and the position of the first image's descriptor.

    The logical screen, unless it is meaningless, grown to hold the first image (as libnsgif has it).
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
            return Facts(format="GIF", width=width, height=height), position
        else:
            break
    raise CorruptImage(format="GIF")


def _table_bytes(flags: int) -> int:
    """The length of the colour table that the flags of a screen or image announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_sub_blocks(data: Buffer, position: int) -> int:
    """The position behind the data sub-blocks at `position` and their terminator."""
    while data[position]:
        end = min(position + _WINDOW, len(data))
        piece, base = window(data, position, end)
        run = _SUB_BLOCKS.match(piece, position - base, end - base)
        if run is None or base + run.end() == position:
            raise TruncatedImage(format="GIF")
        position = base + run.end()
    return position + 1
