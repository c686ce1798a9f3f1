"""JPEG: ITU-T T.81 (ISO/IEC 10918-1), Annex B; Exif in APP1 as CIPA DC-008 has it."""

import re
import struct

from conexiones.domain.formats.exif import orientation
from conexiones.domain.formats.header import (
    FIRST_WINDOW,
    MAX_PARTS,
    Buffer,
    ImageHeader,
    larger,
    oriented,
    unpack,
    window,
)
from conexiones.errors import CorruptImage, TruncatedImage, UnsupportedFormat

# A marker is neither a stuffed 0xFF (00), nor a restart inside a scan (D0 to D7), nor a fill byte (FF).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_LENGTH = struct.Struct(">H")
_FRAME = struct.Struct(">xxxHHB")

_TEM, _SOI, _EOI, _SOS, _APP1, _SOF55 = 0x01, 0xD8, 0xD9, 0xDA, 0xE1, 0xF7
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def probe(data: Buffer) -> ImageHeader:
    """The header of a whole JPEG, in which the walk over its markers reaches EOI."""
    header, position = _header(data, full=False)
    for _ in range(MAX_PARTS):
        marker, position = _next_marker(data, position)
        if marker == _EOI:
            return header
        if marker in _FRAMES:
            raise CorruptImage(format="JPEG")
        if marker != _TEM:
            position = _segment_end(data, marker, position)
    raise CorruptImage(format="JPEG")


def peek(head: Buffer, *, full: bool) -> ImageHeader:
    """What the segments before the first scan say."""
    return _header(head, full=full)[0]


def _header(data: Buffer, *, full: bool) -> tuple[ImageHeader, int]:
    """The image's header, and the position after the header of the first scan.

    Where `full` is true, it is enough that a frame header was seen before the bytes run out.
    """
    size: tuple[int, int] | None = None
    turned = 0
    position = 2
    for _ in range(MAX_PARTS):
        try:
            marker, position = _next_marker(data, position)
            if marker == _TEM:
                continue
            end = _segment_end(data, marker, position)
        except (TruncatedImage, struct.error):
            if full and size:
                return oriented("JPEG", *size, turned), position
            raise
        if marker in _FRAMES:
            if size:
                raise CorruptImage(format="JPEG")
            size = _frame_size(data, position, end)
        elif marker == _SOS:
            if not size:
                break
            return oriented("JPEG", *size, turned), end
        elif marker == _APP1 and not turned and data[position + 2 : position + 8] == b"Exif\0\0":
            turned = orientation(data[position + 2 : end])
        position = end
    raise CorruptImage(format="JPEG")


def _frame_size(data: Buffer, position: int, end: int) -> tuple[int, int]:
    """Width × height of a frame header (B.2.2). A height of 0, to be set by a DNL later, is refused."""
    height, width, components = unpack(_FRAME, data, position)
    if not width or not height or not components or end - position != 8 + 3 * components:
        raise CorruptImage(format="JPEG")
    return width, height


def _next_marker(data: Buffer, position: int) -> tuple[int, int]:
    """The code of the next marker and the position after it. Bytes before it are skipped, as in libjpeg."""
    size, reach = len(data), FIRST_WINDOW
    while position < size:
        end = min(position + reach, size)
        piece, base = window(data, position, end)
        found = _MARKER.search(piece, position - base, end - base)
        if found:
            return piece[found.end() - 1], base + found.end()
        if end == size:
            break
        position = end - 1  # A marker may begin with the last byte of the window.
        reach = larger(reach)
    raise TruncatedImage(format="JPEG")


def _segment_end(data: Buffer, marker: int, position: int) -> int:
    """The end of the segment of `marker`, whose length stands at `position`.

    Raises TruncatedImage unless all of it is in `data`.
    """
    if marker < 0xC0 or marker in (_SOI, _EOI):
        raise CorruptImage(format="JPEG")
    if marker == _SOF55:
        raise UnsupportedFormat(format="JPEG-LS")
    (length,) = unpack(_LENGTH, data, position)
    if length < 2:
        raise CorruptImage(format="JPEG")
    end: int = position + length
    if end > len(data):
        raise TruncatedImage(format="JPEG")
    return end
