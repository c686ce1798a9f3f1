"""JPEG: ITU-T T.81 (ISO/IEC 10918-1), Annex B; Exif in APP1 as CIPA DC-008 has it."""

import re
import struct
from typing import Final

from conexiones.domain.formats.header import ImageHeader, oriented
from conexiones.domain.formats.reader import STRETCH, Reader
from conexiones.errors import CorruptImage, TruncatedImage, UnsupportedFormat
from conexiones.exif import orientation

# A marker is neither a stuffed 0xFF (00), nor a restart inside a scan (D0 to D7), nor a fill byte (FF).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_LENGTH = struct.Struct(">H")
_FRAME = struct.Struct(">xxxHHB")

_TEM, _SOI, _EOI, _SOS, _APP1, _SOF55 = 0x01, 0xD8, 0xD9, 0xDA, 0xE1, 0xF7
# The bytes in which the end has to come. The largest JPEG, of 65,535 × 65,535 pixels, has a byte for each
# then.
_MAX_BYTES: Final = 4 << 30

_SEGMENT_PARTS = 8
"""More than what it takes: no honest file has tens of thousands of segments."""

_FF_PER_PART = 64
"""Bytes 0xFF, each of which may begin a marker, that cost as much as a part. Of coded pixels one in 256 is
one."""

_UNCOUNTED = 256 << 10
"""Of the first bytes of a file they are not counted. That takes as long as searching, and most images are
small."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_APPLICATION = frozenset({*range(0xE0, 0xF0), 0xFE})
"""The segments of which no pixel depends: those of applications, and comments."""


def probe(file: Reader) -> ImageHeader:
    """The header of a whole JPEG, in which the walk over its markers reaches EOI."""
    header, position = _header(file, full=False)
    while True:
        marker, position = _next_marker(file, position)
        if marker == _EOI:
            return header
        if marker in _FRAMES:
            raise CorruptImage(format="JPEG")
        if marker == _TEM:
            file.spend(_SEGMENT_PARTS)
        else:
            position = _segment_end(file, marker, position)


def peek(head: Reader, *, full: bool) -> ImageHeader:
    """What the segments before the first scan say."""
    return _header(head, full=full)[0]


def _header(file: Reader, *, full: bool) -> tuple[ImageHeader, int]:
    """The image's header, and the position after the header of the first scan.

    Where `full` is true, it is enough that a frame header was seen before the bytes run out.
    """
    size: tuple[int, int] | None = None
    turned = 0
    position = 2
    while True:
        try:
            marker, position = _next_marker(file, position)
            if marker == _TEM:
                file.spend(_SEGMENT_PARTS)
                continue
            end = _segment_end(file, marker, position)
        except (TruncatedImage, struct.error):
            if full and size:
                return oriented("JPEG", *size, turned), position
            raise
        if marker in _FRAMES:
            if size:
                raise CorruptImage(format="JPEG")
            size = _frame_size(file, position, end)
        elif marker == _SOS:
            if not size:
                raise CorruptImage(format="JPEG")
            return oriented("JPEG", *size, turned), end
        elif marker == _APP1 and not turned and file.bytes(position + 2, min(end, position + 6)) == b"Exif":
            # The first one counts, whatever is in it, as in libvips.
            turned = orientation(file.bytes(position + 2, end))
        position = end


def _frame_size(file: Reader, position: int, end: int) -> tuple[int, int]:
    """Width × height of a frame header (B.2.2). A height of 0 is for a DNL segment to set after the first
    scan, which no reader of today knows."""
    height, width, components = file.unpack(_FRAME, position)
    if width and not height:
        raise UnsupportedFormat(format="JPEG with DNL")
    if not width or not components or end - position != 8 + 3 * components:
        raise CorruptImage(format="JPEG")
    return width, height


def _next_marker(file: Reader, position: int) -> tuple[int, int]:
    """The code of the next marker and the position after it. Bytes before it are skipped, as in libjpeg."""
    while True:
        piece, at = file.near(position, 2)
        last = min(len(piece), at + STRETCH)
        found = _MARKER.search(piece, at, last)
        searched = found.end() if found else last
        skipped = searched - at - 2
        file.spend(1)
        if skipped > _FF_PER_PART and position > _UNCOUNTED:
            file.spend(piece.count(b"\xff", at, searched) // _FF_PER_PART)
        if found:
            return piece[searched - 1], position + skipped + 2
        position += max(1, last - at - 1)  # A marker may begin with the last byte of the stretch.
        if position >= file.size:
            raise TruncatedImage(format="JPEG")
        if position > _MAX_BYTES:
            raise CorruptImage(format="JPEG")


def _segment_end(file: Reader, marker: int, position: int) -> int:
    """The end of the segment of `marker`, whose length stands at `position`.

    Raises TruncatedImage unless all of it is in the file.
    """
    file.spend(_SEGMENT_PARTS)
    if marker < 0xC0 or marker in (_SOI, _EOI):
        raise CorruptImage(format="JPEG")
    if marker == _SOF55:
        raise UnsupportedFormat(format="JPEG-LS")
    (length,) = file.unpack(_LENGTH, position)
    if length < 2:
        if marker not in _APPLICATION:
            raise CorruptImage(format="JPEG")
        length = 2  # as libjpeg takes it: what follows is skipped up to the next marker
    end: int = position + length
    if end > file.size:
        raise TruncatedImage(format="JPEG")
    return end
