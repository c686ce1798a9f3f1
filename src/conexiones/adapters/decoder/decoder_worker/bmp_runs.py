"""Bitmaps in runs: Microsoft "Bitmap Compression" (wingdi.h BI_RLE8 and BI_RLE4).

Pillow leaves out lines without a run, and takes what is skipped at the end for missing.
"""

import os
import struct
from typing import Any

import pyvips

from .refusals import Refused, check_pixels

_RUNS = {1: 8, 2: 4}
"""Compression → bits of a pixel."""

_OLD_HEADERS = (12, 16)  # They know no compression.
_END_OF_LINE, _END, _SKIP = 0, 1, 2
_PAIRS = [bytes((value >> 4, value & 15)) for value in range(256)]


def bitmap(descriptor: int, limit: int) -> Any | None:
    """The image of a BMP in runs; None of another one. Pixels that are skipped have the first colour.

    Raises Refused.
    """
    head = os.pread(descriptor, 54, 0)
    if len(head) < 54:
        return None
    start, header, width, height, depth, compression = struct.unpack_from("<IIii2xHI", head, 10)
    if header in _OLD_HEADERS or _RUNS.get(compression) != depth:
        return None
    upwards, height = height > 0, abs(height)
    check_pixels(width, height, limit)
    (used,) = struct.unpack_from("<I", head, 46)
    colours = min(used or 1 << depth, 1 << depth)
    start = start or 14 + header + 4 * colours
    data = os.pread(descriptor, os.lseek(descriptor, 0, os.SEEK_END) - start, start)
    pixels = _unpacked(data, width, height, depth)
    palette = os.pread(descriptor, min(4 * colours, start - 14 - header), 14 + header)
    image = pyvips.Image.new_from_memory(pixels, width, height, 1, "uchar").maplut(_table(palette))
    return (image.flipver() if upwards else image).copy(interpretation="srgb")


def _table(palette: bytes) -> Any:
    """The colours of all values of 8 bits, of which those that the palette lacks are black."""
    full = palette.ljust(4 * 256, b"\0")
    bgrx = pyvips.Image.new_from_memory(full, 256, 1, 4, "uchar")
    return bgrx[2].bandjoin([bgrx[1], bgrx[0]])


def _unpacked(data: bytes, width: int, height: int, depth: int) -> bytearray:
    """The index of each pixel, line by line as they are stored.

    Raises Refused where the runs end before their end or that of the last line, unless all pixels are there.
    """
    pixels, seen = bytearray(width * height), bytearray(width * height)
    x = y = at = 0
    while at + 1 < len(data) and y < height:
        count, value = data[at], data[at + 1]
        at += 2
        if count:
            run = bytes((value,)) * count if depth == 8 else (_PAIRS[value] * 128)[:count]
        elif value == _END_OF_LINE:
            x, y = 0, y + 1
            continue
        elif value == _END:
            return pixels
        elif value == _SKIP:
            if at + 1 >= len(data):
                break
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        else:
            length = value if depth == 8 else (value + 1) // 2
            run = data[at : at + length]
            if len(run) < length:
                break
            run = run if depth == 8 else b"".join(map(_PAIRS.__getitem__, run))[:value]
            at += length + length % 2
        kept = run[: max(0, width - x)]
        place = y * width + x
        pixels[place : place + len(kept)] = kept
        seen[place : place + len(kept)] = b"\1" * len(kept)
        x += len(run)
    if y < height and seen.count(0):
        raise Refused("CORRUPT", "the runs end early")
    return pixels
