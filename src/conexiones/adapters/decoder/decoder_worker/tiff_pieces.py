"""The strips and tiles of a TIFF for which libtiff has no more than a warning where pixels are missing: those
in JPEG, and in the runs of a fax (Adobe "TIFF Revision 6.0", 10 and 11, and its Technical Note 2).
"""

import os
import struct
from collections.abc import Iterator

import pyvips

from . import repairs
from .refusals import Refused, check_pixels
from .tiff_samples import compression, entries, field, whole_numbers

JPEG = 7
_FAX = frozenset({2, 3, 4, 32771})

_STRIPS, _TILES = (273, 279), (324, 325)
_TABLES = 347
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_OF_FAX = frozenset({258, 259, 262, 266, 277, 292, 293, _TILE_WIDTH, _TILE_HEIGHT})
"""What the pixels of a fax depend on."""
_HEAD = 8  # bytes of a TIFF before anything else

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"


def only_warned_of(descriptor: int) -> bool:
    """Whether a warning may mean that pixels are missing. It may also mean less, in JPEG."""
    return compression(descriptor) in (JPEG, *_FAX)


def is_jpeg(descriptor: int) -> bool:
    return compression(descriptor) == JPEG


def check_tiles(descriptor: int, limit: int) -> None:
    """Raises Refused unless every tile has all its pixels, of which libvips hears no warning."""
    kind = compression(descriptor)
    if kind == JPEG:
        check_jpeg(descriptor, limit)
    elif kind in _FAX:
        _check_fax(descriptor)


def _check_fax(descriptor: int) -> None:
    """Raises Refused unless each tile has all its pixels as the only strip of a file."""
    numbers = {
        entry.tag: found[0]
        for entry in entries(descriptor)
        if entry.tag in _OF_FAX and (found := list(whole_numbers(descriptor, entry)))
    }
    width, height = numbers.pop(_TILE_WIDTH, 0), numbers.pop(_TILE_HEIGHT, 0)
    numbers |= {256: width, 257: height, 278: height, _STRIPS[0]: _HEAD}
    for data in _pieces(descriptor):
        tags = sorted((numbers | {_STRIPS[1]: len(data)}).items())
        directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        head = struct.pack("<2sHI", b"II", 42, _HEAD + len(data))
        whole = head + data + struct.pack("<H", len(tags)) + directory + bytes(4)
        try:
            pyvips.Image.tiffload_buffer(whole, fail_on="warning", access="sequential").avg()
        except pyvips.Error as error:
            raise Refused("CORRUPT", error.detail) from error


def check_jpeg(descriptor: int, limit: int) -> None:
    """Raises Refused unless every strip or tile has all its pixels, as libjpeg decodes it by itself.

    libtiff also warns of what harms no pixel: chroma of another size than the directory says, scans of a
    progressive image, a last strip as high as the others.
    """
    for data in _jpegs(descriptor):
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


def _jpegs(descriptor: int) -> Iterator[bytes]:
    """Each strip or tile as a file of its own, with the tables that all of them share, and with an end, which
    some writers leave out."""
    found = (field(descriptor, entry, entry.number) for entry in entries(descriptor) if entry.tag == _TABLES)
    start = _SOI + next(found, b"").removeprefix(_SOI).removesuffix(_EOI)
    for data in _pieces(descriptor):
        yield start + data.removeprefix(_SOI) + _EOI


def _pieces(descriptor: int) -> Iterator[bytes]:
    """The bytes of each strip or tile, but for those that were never written."""
    found: dict[int, Iterator[int]] = {}
    for entry in entries(descriptor):
        if entry.tag in (*_STRIPS, *_TILES):
            found.setdefault(entry.tag, whole_numbers(descriptor, entry))
    offsets, counts = _TILES if _TILES[0] in found else _STRIPS
    for offset, count in zip(found.get(offsets, ()), found.get(counts, ()), strict=False):
        if count:
            yield os.pread(descriptor, count, offset)
