"""Two questions to an image: what is it, and is it whole (`probe`); what does its head say (`peek`)."""

import struct
from collections.abc import Callable
from typing import Final, Protocol

from conexiones.domain.formats import bmp, gif, heif, jpeg, png, tiff, webp
from conexiones.domain.formats.facts import Buffer, Facts
from conexiones.domain.formats.signatures import HEAD_BYTES, MARKUP_BYTES, sniff
from conexiones.errors import NotAnImage, TruncatedImage, UnsupportedFormat

PEEK_BYTES: Final = 1 << 20
"""The longest head worth showing to `peek`: it has said by then all it will say."""


class _Describe(Protocol):
    def __call__(self, head: Buffer, *, full: bool) -> Facts: ...


_PROBES: dict[str, Callable[[Buffer], Facts]] = {
    "JPEG": jpeg.probe,
    "PNG": png.probe,
    "GIF": gif.probe,
    "WEBP": webp.probe,
    "TIFF": tiff.probe,
    "BMP": bmp.probe,
    "AVIF": heif.probe_avif,
    "HEIF": heif.probe_heif,
}

_DESCRIPTIONS: dict[str, _Describe] = {
    "JPEG": jpeg.describe,
    "PNG": png.describe,
    "GIF": gif.describe,
    "WEBP": webp.describe,
    "TIFF": tiff.describe,
    "BMP": bmp.describe,
    "AVIF": heif.describe_avif,
    "HEIF": heif.describe_heif,
}

# What reading past the end of a buffer raises: no module checks every read, all are judged here.
_PAST_THE_END = (struct.error, IndexError)


def probe(data: Buffer) -> Facts:
    """The facts of a whole file of any size.

    The structure is followed to its end; pixels are not decoded, so what passes may still fail to decode.
    Memory stays below a few MiB whatever the size. Bytes after the end that the format marks are let be.
    Raises `NotAnImage` and `UnsupportedFormat` as `sniff` does, `TruncatedImage` where bytes are missing,
    `CorruptImage` where the structure does not hold together, and nothing else whatever the bytes are.
    """
    name = sniff(data[:MARKUP_BYTES])
    try:
        return _PROBES[name](data)
    except _PAST_THE_END:
        raise TruncatedImage(format=name) from None


def peek(head: bytes) -> Facts | None:
    """The facts that the first bytes of a file show, or None if they do not show them yet.

    `head` grows by what has come in until facts come back, and need not grow past `PEEK_BYTES`: then the
    size is told even where an orientation that swaps it might still follow. Before that, width × height are
    what `probe` would say, and `frames` is 1 unless the header counts them.
    Raises `NotAnImage` and `UnsupportedFormat` once `HEAD_BYTES` are there, and `CorruptImage` and
    `UnsupportedFormat` as soon as more bytes would not mend it; never for want of bytes.
    """
    try:
        name = sniff(head)
    except (NotAnImage, UnsupportedFormat):
        if len(head) < HEAD_BYTES:
            return None
        raise
    if name in ("AVIF", "HEIF") and len(head) < HEAD_BYTES:
        return None  # Compatible brands still to come may change the verdict.
    try:
        return _DESCRIPTIONS[name](head, full=len(head) >= PEEK_BYTES)
    except (TruncatedImage, *_PAST_THE_END):
        return None
