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
_COLOURS = struct.Struct("<I")

_RGB, _RLE8, _RLE4, _BITFIELDS, _JPEG, _PNG, _ALPHABITFIELDS = range(7)
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32})

# In OS/2 2.x the compressions 3 and 4 mean a fax code and runs of 24-bit pixels, unlike in Windows.
_OS2_SIZES = (16, 64)

_END_OF_RUNS = b"\0\1"


def probe(file: Reader) -> ImageHeader:
    """The header of a whole BMP, whose rows, or runs where it is compressed, are all inside the file.

    The last row may lack the bytes that fill it up to four. Where the size of the runs is not given, decoding
    shows whether all are there; where it is too large, the file has to end with the end of the runs.
    """
    header, row = _header(file)
    compression, stored = _compression(file)
    pixels = _pixels(file, compression)
    if compression in (_RLE8, _RLE4):
        whole = pixels + max(stored, 1) <= file.size or _ends_runs(file, pixels)
    else:
        whole = pixels + (row + 31) // 32 * 4 * (header.height - 1) + (row + 7) // 8 <= file.size
    if not whole:
        raise TruncatedImage(format="BMP")
    return header


def _ends_runs(file: Reader, pixels: int) -> bool:
    """Whether the runs end with their end, perhaps filled up to four bytes. All codes have two bytes, or an
    even number of them."""
    for filling in range(4):
        at = file.size - filling - len(_END_OF_RUNS)
        even = at >= pixels and not (at - pixels) % 2
        if even and file.bytes(at, file.size) == _END_OF_RUNS + bytes(filling):
            return True
    return False


def _pixels(file: Reader, compression: int) -> int:
    """The offset of the pixels. Where the file gives none they follow the headers and the palette."""
    pixels: int
    header: int
    pixels, header = file.unpack(_FILE, 0)
    if pixels:
        return pixels
    (depth,) = file.unpack(_DEPTH, 24 if header == 12 else 28)
    (colours,) = file.unpack(_COLOURS, 46) if header >= 40 else (0,)
    masks = 12 if header == 40 and compression == _BITFIELDS else 0
    palette = min(colours or 1 << depth, 1 << depth) if depth <= 8 else 0
    return 14 + header + masks + palette * (3 if header == 12 else 4)


def peek(head: Reader, *, full: bool) -> ImageHeader:
    """What the two headers of the file say."""
    header = _header(head)[0]
    _compression(head)
    return header


def _header(file: Reader) -> tuple[ImageHeader, int]:
    """What the headers say, and the bits of one uncompressed row. Nobody looks at the number of planes."""
    pixels, header = file.unpack(_FILE, 0)
    width, height, _, depth = file.unpack(_CORE if header == 12 else _INFO, 18)
    height = abs(height)  # A negative height means that the rows go from top to bottom.
    if width <= 0 or height == 0 or depth not in (0, *_DEPTHS) or 0 < pixels < 14 + header:
        raise CorruptImage(format="BMP")
    return ImageHeader(format="BMP", width=width, height=height), width * depth


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
    if depth == 0 or compression > _ALPHABITFIELDS:
        raise CorruptImage(format="BMP")
    if runs and depth != (8 if compression == _RLE8 else 4):
        raise CorruptImage(format="BMP")
    return compression, stored
