"""The strips and tiles of a TIFF for which libtiff has no more than a warning where pixels are missing: those
in JPEG, and in the runs of a fax (Adobe "TIFF Revision 6.0", 10 and 11, and its Technical Note 2).
"""

import os
import struct
from collections.abc import Iterator

import pyvips

from . import repairs
from .refusals import Refused, check_pixels
from .tiff_samples import compression, entries, field

JPEG = 7
_FAX = frozenset({2, 3, 4, 32771})

_STRIPS, _TILES = (273, 279), (324, 325)
_TABLES = 347
_WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"


def only_warned_of(descriptor: int) -> bool:
    """Whether a warning may mean that pixels are missing. It may also mean less, in JPEG."""
    return compression(descriptor) in (JPEG, *_FAX)


def is_jpeg(descriptor: int) -> bool:
    return compression(descriptor) == JPEG


def check_jpeg(descriptor: int, limit: int) -> None:
    """Raises Refused unless every strip or tile has all its pixels, as libjpeg decodes it by itself.

    libtiff also warns of what harms no pixel: chroma of another size than the directory says, scans of a
    progressive image, a last strip as high as the others. Of tiles, which libvips decodes by itself, no
    warning is heard at all.
    """
    for data in _pieces(descriptor):
        pyvips.vips_lib.vips_error_clear()
        try:
            image = pyvips.Image.jpegload_buffer(data, fail_on="error", access="sequential")
            check_pixels(image.width, image.height, limit)
            image.avg()
        except pyvips.Error as error:
            raise Refused("CORRUPT", error.detail) from error
        said = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode(errors="replace")
        if not repairs.has_all_pixels(said):
            raise Refused("CORRUPT", said)
    pyvips.vips_lib.vips_error_clear()


def _pieces(descriptor: int) -> Iterator[bytes]:
    """Each strip or tile as a file of its own, with the tables that all of them share, and with an end, which
    some writers leave out."""
    found: dict[int, Iterator[tuple[int]]] = {}
    tables = b""
    for entry in entries(descriptor):
        if entry.tag == _TABLES:
            tables = tables or field(descriptor, entry, entry.number)
        elif entry.tag in (*_STRIPS, *_TILES) and entry.kind in _WHOLE and entry.tag not in found:
            each = struct.Struct(entry.order + _WHOLE[entry.kind])
            whole = field(descriptor, entry, entry.number * each.size)
            found[entry.tag] = each.iter_unpack(whole[: len(whole) // each.size * each.size])
    offsets, counts = _TILES if _TILES[0] in found else _STRIPS
    start = _SOI + tables.removeprefix(_SOI).removesuffix(_EOI)
    for (offset,), (count,) in zip(found.get(offsets, ()), found.get(counts, ()), strict=False):
        if count:
            yield start + os.pread(descriptor, count, offset).removeprefix(_SOI) + _EOI
