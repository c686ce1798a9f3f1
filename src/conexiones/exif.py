"""The orientation in EXIF metadata, which JPEG, PNG and WebP carry (CIPA DC-008 "Exif 2.32", 4.6).

Those who judge images and those who render them take it from here, so that they see the same image: the
domain, and the workers of the decoder, which import nothing else of Conexiones. Like libexif, and with it
libvips, this takes a whole number of any type, where the standard has one SHORT.
"""

import struct
from typing import Final

MAX_EXIF_BYTES: Final = 1 << 16
"""The bytes of EXIF that are looked at. A JPEG segment holds no more, and the first IFD is at the front."""

BYTE_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
"""The first bytes of EXIF, `Exif\\0\\0` left aside, and the byte order of what follows as struct has it."""

_PREFIX = b"Exif\0\0"
_SEEN_BYTES = 0xFFFE  # libexif looks at no more, prefix included.
_ORIENTATION = 0x0112

# Bytes per value of each type that Exif has, and how those are read that libexif makes a number of.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii"}


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in a TIFF structure with or without `Exif\\0\\0` before it.

    It is 1, "as stored", where there is none or it cannot be read, for broken metadata is no reason to refuse
    an image. Of several entries, the first one whose values are there counts.
    """
    exif = exif.removeprefix(_PREFIX)[: _SEEN_BYTES - len(_PREFIX)]
    order = BYTE_ORDERS.get(exif[:4])
    if order is None:
        return 1
    try:
        (ifd,) = struct.unpack_from(order + "I", exif, 4)
        (number,) = struct.unpack_from(order + "H", exif, ifd)
    except struct.error:
        return 1
    start = ifd + 2
    entries = exif[start : start + 12 * number]
    entries = entries[: len(entries) // 12 * 12]
    for at, (tag, kind, count, value) in enumerate(struct.iter_unpack(order + "HHII", entries)):
        if tag == _ORIENTATION:
            size = _BYTES.get(kind, 0) * count
            position = value if size > 4 else start + 12 * at + 8
            if size and position + size <= len(exif):
                return _number(order, kind, exif, position)
    return 1


def _number(order: str, kind: int, exif: bytes, position: int) -> int:
    """The first value of an entry, as an orientation."""
    if kind not in _NUMBERS:
        return 1
    value, *below = struct.unpack_from(order + _NUMBERS[kind], exif, position)
    if below:
        value = value // below[0] if below[0] > 0 else 0
    value &= 0xFFFF  # libexif keeps it as a SHORT.
    return value if 1 <= value <= 8 else 1
