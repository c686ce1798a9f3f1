"""PNG and APNG: W3C "Portable Network Graphics (PNG) Specification (Third Edition)", 5 and 11."""

import struct
import zlib
from dataclasses import replace

from conexiones.domain.formats.header import ImageHeader, oriented
from conexiones.domain.formats.reader import Reader
from conexiones.errors import CorruptImage, TruncatedImage, UnsupportedFormat
from conexiones.exif import BYTE_ORDERS, MAX_EXIF_BYTES, orientation

_CHUNK = struct.Struct(">I4s")
_IHDR = struct.Struct(">I4sIIBBBBBI")
_U32 = struct.Struct(">I")
_LARGEST = 2**31 - 1

# Colour type → allowed bit depths (table 11.1).
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}

# A CRC is computed over pieces of this many bytes: they stay in the processor's cache, and a call per piece
# costs next to nothing.
_PIECE = 1 << 18
_SHORT = 4 << 10  # Shorter chunks are in the window that has their length.


def probe(file: Reader) -> ImageHeader:
    """The header of a whole PNG: its chunks up to IEND are there, the critical ones with the right CRC, but
    for IEND, which has no data."""
    width, height, colour = _header(file)
    header, position, palette = _before_pixels(file, width, height)
    if colour == 3 and not palette:
        raise CorruptImage(format="PNG")
    frames = 0
    while True:
        kind, start, end = _chunk(file, position)
        if not kind[0] & 0x20 and kind != b"IEND" and not _crc_holds(file, start, end):
            raise CorruptImage(format="PNG")
        frames += kind == b"fcTL"
        if kind == b"IEND":
            # acTL may promise more frames than there are. The first one may precede the pixels.
            return replace(header, frames=min(header.frames, 1 + frames))
        position = end + 4


def peek(head: Reader, *, full: bool) -> ImageHeader:
    """What the chunks before the first IDAT say. Where `full` is true, IHDR alone is enough."""
    width, height, _ = _header(head)
    try:
        return _before_pixels(head, width, height)[0]
    except (TruncatedImage, struct.error):
        if full:
            return oriented("PNG", width, height, 1)
        raise


def _header(file: Reader) -> tuple[int, int, int]:
    """Width, height and colour type of IHDR, which must come first.

    Raises UnsupportedFormat for what Xcode makes of PNG for iOS, in which CgBI comes first. Only Apple's
    programs read that.
    """
    if file.unpack(_CHUNK, 8)[1] == b"CgBI":
        raise UnsupportedFormat(format="PNG with CgBI")
    length, kind, width, height, depth, colour, compression, filtering, interlace, crc = file.unpack(_IHDR, 8)
    if (
        (length, kind, compression, filtering) != (13, b"IHDR", 0, 0)
        or interlace > 1
        or depth not in _DEPTHS.get(colour, ())
        or not 1 <= width <= _LARGEST
        or not 1 <= height <= _LARGEST
        or zlib.crc32(file.bytes(12, 29)) != crc
    ):
        raise CorruptImage(format="PNG")
    return width, height, colour


def _before_pixels(file: Reader, width: int, height: int) -> tuple[ImageHeader, int, bool]:
    """The header, the position of the first IDAT, and whether a palette stands before it.

    An eXIf chunk after the pixels is allowed but ignored, as libvips and browsers do not wait for it. Of
    several before them, the libpng of libvips takes the first that begins with a byte order, whatever its CRC
    says. So one that begins with `Exif` is ignored.
    """
    position, frames, turned, palette = 33, 1, 0, False
    while True:
        if file.unpack(_CHUNK, position)[1] == b"IDAT":
            return oriented("PNG", width, height, turned, frames), position, palette
        kind, start, end = _chunk(file, position)
        file.spend(1)
        critical = not kind[0] & 0x20
        if (critical or kind == b"acTL") and not _crc_holds(file, start, end):
            if critical:
                raise CorruptImage(format="PNG")
        elif kind == b"PLTE":
            palette = True
        elif kind == b"acTL" and end - start == 8:
            frames = min(max(file.unpack(_U32, start)[0], 1), _LARGEST)
        elif kind == b"eXIf" and not turned and file.bytes(start, min(end, start + 4)) in BYTE_ORDERS:
            turned = orientation(file.bytes(start, min(end, start + MAX_EXIF_BYTES)))
        elif kind in (b"IEND", b"IHDR"):
            raise CorruptImage(format="PNG")
        position = end + 4


def _chunk(file: Reader, position: int) -> tuple[bytes, int, int]:
    """The type of the chunk at `position`, and where its data start and end.

    Raises TruncatedImage unless all of it is in the file.
    """
    file.spend(1)
    length, kind = file.unpack(_CHUNK, position)
    if length > _LARGEST or not kind.isalpha():
        raise CorruptImage(format="PNG")
    start = position + 8
    end = start + length
    if end + 4 > file.size:
        raise TruncatedImage(format="PNG")
    return kind, start, end


def _crc_holds(file: Reader, start: int, end: int) -> bool:
    """Whether the CRC after a chunk's data is right: that of its type and data (5.5)."""
    if end - start < _SHORT:
        piece, at = file.near(start - 4, end - start + 8)
        last = at + end - start + 4
        return zlib.crc32(piece[at:last]) == int.from_bytes(piece[last : last + 4])
    crc = 0
    for at in range(start - 4, end, _PIECE):
        crc = zlib.crc32(file.bytes(at, min(at + _PIECE, end)), crc)
    expected: int = file.unpack(_U32, end)[0]
    return crc == expected
