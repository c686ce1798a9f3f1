"""What is known of an image without decoding it, and the words the format modules share.

Every format module has two functions, which never see another format's bytes:

    probe(data: Buffer) -> Facts            the whole file, judged to its last byte
    describe(head: Buffer, *, full: bool) -> Facts
                                            the first bytes only; `full` says that no more will be shown

Both raise `CorruptImage`, `TruncatedImage` or `UnsupportedFormat`. They may also let `struct.error` and
`IndexError` escape where they read past the end of the buffer: `structure` takes these for a truncation.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

from conexiones.ports.staging import Content

Buffer = Content

MAX_PARTS: Final = 1_000_000
"""Segments, blocks, chunks or boxes of one file. It bounds the time spent on a hostile one: honest files
have thousands at most. PNG alone, with its many small IDATs, has its own limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An image as its structure describes it.

    `format` is JPEG, PNG, GIF, WEBP, TIFF, BMP, AVIF or HEIF. `width` and `height` are pixels as a person
    sees them, orientation applied. `frames` counts frames of GIF, WebP and APNG, and pages of TIFF.
    """

    format: str
    width: int
    height: int
    frames: int = 1


def unpack(layout: struct.Struct | str, data: Buffer, position: int) -> tuple[Any, ...]:
    """The values of that layout at `position`. Raises struct.error past the end."""
    size = struct.calcsize(layout) if isinstance(layout, str) else layout.size
    piece = data[position : position + size]
    return struct.unpack(layout, piece) if isinstance(layout, str) else layout.unpack(piece)


def window(data: Buffer, start: int, stop: int) -> tuple[bytes, int]:
    """Bytes in which `data[start:stop]` can be searched, and the position at which they begin."""
    return (data, 0) if isinstance(data, bytes) else (data[start:stop], start)


def oriented(format: str, width: int, height: int, orientation: int, frames: int = 1) -> Facts:
    """Facts of width × height stored pixels shown with an EXIF or TIFF `orientation` (5 to 8 swap them)."""
    if 5 <= orientation <= 8:
        width, height = height, width
    return Facts(format=format, width=width, height=height, frames=frames)
