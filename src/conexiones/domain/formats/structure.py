"""`probe` says what an image is and whether it is whole; `peek` says what its first bytes show."""

import struct
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from conexiones.domain.formats import bmp, gif, heif, jpeg, png, tiff, webp
from conexiones.domain.formats.header import Buffer, ImageHeader
from conexiones.domain.formats.reader import BRIEF_PARTS, Reader, TooManyParts, affordable
from conexiones.domain.formats.signatures import HEAD_BYTES, MARKUP_BYTES, sniff
from conexiones.errors import CorruptImage, NotAnImage, TruncatedImage, UnsupportedFormat
from conexiones.image_formats import ImageFormat

PEEK_BYTES: Final = 1 << 20
"""The longest head that is worth giving to `peek`: more bytes would not change its answer."""


class _Peek(Protocol):
    def __call__(self, head: Reader, *, full: bool) -> ImageHeader: ...


_FORMATS: dict[ImageFormat, tuple[Callable[[Reader], ImageHeader], _Peek]] = {
    "JPEG": (jpeg.probe, jpeg.peek),
    "PNG": (png.probe, png.peek),
    "GIF": (gif.probe, gif.peek),
    "WEBP": (webp.probe, webp.peek),
    "TIFF": (tiff.probe, tiff.peek),
    "BMP": (bmp.probe, bmp.peek),
    "AVIF": (partial(heif.probe, "AVIF"), partial(heif.peek, "AVIF")),
    "HEIF": (partial(heif.probe, "HEIF"), partial(heif.peek, "HEIF")),
}

# What reading past the end of a buffer raises. The format modules do not check every read; it is caught here.
_PAST_THE_END = (struct.error, IndexError)


def probe(data: Buffer) -> ImageHeader:
    """The header of a whole file of any size.

    The structure is followed to its end. Pixels are not decoded, so a file that passes may still fail to
    decode. Memory stays below a few MiB whatever the size. Bytes after the end of the image are ignored.
    Raises NotAnImage and UnsupportedFormat as `sniff` does, TruncatedImage where bytes are missing,
    CorruptImage where the structure contradicts itself or has more parts than honest files have (`reader`),
    and nothing else whatever the bytes are.
    """
    try:
        return judged(Reader(data, affordable(len(data))))
    except TooManyParts:
        raise CorruptImage(format=sniff(data[:MARKUP_BYTES])) from None


def glance(data: Buffer) -> ImageHeader | None:
    """The same for the event loop: None for a file with so many parts that it would take long."""
    try:
        return judged(Reader(data, BRIEF_PARTS))
    except TooManyParts:
        return None


def judged(file: Reader) -> ImageHeader:
    """The header of a whole file, whose parts the reader's budget pays for. Raises TooManyParts, too."""
    name = sniff(file.bytes(0, MARKUP_BYTES))
    try:
        return _FORMATS[name][0](file)
    except _PAST_THE_END:
        raise TruncatedImage(format=name) from None


def peek(head: bytes) -> ImageHeader | None:
    """The header that the first bytes of a file show, or None if they do not show it yet.

    Call it with a longer head until it gives a header; none need be longer than PEEK_BYTES, for which the
    size is given even where an orientation that swaps it might still follow. For a shorter head, width ×
    height are what `probe` would say. `frames` is 1 unless the header counts them.
    Raises NotAnImage and UnsupportedFormat once HEAD_BYTES are there, and CorruptImage and UnsupportedFormat
    as soon as no more bytes could mend the file. It never raises because bytes are missing. What would take
    long is left to `probe`: then the answer is None, too.
    """
    try:
        name = sniff(head)
    except (NotAnImage, UnsupportedFormat):
        if len(head) < HEAD_BYTES:
            return None
        raise
    if name in ("AVIF", "HEIF") and len(head) < HEAD_BYTES:
        return None  # Compatible brands that are still to come may decide otherwise.
    try:
        return _FORMATS[name][1](Reader(head, BRIEF_PARTS), full=len(head) >= PEEK_BYTES)
    except (TruncatedImage, TooManyParts, *_PAST_THE_END):
        return None
