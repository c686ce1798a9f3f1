"""WebP: RFC 9649, 2; the frame headers of VP8 (RFC 6386, 9.1) and of VP8L (RFC 9649, 3.4)."""

import struct

from conexiones.domain.formats.exif import MAX_EXIF_BYTES, orientation
from conexiones.domain.formats.header import MAX_PARTS, Buffer, ImageHeader, oriented, unpack
from conexiones.errors import CorruptImage, TruncatedImage

_RIFF = struct.Struct("<4xI")
_CHUNK = struct.Struct("<4sI")
_VP8 = struct.Struct("<B2x3sHH")
_VP8L = struct.Struct("<BI")
_ANIMATED, _EXIF = 0x02, 0x08
_FIRST = 12


def probe(data: Buffer) -> ImageHeader:
    """The header of a whole WebP, which has as many bytes as RIFF says, and chunks that fill them."""
    (riff,) = unpack(_RIFF, data, 0)
    end = 8 + riff
    if end > len(data):
        raise TruncatedImage(format="WEBP")
    kind, start, stop = _chunk(data, _FIRST, end)
    if kind in (b"VP8 ", b"VP8L"):
        return oriented("WEBP", *_bitstream_size(data, kind, start, stop), 1)
    width, height, flags = _extended(data, kind, start, stop)
    pictures = frames = 0
    turned = 0
    position = stop
    for _ in range(MAX_PARTS):
        position += position & 1
        if position + 8 > end:
            break
        kind, start, stop = _chunk(data, position, end)
        if kind in (b"VP8 ", b"VP8L"):
            pictures += 1
            if _bitstream_size(data, kind, start, stop) != (width, height) and not flags & _ANIMATED:
                raise CorruptImage(format="WEBP")
        elif kind == b"ANMF":
            frames += 1
            _check_frame(data, start, stop, width, height)
        elif kind == b"EXIF" and flags & _EXIF and not turned:
            turned = orientation(data[start : min(stop, start + MAX_EXIF_BYTES)])
        position = stop
    else:
        raise CorruptImage(format="WEBP")
    found = frames if flags & _ANIMATED else pictures
    if not found:
        raise CorruptImage(format="WEBP")
    return oriented("WEBP", width, height, turned, frames if flags & _ANIMATED else 1)


def peek(head: Buffer, *, full: bool) -> ImageHeader:
    """What the first chunk says. If it announces EXIF, which comes after the pixels, all bytes are needed,
    unless `full` is true."""
    (riff,) = unpack(_RIFF, head, 0)
    kind, length = unpack(_CHUNK, head, _FIRST)
    start = _FIRST + 8
    stop = start + length
    if stop > 8 + riff:
        raise CorruptImage(format="WEBP")
    if kind in (b"VP8 ", b"VP8L"):
        return oriented("WEBP", *_bitstream_size(head, kind, start, stop), 1)
    width, height, flags = _extended(head, kind, start, stop)
    if flags & _EXIF and not full:
        if 8 + riff <= len(head):
            return probe(head)
        raise TruncatedImage(format="WEBP")
    return oriented("WEBP", width, height, 1)


def _chunk(data: Buffer, position: int, end: int) -> tuple[bytes, int, int]:
    """The type of the chunk at `position`, and where its payload starts and stops.

    Raises CorruptImage if it stops after `end`.
    """
    kind, length = unpack(_CHUNK, data, position)
    start = position + 8
    if start + length > end:
        raise CorruptImage(format="WEBP")
    return kind, start, start + length


def _bitstream_size(data: Buffer, kind: bytes, start: int, stop: int) -> tuple[int, int]:
    """Width × height of a VP8 key frame or a VP8L image."""
    if kind == b"VP8 ":
        flags, sync, width, height = unpack(_VP8, data, start)
        width, height = width & 0x3FFF, height & 0x3FFF  # The upper two bits are an unused scale.
        sound = not flags & 1 and sync == b"\x9d\x01\x2a" and stop - start >= 10
    else:
        signature, bits = unpack(_VP8L, data, start)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        sound = signature == 0x2F and bits >> 29 == 0 and stop - start >= 5
    if not sound or not width or not height:
        raise CorruptImage(format="WEBP")
    return width, height


def _extended(data: Buffer, kind: bytes, start: int, stop: int) -> tuple[int, int, int]:
    """Width × height of the canvas, and the flags, of a VP8X chunk."""
    if kind != b"VP8X" or stop - start < 10:
        raise CorruptImage(format="WEBP")
    width = 1 + _u24(data, start + 4)
    height = 1 + _u24(data, start + 7)
    if width * height >= 1 << 32:
        raise CorruptImage(format="WEBP")
    return width, height, data[start]


def _check_frame(data: Buffer, start: int, stop: int, width: int, height: int) -> None:
    """Checks that a frame of an animation has an image, and that it is inside the canvas."""
    if stop - start < 24:
        raise CorruptImage(format="WEBP")
    right = 2 * _u24(data, start) + _u24(data, start + 6) + 1
    bottom = 2 * _u24(data, start + 3) + _u24(data, start + 9) + 1
    if right > width or bottom > height:
        raise CorruptImage(format="WEBP")


def _u24(data: Buffer, position: int) -> int:
    return data[position] | data[position + 1] << 8 | data[position + 2] << 16
