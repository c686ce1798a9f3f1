"""BMP: Microsoft "Bitmap Storage" (wingdi.h BITMAPFILEHEADER to BITMAPV5HEADER), and OS/2's headers."""

import struct

from conexiones.domain.formats.facts import Buffer, Facts, unpack
from conexiones.errors import CorruptImage, TruncatedImage, UnsupportedFormat

_FILE = struct.Struct("<10xII")  # after BM: offset of the pixels, then the size of the header that follows
_CORE = struct.Struct("<HHHH")
_INFO = struct.Struct("<iiHH")
_COMPRESSION = struct.Struct("<II")

_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHABITFIELDS = range(7)
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})

# OS/2 2.x gives 3 and 4 another meaning than Windows: a fax code, and runs of 24 bit pixels.
_OS2_SIZES = (16, 64)


def probe(data: Buffer) -> Facts:
    """The facts of a whole BMP: all its rows are inside the file, or all its runs if compressed."""
    facts, pixels, row = _header(data)
    compression, stored = _compression(data)
    needed = stored if compression in (_RLE8, _RLE4) else row * facts.height
    if pixels + needed > len(data):
        raise TruncatedImage(format="BMP")
    return facts


def describe(head: Buffer, *, full: bool) -> Facts:
    """The facts from the two headers."""
    facts = _header(head)[0]
    _compression(head)
    return facts


def _header(data: Buffer) -> tuple[Facts, int, int]:
    """The facts, the offset of the pixels, and the bytes of one uncompressed row."""
    pixels, header = unpack(_FILE, data, 0)
    width, height, planes, depth = unpack(_CORE if header == 12 else _INFO, data, 18)
    height = abs(height)  # Negative: the rows go from top to bottom.
    if width <= 0 or height == 0 or planes != 1 or depth not in (0, *_DEPTHS) or pixels < 14 + header:
        raise CorruptImage(format="BMP")
    row = (width * depth + 31) // 32 * 4
    return Facts(format="BMP", width=width, height=height), pixels, row


def _compression(data: Buffer) -> tuple[int, int]:
    """The compression and, for run lengths, the bytes they take. Raises for what no BMP reader decodes."""
    header = unpack(_FILE, data, 0)[1]
    depth = int.from_bytes(data[24:26] if header == 12 else data[28:30], "little")
    if header in (12, 16):
        compression, stored = _RGB, 0
    else:
        compression, stored = unpack(_COMPRESSION, data, 30)
    if compression in (_JPEG, _PNG) and header not in _OS2_SIZES:
        raise UnsupportedFormat(format=f"BMP with {'JPEG' if compression == _JPEG else 'PNG'} inside")
    if compression in (_BITFIELDS, _JPEG) and header in _OS2_SIZES:
        raise UnsupportedFormat(format="BMP with OS/2 compression")
    runs = compression in (_RLE8, _RLE4)
    if depth == 0 or compression > _ALPHABITFIELDS or (runs and stored == 0):
        raise CorruptImage(format="BMP")
    if runs and depth != (8 if compression == _RLE8 else 4):
        raise CorruptImage(format="BMP")
    return compression, stored
