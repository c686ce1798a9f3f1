"""A GIF as libvips' decoder, libnsgif, needs it. The server has accepted the file before."""

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from .refusals import Refused, check_pixels

_EXTENSION, _DESCRIPTOR, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL = b"\xf9"
_CONTROL_BYTES, _TO_BACKGROUND = 5, 2
"""The length of its data, and how the image after it is disposed of (GIF89a, 23)."""

_LOOPS = (b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0")
_PIECE = 256 << 10
_MOST_SIDE = 0xFFFF

_PADDING = b"\x02\0\0"
"""A data sub-block that is added to the data of every image. libnsgif loses the last pixels where neither the
code for the end of information nor any other bytes follow them. It ignores what follows the last pixel."""

_CORNER = b"!\xf9\4\1\0\0\0\0,%b\1\0\1\0\0\2\2\x44\1\0"
"""An image of one transparent pixel (GIF89a, 20 to 23), without its place."""


class Tidy(NamedTuple):
    """A file for libnsgif, and how many of its first images stand for nothing."""

    data: bytes
    before: int


def tidied(descriptor: int, limit: int, *, whole: bool) -> Tidy:
    """The file without bytes that stand between blocks, at which libnsgif would stop, and without extensions
    that change no picture. It ends after the first image unless `whole` is true.

    Where the first image does not cover the canvas, a transparent pixel in its last corner comes before it.
    For libnsgif makes the canvas as small as the first image if the screen is larger than 2,048 pixels, or
    has the size of an old monitor; and what no image covers would be black if none has transparency.

    Raises Refused if an image has more than `limit` pixels, or fewer than its size asks for, which libnsgif
    would show all the same.
    """
    pieces = list(_blocks(_File(descriptor), limit, whole=whole))
    corner = _corner(pieces[0], next((piece for piece in pieces if piece[0] == _DESCRIPTOR), b""))
    if corner:
        pieces.insert(1, corner)
    return Tidy(b"".join(pieces), int(bool(corner)))


def _corner(screen: bytes, image: bytes) -> bytes:
    """A transparent pixel in the last corner of the canvas; nothing where an image covers all of it."""
    width, height = struct.unpack_from("<HH", screen, 6)
    left, top, wide, high = struct.unpack_from("<HHHH", image, 1)
    right, bottom = max(width, left + wide), max(height, top + high)
    if (left, top, wide, high) == (0, 0, right, bottom) or max(right, bottom) > _MOST_SIDE:
        return b""
    return _CORNER % struct.pack("<HH", right - 1, bottom - 1)


class _File:
    """The bytes of a file, looked at from front to back."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._base = 0
        self._piece = b""

    def take(self, start: int, length: int) -> bytes:
        """Those bytes, or fewer at the end of the file."""
        at = start - self._base
        if at < 0 or at + length > len(self._piece):
            self._base, at = start, 0
            self._piece = os.pread(self._descriptor, max(length, _PIECE), start)
        return self._piece[at : at + length]


def _blocks(file: _File, limit: int, *, whole: bool) -> Iterator[bytes]:
    head = file.take(0, 13)
    position = 13 + _table_bytes(head[10:11])
    yield file.take(0, position)
    control = b""  # that of the next image
    while (introducer := file.take(position, 1)[:1]) and introducer[0] != _TRAILER:
        start = position
        if introducer[0] == _EXTENSION:
            position += 2
        elif introducer[0] == _DESCRIPTOR:
            position += 11 + _table_bytes(file.take(position + 9, 1))
        else:
            position += 1
            continue
        head = file.take(start, position - start)
        data, position = _data(file, position)
        if introducer[0] == _EXTENSION and head[1:] != _CONTROL and not data.startswith(_LOOPS):
            continue  # a comment, or what is not known
        if head[1:] == _CONTROL:
            control = data
            continue
        if introducer[0] == _EXTENSION:
            yield head + data + b"\0"
            continue
        pixels = _pixels(head, data, limit)
        if control:
            yield b"!\xf9" + (_cleared(control, pixels, head[-1]) if whole else control) + b"\0"
            control = b""
        yield head + data
        yield _PADDING + b"\0"
        if not whole:
            break
    yield bytes((_TRAILER,))


def _cleared(control: bytes, pixels: Image.Image | None, code_bits: int) -> bytes:
    """The control block of an image after which its place is transparent, if it is to be cleared, as in
    browsers.

    libnsgif fills it with the background colour of the screen unless the image has transparency. So it gets
    a transparent colour that no pixel has. It stays as it is if its pixels have all colours that there are.
    """
    if len(control) != _CONTROL_BYTES or control[1] >> 2 & 7 != _TO_BACKGROUND or control[1] & 1:
        return control
    counts = pixels.histogram() if pixels and code_bits >= 8 else [1] * 255 + [0]
    if 0 not in counts:
        return control
    return control[:1] + bytes((control[1] | 1,)) + control[2:4] + bytes((counts.index(0),))


def _data(file: _File, position: int) -> tuple[bytes, int]:
    """The data sub-blocks at a position, and the position after their terminator."""
    pieces: list[bytes] = []
    start = position
    while (length := file.take(position, 1)) and length != b"\0":
        position += 1 + length[0]
        if position - start > _PIECE:
            pieces.append(file.take(start, position - start))
            start = position
    pieces.append(file.take(start, position - start))
    return b"".join(pieces), position + 1


def _pixels(head: bytes, data: bytes, limit: int) -> Image.Image | None:
    """The pixels of an image, of which the data follow its descriptor; None if it has no size. Raises Refused
    unless all are there."""
    width, height = struct.unpack_from("<HH", head, 5)
    check_pixels(width, height, limit)
    if not width or not height:
        return None
    try:
        return Image.frombytes("P", (width, height), data + b"\0", "gif", head[-1], 0)
    except (ValueError, OSError) as error:
        raise Refused("CORRUPT", repr(error)) from error


def _table_bytes(flags: bytes) -> int:
    """The bytes of the colour table that the flags of a screen or image announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0
