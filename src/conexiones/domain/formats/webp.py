"""WebP: RFC 9649, 2; the frame headers of VP8 (RFC 6386, 9.1) and of VP8L (RFC 9649, 3.4)."""

import struct
from collections.abc import Sequence

from conexiones.domain.formats.header import ImageHeader, oriented
from conexiones.domain.formats.reader import Reader
from conexiones.errors import CorruptImage, TruncatedImage
from conexiones.exif import MAX_EXIF_BYTES, orientation

_RIFF = struct.Struct("<4xI")
_CHUNK = struct.Struct("<4sI")
_VP8 = struct.Struct("<B2x3sHH")
_VP8L = struct.Struct("<BI")
_VP8X = struct.Struct("<B3x6B")
_ANMF = struct.Struct("<12B")
_ANIMATED, _EXIF = 0x02, 0x08
_FIRST = 12


def probe(file: Reader) -> ImageHeader:
    """The header of a whole WebP, which has as many bytes as RIFF says, and chunks that fill them."""
    (riff,) = file.unpack(_RIFF, 0)
    end = 8 + riff
    if end > file.size:
        raise TruncatedImage(format="WEBP")
    kind, start, stop = _chunk(file, _FIRST, end)
    if kind in (b"VP8 ", b"VP8L"):
        return oriented("WEBP", *_bitstream_size(file, kind, start, stop), 1)
    width, height, flags = _extended(file, kind, start, stop)
    pictures = frames = 0
    turned = 0
    position = stop
    while (position := position + (position & 1)) + 8 <= end:
        kind, start, stop = _chunk(file, position, end)
        if kind in (b"VP8 ", b"VP8L"):
            pictures += 1
            if _bitstream_size(file, kind, start, stop) != (width, height) and not flags & _ANIMATED:
                raise CorruptImage(format="WEBP")
        elif kind == b"ANMF":
            frames += 1
            _check_frame(file, start, stop, width, height)
        elif kind == b"EXIF" and flags & _EXIF and not turned:
            turned = orientation(file.bytes(start, min(stop, start + MAX_EXIF_BYTES)))
        position = stop
    found = frames if flags & _ANIMATED else pictures
    if not found:
        raise CorruptImage(format="WEBP")
    return oriented("WEBP", width, height, turned, frames if flags & _ANIMATED else 1)


def peek(head: Reader, *, full: bool) -> ImageHeader:
    """What the first chunk says. If it announces EXIF, which comes after the pixels, all bytes are needed,
    unless `full` is true."""
    (riff,) = head.unpack(_RIFF, 0)
    kind, length = head.unpack(_CHUNK, _FIRST)
    start = _FIRST + 8
    stop = start + length
    if stop > 8 + riff:
        raise CorruptImage(format="WEBP")
    if kind in (b"VP8 ", b"VP8L"):
        return oriented("WEBP", *_bitstream_size(head, kind, start, stop), 1)
    width, height, flags = _extended(head, kind, start, stop)
    if flags & _EXIF and not full:
        if 8 + riff <= head.size:
            return probe(head)
        raise TruncatedImage(format="WEBP")
    return oriented("WEBP", width, height, 1)


def _chunk(file: Reader, position: int, end: int) -> tuple[bytes, int, int]:
    """The type of the chunk at `position`, and where its payload starts and stops.

    Raises CorruptImage if it stops after `end`.
    """
    file.spend(2)
    kind, length = file.unpack(_CHUNK, position)
    start = position + 8
    if start + length > end:
        raise CorruptImage(format="WEBP")
    return kind, start, start + length


def _bitstream_size(file: Reader, kind: bytes, start: int, stop: int) -> tuple[int, int]:
    """Width × height of a VP8 key frame or a VP8L image."""
    if kind == b"VP8 ":
        flags, sync, width, height = file.unpack(_VP8, start)
        width, height = width & 0x3FFF, height & 0x3FFF  # The upper two bits are an unused scale.
        sound = not flags & 1 and sync == b"\x9d\x01\x2a" and stop - start >= 10
    else:
        signature, bits = file.unpack(_VP8L, start)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        sound = signature == 0x2F and bits >> 29 == 0 and stop - start >= 5
    if not sound or not width or not height:
        raise CorruptImage(format="WEBP")
    return width, height


def _extended(file: Reader, kind: bytes, start: int, stop: int) -> tuple[int, int, int]:
    """Width × height of the canvas, and the flags, of a VP8X chunk."""
    if kind != b"VP8X" or stop - start < 10:
        raise CorruptImage(format="WEBP")
    flags, *size = file.unpack(_VP8X, start)
    width, height = 1 + _u24(size[:3]), 1 + _u24(size[3:])
    if width * height >= 1 << 32:
        raise CorruptImage(format="WEBP")
    return width, height, flags


def _check_frame(file: Reader, start: int, stop: int, width: int, height: int) -> None:
    """Checks that a frame of an animation has an image, and that it is inside the canvas."""
    if stop - start < 24:
        raise CorruptImage(format="WEBP")
    place = file.unpack(_ANMF, start)
    right = 2 * _u24(place[:3]) + _u24(place[6:9]) + 1
    bottom = 2 * _u24(place[3:6]) + _u24(place[9:]) + 1
    if right > width or bottom > height:
        raise CorruptImage(format="WEBP")


def _u24(three: Sequence[int]) -> int:
    low, middle, high = three
    return low | middle << 8 | high << 16
