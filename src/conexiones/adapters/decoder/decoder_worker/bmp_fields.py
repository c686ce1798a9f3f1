"""Bitmaps whose colours are fields of bits: Microsoft "BITMAPV5HEADER" (wingdi.h BI_BITFIELDS and
BI_ALPHABITFIELDS).

Pillow knows those of 5, 6 and 8 bits in the usual orders.
"""

import os
import struct
from typing import Any

import pyvips

from .refusals import Refused, check_pixels

_BITFIELDS, _ALPHABITFIELDS = 3, 6
_OLD_HEADERS = (12, 16, 64)  # In OS/2 the compression has another meaning.
_WITH_ALPHA = 56  # The header of that size, and larger ones, have a mask for transparency.
_MASKS_AT = 54
_DEPTHS = (16, 32)
_PIECE = 1 << 30  # Linux reads hardly more at a time.


def bitmap(descriptor: int, limit: int) -> Any | None:
    """The image of a BMP with fields of any size and place; None of another one. Raises Refused."""
    head = os.pread(descriptor, _MASKS_AT + 16, 0)
    if len(head) < _MASKS_AT + 12:
        return None
    start, header, width, height, depth, compression = struct.unpack_from("<IIii2xHI", head, 10)
    if header in _OLD_HEADERS or compression not in (_BITFIELDS, _ALPHABITFIELDS) or depth not in _DEPTHS:
        return None
    masks = struct.unpack_from("<4I", head.ljust(_MASKS_AT + 16, b"\0"), _MASKS_AT)
    if not any(masks[:3]):
        return None
    transparent = header >= _WITH_ALPHA or compression == _ALPHABITFIELDS
    check_pixels(width, abs(height), limit)
    words = _words(descriptor, start or 14 + header + 12 * (header == 40), width, abs(height), depth)
    red, green, blue = (_field(words, mask) for mask in masks[:3])
    image = red.bandjoin([green, blue])
    alpha = _field(words, masks[3]) if transparent and masks[3] else None
    # Some programs leave 0 in the bits for transparency. Browsers show such images.
    if alpha is not None and alpha.max() > 0:
        image = image.bandjoin(alpha)
    return (image.flipver() if height > 0 else image).copy(interpretation="srgb")


def _words(descriptor: int, start: int, width: int, height: int, depth: int) -> Any:
    """The pixels as one or two numbers of 16 bits, the lower one first. Raises Refused."""
    each = depth // 16
    stride = -(-width * depth // 32) * 4
    size = stride * height
    pieces = range(0, size, _PIECE)
    data = b"".join(os.pread(descriptor, min(_PIECE, size - at), start + at) for at in pieces)
    # The last row may lack the bytes that fill it up to four, and nothing else.
    if len(data) < size - stride + width * depth // 8:
        raise Refused("CORRUPT", "the image is truncated")
    across = stride // 2 // each
    image = pyvips.Image.new_from_memory(data.ljust(size, b"\0"), across, height, each, "ushort")
    return image.crop(0, 0, width, height)


def _field(words: Any, mask: int) -> Any:
    """The samples that a mask names, from 0 to 255. Raises Refused for one that has gaps."""
    if not mask:
        return (words[0] * 0).cast("uchar")
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    if most & (most + 1):
        raise Refused("UNSUPPORTED", f"a mask with gaps, {mask:#x}")
    value = words[0] & (mask & 0xFFFF)
    if words.bands > 1:
        value = (words[1] & (mask >> 16)) * 65536.0 + value
    return (value * (255 / mask) + 0.5).cast("uchar")
