"""BMP: Microsoft "Bitmap Storage" (wingdi.h BITMAPFILEHEADER to BITMAPV5HEADER), and OS/2's headers."""

import struct

from conexiones.domain.formats.header import ImageHeader
from conexiones.domain.formats.reader import Reader
from conexiones.errors import CorruptImage, TruncatedImage, UnsupportedFormat

_FILE = struct.Struct("<10xII")  # after BM: offset of the pixels, then the size of the header that follows
_CORE = struct.Struct("<HHHH")
_INFO = struct.Struct("<iiHH")
_DEPTH = struct.Struct("<H")
_COMPRESSION = struct.Struct("<II")

_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHABITFIELDS = range(7)
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})

# In OS/2 2.x the compressions 3 and 4 mean a fax code and runs of 24-bit pixels, unlike in Windows.
_OS2_SIZES = (16, 64)


def probe(file: Reader) -> ImageHeader:
    """The header of a whole BMP, whose rows, or runs where it is compressed, are all inside the file."""
    header, pixels, row = _header(file)
    compression, stored = _compression(file)
    needed = stored if compression in (_RLE8, _RLE4) else row * header.height
    if pixels + needed > file.size:
        raise TruncatedImage(format="BMP")
    return header


def peek(head: Reader, *, full: bool) -> ImageHeader:
    """What the two headers of the file say."""
    header = _header(head)[0]
    _compression(head)
    return header


def _header(file: Reader) -> tuple[ImageHeader, int, int]:
    """What the headers say, the offset of the pixels, and the bytes of one uncompressed row."""
    pixels, header = file.unpack(_FILE, 0)
    width, height, planes, depth = file.unpack(_CORE if header == 12 else _INFO, 18)
    height = abs(height)  # A negative height means that the rows go from top to bottom.
    if width <= 0 or height == 0 or planes != 1 or depth not in (0, *_DEPTHS) or pixels < 14 + header:
        raise CorruptImage(format="BMP")
    row = (width * depth + 31) // 32 * 4
    return ImageHeader(format="BMP", width=width, height=height), pixels, row


def _compression(file: Reader) -> tuple[int, int]:
    """The compression and, for run lengths, the number of bytes they take.

    Raises UnsupportedFormat or CorruptImage for what no BMP reader decodes.
    """
    header = file.unpack(_FILE, 0)[1]
    (depth,) = file.unpack(_DEPTH, 24 if header == 12 else 28)
    if header in (12, 16):
        compression, stored = _RGB, 0
    else:
        compression, stored = file.unpack(_COMPRESSION, 30)
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
