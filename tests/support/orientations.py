"""Files that say in every possible way how they are to be turned.

The orientation stands in an entry of a directory (TIFF 6.0, 2): that of EXIF in JPEG, PNG and WebP, and that
of the page in TIFF.
"""

import io
import struct

from PIL import Image

from tests.support import tiffs
from tests.support.corpus import chunk
from tests.support.tiffs import Entry, directory, head

ORIENTATION = 274

CODES = {
    1: "B",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    8: "h",
    9: "i",
    10: "ii",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
}
"""Type → how struct has one value. 5 and 10 are fractions, 11 and 12 floating-point numbers, 13 offsets."""


def entry(order: str, kind: int, *values: int, count: int | None = None) -> Entry:
    """An orientation of that type, with the byte order that struct calls `order`."""
    code = CODES[kind]
    packed = b"".join(
        struct.pack(order + code, *((value, 1) if len(code) == 2 else (value,))) for value in values
    )
    return ORIENTATION, kind, len(values) if count is None else count, packed


def exif(order: str, *entries: Entry) -> bytes:
    """An EXIF block without `Exif\\0\\0`."""
    return head(order, 8) + directory(order, entries, 8)


def with_exif(format: str, image: Image.Image, *blocks: bytes) -> bytes:
    """A JPEG, PNG or WebP of the image with EXIF blocks, as they are: that of JPEG needs its `Exif\\0\\0`."""
    file = io.BytesIO()
    options = {"lossless": True, "exif": b"II*\0"} if format == "WEBP" else {"quality": 95, "subsampling": 0}
    image.save(file, format, **options)
    data = file.getvalue()
    match format:
        case "JPEG":
            segments = (b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block for block in blocks)
            return data[:2] + b"".join(segments) + data[2:]
        case "PNG":
            return data[:33] + b"".join(chunk(b"eXIf", block) for block in blocks) + data[33:]
        case _:
            chunks = (
                struct.pack("<4sI", b"EXIF", len(block)) + block + b"\0" * (len(block) & 1)
                for block in blocks
            )
            data = data[: data.rindex(b"EXIF")] + b"".join(chunks)
            return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]


def tiff(order: str, image: Image.Image, *entries: Entry) -> bytes:
    """A TIFF of an image with 8-bit RGB, with those entries besides those that it needs."""
    return tiffs.tiff(image.size, [image.tobytes()], *entries, order=order)
