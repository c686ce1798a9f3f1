"""What an image's header says, and the words that the format modules share.

Every format module has two functions, which are only ever given bytes of its own format:

    probe(data: Buffer) -> ImageHeader                    judges the whole file, to its last byte
    peek(head: Buffer, *, full: bool) -> ImageHeader      looks at the first bytes only; `full` says that no
                                                          more will be shown

Those of heif.py, which has two formats, are given the format first. All raise CorruptImage, TruncatedImage or
UnsupportedFormat. They may also let struct.error and IndexError escape where they read past the end of the
buffer: `structure` turns these into TruncatedImage.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

from conexiones.image_formats import ImageFormat
from conexiones.ports.staging import Content

Buffer = Content

MAX_PARTS: Final = 1_000_000
"""Segments, blocks, chunks or boxes of one file. The limit bounds the time that a hostile file can take;
honest files have thousands of parts at most. PNG, with its many small IDATs, has a limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """An image as its structure describes it, without decoding.

    `width` and `height` are in pixels as a person sees them, with the orientation applied. `frames` counts
    the frames of GIF, WebP and APNG, and the pages of TIFF.
    """

    format: ImageFormat
    width: int
    height: int
    frames: int = 1


def unpack(layout: struct.Struct | str, data: Buffer, position: int) -> tuple[Any, ...]:
    """The values of that layout at `position`. Raises struct.error past the end."""
    size = struct.calcsize(layout) if isinstance(layout, str) else layout.size
    piece = data[position : position + size]
    return struct.unpack(layout, piece) if isinstance(layout, str) else layout.unpack(piece)


FIRST_WINDOW: Final = 4 << 10
_LAST_WINDOW: Final = 1 << 20


def window(data: Buffer, start: int, stop: int) -> tuple[bytes, int]:
    """Bytes in which `data[start:stop]` can be searched, and the position in `data` at which they begin."""
    return (data, 0) if isinstance(data, bytes) else (data[start:stop], start)


def larger(size: int) -> int:
    """The size of the window to search after one of that size.

    Windows grow, so that of many short parts each costs no more than a short window, which is copied out of a
    file. They are bounded, since a search holds the interpreter lock: other threads run between two of them.
    """
    return min(size * 4, _LAST_WINDOW)


def oriented(format: ImageFormat, width: int, height: int, orientation: int, frames: int = 1) -> ImageHeader:
    """The header of width × height stored pixels that are shown with an EXIF or TIFF `orientation`, of which
    5 to 8 swap width and height."""
    if 5 <= orientation <= 8:
        width, height = height, width
    return ImageHeader(format=format, width=width, height=height, frames=frames)
