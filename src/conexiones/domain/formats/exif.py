"""The orientation in EXIF metadata, which JPEG, PNG and WebP carry (CIPA DC-008 "Exif 2.32", 4.6)."""

import struct
from typing import Final

MAX_EXIF_BYTES: Final = 1 << 16
"""The bytes of EXIF that are looked at. A JPEG segment holds no more, and the first IFD is at the front."""

_ORIENTATION = 0x0112
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, in a TIFF structure with or without `Exif\\0\\0` before it.

    It is 1, "as stored", where there is none or it cannot be read, for broken metadata is no reason to refuse
    an image.
    """
    if exif[:6] == b"Exif\0\0":
        exif = exif[6:]
    order = _ORDERS.get(exif[:4])
    if order is None:
        return 1
    try:
        (ifd,) = struct.unpack_from(order + "I", exif, 4)
        (number,) = struct.unpack_from(order + "H", exif, ifd)
    except struct.error:
        return 1
    entries = exif[ifd + 2 : ifd + 2 + 12 * number]
    entries = entries[: len(entries) // 12 * 12]
    for tag, kind, count, value in struct.iter_unpack(order + "HHIHxx", entries):
        if tag == _ORIENTATION:
            return value if (kind, count) == (3, 1) and 1 <= value <= 8 else 1
    return 1
