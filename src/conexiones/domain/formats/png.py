"""PNG and APNG: W3C "Portable Network Graphics (PNG) Specification (Third Edition)", 5 and 11."""

import struct
import zlib

from conexiones.domain.formats.exif import MAX_EXIF_BYTES, orientation
from conexiones.domain.formats.header import Buffer, ImageHeader, oriented, unpack
from conexiones.errors import CorruptImage, TruncatedImage

_CHUNK = struct.Struct(">I4s")
_IHDR = struct.Struct(">I4sIIBBBBBI")
_U32 = struct.Struct(">I")
_LARGEST = 2**31 - 1

# Colour type → allowed bit depths (table 11.1).
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}

# libpng cuts the pixels into IDATs of 8 KiB, of which these are enough for 128 GiB.
_MAX_CHUNKS = 16_000_000

# A CRC is computed over pieces of this many bytes: they stay in the processor's cache, and a call per piece
# costs next to nothing.
_PIECE = 1 << 18


def probe(data: Buffer) -> ImageHeader:
    """The header of a whole PNG: its chunks up to IEND are there, the critical ones with the right CRC."""
    width, height, colour = _header(data)
    header, position, palette = _before_pixels(data, width, height)
    if colour == 3 and not palette:
        raise CorruptImage(format="PNG")
    for _ in range(_MAX_CHUNKS):
        kind, start, end = _chunk(data, position)
        if not kind[0] & 0x20 and not _crc_holds(data, start, end):
            raise CorruptImage(format="PNG")
        if kind == b"IEND":
            return header
        position = end + 4
    raise CorruptImage(format="PNG")


def peek(head: Buffer, *, full: bool) -> ImageHeader:
    """What the chunks before the first IDAT say. Where `full` is true, IHDR alone is enough."""
    width, height, _ = _header(head)
    try:
        return _before_pixels(head, width, height)[0]
    except (TruncatedImage, struct.error):
        if full:
            return oriented("PNG", width, height, 1)
        raise


def _header(data: Buffer) -> tuple[int, int, int]:
    """Width, height and colour type of IHDR, which must come first."""
    length, kind, width, height, depth, colour, compression, filtering, interlace, crc = unpack(
        _IHDR, data, 8
    )
    if (
        (length, kind, compression, filtering) != (13, b"IHDR", 0, 0)
        or interlace > 1
        or depth not in _DEPTHS.get(colour, ())
        or not 1 <= width <= _LARGEST
        or not 1 <= height <= _LARGEST
        or zlib.crc32(data[12:29]) != crc
    ):
        raise CorruptImage(format="PNG")
    return width, height, colour


def _before_pixels(data: Buffer, width: int, height: int) -> tuple[ImageHeader, int, bool]:
    """The header, the position of the first IDAT, and whether a palette stands before it.

    An eXIf chunk after the pixels is allowed but ignored, as libvips and browsers do not wait for it.
    """
    position, frames, turned, palette = 33, 1, 1, False
    for _ in range(_MAX_CHUNKS):
        if unpack(_CHUNK, data, position)[1] == b"IDAT":
            return oriented("PNG", width, height, turned, frames), position, palette
        kind, start, end = _chunk(data, position)
        critical = not kind[0] & 0x20
        if (critical or kind == b"acTL") and not _crc_holds(data, start, end):
            if critical:
                raise CorruptImage(format="PNG")
        elif kind == b"PLTE":
            palette = True
        elif kind == b"acTL" and end - start == 8:
            frames = min(max(unpack(_U32, data, start)[0], 1), _LARGEST)
        elif kind == b"eXIf":
            turned = orientation(data[start : min(end, start + MAX_EXIF_BYTES)])
        elif kind in (b"IEND", b"IHDR"):
            break
        position = end + 4
    raise CorruptImage(format="PNG")


def _chunk(data: Buffer, position: int) -> tuple[bytes, int, int]:
    """The type of the chunk at `position`, and where its data start and end.

    Raises TruncatedImage unless all of it is in `data`.
    """
    length, kind = unpack(_CHUNK, data, position)
    if length > _LARGEST or not kind.isalpha():
        raise CorruptImage(format="PNG")
    start = position + 8
    end = start + length
    if end + 4 > len(data):
        raise TruncatedImage(format="PNG")
    return kind, start, end


def _crc_holds(data: Buffer, start: int, end: int) -> bool:
    """Whether the CRC after a chunk's data is right: that of its type and data (5.5)."""
    crc = 0
    for piece in range(start - 4, end, _PIECE):
        crc = zlib.crc32(data[piece : min(piece + _PIECE, end)], crc)
    expected: int = unpack(_U32, data, end)[0]
    return crc == expected
