"""GIF: CompuServe "Graphics Interchange Format, Version 89a", 15 to 27."""

import re
import struct
from functools import cache
from typing import Any, Final

from conexiones.domain.formats.header import ImageHeader
from conexiones.domain.formats.reader import STRETCH, Reader
from conexiones.errors import CorruptImage, TruncatedImage

_SCREEN = struct.Struct("<HHBxx")
_IMAGE = struct.Struct("<HHHHB")
_EXTENSION, _DESCRIPTOR, _TRAILER = 0x21, 0x2C, 0x3B

_BLOCKS_PER_PART = 64
"""Data sub-blocks of the same length, one after the other, that cost as much as a part."""

_STEPS_PER_PART = 2
"""The same of runs of such blocks, and of single ones."""

_LONGEST_BLOCK = 1 + 255

_BLOCK = re.compile(rb"[\x21\x2c\x3b]")
MAX_STRAY: Final = 1024
"""So many bytes between two blocks, which belong to neither, are skipped, as browsers and Pillow skip them.
Mostly they are NUL, since some program wrote a terminator twice."""


def probe(file: Reader) -> ImageHeader:
    """The header of a whole GIF, which has at least one image and ends with the trailer."""
    header, position = _first_image(file)
    frames = 0
    while True:
        introducer, position = _block(file, position)
        if introducer == _DESCRIPTOR:
            frames += 1
            flags = file.byte(position + 9)
            position = _after_sub_blocks(file, position + 11 + _table_bytes(flags))
        elif introducer == _EXTENSION:
            position = _after_sub_blocks(file, position + 2)
        else:
            return ImageHeader(format="GIF", width=header.width, height=header.height, frames=frames)


def peek(head: Reader, *, full: bool) -> ImageHeader:
    """What the file says up to the descriptor of the first image."""
    return _first_image(head)[0]


def _first_image(file: Reader) -> tuple[ImageHeader, int]:
    """The size of the canvas, and the position of the first image's descriptor.

    The canvas is the logical screen, enlarged to hold the first image, as in browsers and Pillow.
    """
    width, height, flags = file.unpack(_SCREEN, 6)
    position = 13 + _table_bytes(flags)
    while True:
        introducer, position = _block(file, position)
        if introducer == _EXTENSION:
            position = _after_sub_blocks(file, position + 2)
        elif introducer == _DESCRIPTOR:
            left, top, image_width, image_height, _ = file.unpack(_IMAGE, position + 1)
            if not image_width or not image_height:
                raise CorruptImage(format="GIF")
            width, height = max(width, left + image_width), max(height, top + image_height)
            return ImageHeader(format="GIF", width=width, height=height), position
        else:
            raise CorruptImage(format="GIF")


def _block(file: Reader, position: int) -> tuple[int, int]:
    """The introducer of the next block: extension, descriptor or trailer; and its position."""
    file.spend(1)
    piece, at = file.near(position, 1 + MAX_STRAY)
    found = _BLOCK.search(piece, at, at + 1 + MAX_STRAY)
    if found:
        return found[0][0], position + found.start() - at
    raise TruncatedImage(format="GIF") if position + MAX_STRAY >= file.size else CorruptImage(format="GIF")


def _table_bytes(flags: int) -> int:
    """The bytes of the colour table that the flags of a screen or image announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


@cache
def _run(length: int) -> re.Pattern[bytes]:
    """Matches data sub-blocks of that length, one after the other. It is many times as fast as a loop."""
    return re.compile(rb"(?s:\x%02x.{%d})*+" % (length, length))


def _after_sub_blocks(file: Reader, position: int) -> int:
    """The position after the data sub-blocks at `position` and their terminator."""
    while True:
        piece, at = file.near(position, _LONGEST_BLOCK)
        base, last = position - at, min(len(piece), at + STRETCH)
        steps = alike = 0
        while at < last and (length := piece[at]):
            following = at + length + 1
            if following > last:
                break
            steps += 1
            if following < last and piece[following] == length:
                run: Any = _run(length).match(piece, at, last)
                following = run.end()
                alike += (following - at) // (length + 1)
            at = following
        file.spend(1 + steps // _STEPS_PER_PART + alike // _BLOCKS_PER_PART)
        if at < last and not piece[at]:
            return base + at + 1
        if base + at == position:
            raise TruncatedImage(format="GIF")
        position = base + at
