"""Small faults of files that other readers forgive, mended for the libraries of libvips."""

import io
import os
import re
import struct
import zlib
from itertools import zip_longest
from typing import Any

from .tiff_samples import Entry, entries, values, whole_numbers

# libjpeg gives a warning both if half of the picture is lost and if a stray byte stands between two segments.
# Pixels are missing after the warnings that match here (jerror.h of libjpeg-turbo). The others are common in
# photographs.
_DAMAGED = re.compile(r"premature end|bad Huffman code|bad arithmetic code|instead of RST")
_SURPLUS = re.compile(r"(\d+) extraneous bytes before marker 0xd[0-7]")

MOST_SURPLUS = 16
"""Bytes that may follow the pixels of a restart interval. More mean that the pixels were read out of step."""

# Markers of JPEG (ITU-T T.81, table B.1) and JFIF.
_SOI, _SOS, _EOI, _TEM, _APP0, _APP2, _APP14 = 0xD8, 0xDA, 0xD9, 0x01, 0xE0, 0xE2, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_PIECE = 4 << 10
_TABLES = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDC, 0xDD, 0xDE, 0xDF})
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")

# The fields of TIFF 6.0 and the ICC profile, without those that say where an image is from and what it shows.
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325}
    | {332, 338, 339, 347, 529, 530, 532, 34675}
)
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES = (
    256,
    257,
    258,
    259,
    273,
    274,
    277,
)
_ROWS_PER_STRIP, _STRIP_COUNTS, _PLANES, _PALETTE, _TILE_OFFSETS = 278, 279, 284, 320, 324
_LONG = 4
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0"

# Of PNG: the bit of small letters; the largest window, as a zlib header has it; and the bytes of a chunk that
# are looked at, which are all of one with transparency.
_SMALL, _LARGEST_WINDOW, _SEEN = 0x20, 7, 1024
_COLOUR_TYPE_AT = 25

# Where the flags of a WebP are, two of them, and that of transparency in its lossless pixels (RFC 9649, 2.7
# and 3.4).
_VP8X_FLAGS, _WEBP_ALPHA, _WEBP_ANIMATED, _VP8L_ALPHA = 20, 0x10, 0x02, 0x10


class Bitmap(io.FileIO):
    """A BMP that never says to have more colours than its depth allows, as some do and as Pillow refuses. All
    other readers take the palette as far as it counts."""

    _USED_AT = 46  # of BITMAPINFOHEADER and the later ones: the number of colours

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "rb", closefd=False)
        head = os.pread(descriptor, self._USED_AT + 4, 0)
        self._mended = b""
        if len(head) == self._USED_AT + 4 and int.from_bytes(head[14:18], "little") >= 40:
            depth, used = struct.unpack("<H16xI", head[28:])
            if depth <= 8 and used > 1 << depth:
                self._mended = struct.pack("<I", 1 << depth)

    def readinto(self, buffer: Any, /) -> int:
        at = self.tell()
        view = memoryview(buffer).cast("B")
        length = super().readinto(view) or 0
        for place, byte in enumerate(self._mended, self._USED_AT - at):
            if 0 <= place < length:
                view[place] = byte
        return length


def has_all_pixels(error: str) -> bool:
    """Whether a JPEG has all its pixels although libjpeg said that.

    If strict reading failed with it, lenient reading gives the whole picture, unless worse comes after it.
    """
    surplus = (int(found) for found in _SURPLUS.findall(error))
    return not _DAMAGED.search(error) and all(number <= MOST_SURPLUS for number in surplus)


def is_lossless(descriptor: int) -> bool:
    """Whether a JPEG is lossless, by the marker of its frame."""
    position = 2
    while True:
        piece = os.pread(descriptor, _PIECE, position)
        found = _MARKER.search(piece)
        if not found:
            if len(piece) < _PIECE:
                return False
            position += _PIECE - 1
            continue
        marker = found[1][0]
        if marker in _FRAMES or marker in (_SOS, _EOI):
            return marker in _LOSSLESS
        position += found.end()
        if marker != _TEM:
            position += max(2, int.from_bytes(os.pread(descriptor, 2, position)))


def plain_jpeg(descriptor: int) -> bytes:
    """A JPEG with nothing before its first scan that libjpeg might complain of: only what the pixels need and
    what their colours are. Strict reading of it finds what the scans themselves lack."""
    data = _whole(descriptor)
    kept = [b"\xff\xd8"]
    position = 2
    while found := _MARKER.search(data, position):
        marker, position = found[1][0], found.end()
        if marker == _TEM:
            continue
        if marker in (_SOI, _EOI):
            break
        end = position + int.from_bytes(data[position : position + 2])
        segment = data[position + 2 : end]
        if marker == _APP0 and segment.startswith(b"JFIF\0"):
            kept.append(_JFIF)
        elif (
            marker in _TABLES
            or (marker == _APP2 and segment.startswith(b"ICC_PROFILE\0"))
            or (marker == _APP14 and segment.startswith(b"Adobe"))
        ):
            kept.append(bytes((0xFF, marker)) + data[position:end])
        elif marker == _SOS:
            kept.append(b"\xff\xda" + data[position:])
            break
        position = max(end, position)
    return b"".join(kept)


def plain_png(descriptor: int) -> bytes | None:
    """A PNG without small faults at which libpng or libvips stops. None if it has none of these:

    - a zlib header that promises a smaller window than is used, which libpng believes;
    - a chunk whose name has a small third letter, which is reserved, though no pixel depends on the chunk;
    - transparency with a wrong CRC, which libvips finds in the header and then misses;
    - a palette with bytes at its end that make no colour.
    """
    faults: list[tuple[int, bytes]] = []
    position, inflating = 8, False
    while len(chunk := os.pread(descriptor, _SEEN, position)) >= 8:
        length, kind = struct.unpack_from(">I4s", chunk)
        if not (kind == b"IDAT" and (inflating or not length)) and _is_faulty(kind, length, chunk):
            faults.append((position, kind))
        inflating = inflating or (kind == b"IDAT" and length > 0)
        position += 12 + length
    if not faults:
        return None
    data = bytearray(_whole(descriptor))
    for position, kind in reversed(faults):
        length = int.from_bytes(data[position : position + 4])
        content = bytes(data[position + 8 : position + 8 + length])
        data[position : position + 12 + length] = _mended(kind, content)
    return bytes(data)


def fitting_png(descriptor: int) -> bytes | None:
    """A PNG without transparency of more colours than its palette has. None if it has none of that.

    libpng would leave out all of it. Others take it as far as it counts.
    """
    if os.pread(descriptor, 1, _COLOUR_TYPE_AT) != b"\3":
        return None
    position, colours = 8, 0
    while len(chunk := os.pread(descriptor, _SEEN, position)) >= 8:
        length, kind = struct.unpack_from(">I4s", chunk)
        if kind == b"PLTE":
            colours = length // 3
        elif kind == b"IDAT" or (kind == b"tRNS" and _is_faulty(kind, length, chunk)):
            return None
        elif kind == b"tRNS" and 0 < colours < length:
            whole = _whole(descriptor)
            end = position + 12 + length
            return whole[:position] + _chunk(kind, chunk[8 : 8 + colours]) + whole[end:]
        position += 12 + length
    return None


def _is_faulty(kind: bytes, length: int, chunk: bytes) -> bool:
    """Whether a chunk, of which the first bytes are given, has one of those faults."""
    match kind:
        case b"IDAT":
            return length > 1 and chunk[8] >> 4 < _LARGEST_WINDOW
        case b"PLTE":
            return length % 3 > 0
        case b"tRNS":
            return len(chunk) >= 12 + length and zlib.crc32(chunk[4 : 8 + length]) != int.from_bytes(
                chunk[8 + length : 12 + length]
            )
        case _:
            return bool(kind[0] & kind[2] & _SMALL)


def _mended(kind: bytes, content: bytes) -> bytes:
    """The chunk that takes the place of a faulty one. Some have none."""
    match kind:
        case b"IDAT":
            method, flags = 0x78, content[1] & 0xE0
            content = bytes((method, flags + 31 - (method * 256 + flags) % 31)) + content[2:]
        case b"PLTE":
            content = content[: len(content) // 3 * 3]
        case _:
            return b""
    return _chunk(kind, content)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def transparent_webp(descriptor: int) -> bytes | None:
    """A WebP that says in front to have transparency, as the header of its lossless pixels says. None if it
    does already, or if they have none.

    libwebp leaves out the transparency of a file that does not say so in front (RFC 9649, 2.7); other readers
    look at the pixels.
    """
    head = os.pread(descriptor, _VP8X_FLAGS + 1, 0)
    if head[12:16] != b"VP8X" or head[_VP8X_FLAGS] & (_WEBP_ALPHA | _WEBP_ANIMATED):
        return None
    position = 12
    while (chunk := os.pread(descriptor, 13, position))[:4] != b"VP8L":
        if len(chunk) < 8 or chunk[:4] == b"VP8 ":
            return None
        length = int.from_bytes(chunk[4:8], "little")
        position += 8 + length + length % 2
    if not chunk[12:] or not chunk[12] & _VP8L_ALPHA:
        return None
    data = bytearray(_whole(descriptor))
    data[_VP8X_FLAGS] |= _WEBP_ALPHA
    return bytes(data)


def plain_tiff(descriptor: int, besides: frozenset[int] = frozenset()) -> bytes:
    """A TIFF with nothing but what the pixels of its first page need and what their colours are, and the tags
    `besides`.

    libtiff calls a value that it does not know an error, in any field, as it does where pixels are damaged.
    """
    data = _whole(descriptor)
    try:
        return _with_tags(data, _PIXEL_TAGS | besides)
    except struct.error:
        return data


def sorted_tiff(descriptor: int) -> bytes | None:
    """The same, and the orientation, if the palette of the first page comes before the number of its bits:
    libtiff would leave it out. Otherwise None."""
    tags = [entry.tag for entry in entries(descriptor)]
    if _PALETTE not in tags or _BITS not in tags or tags.index(_BITS) < tags.index(_PALETTE):
        return None
    return plain_tiff(descriptor, frozenset({_ORIENTATION}))


def counted_tiff(descriptor: int) -> bytes | None:
    """A TIFF that says how many bytes each of its strips has, which libtiff wants to know. None if it does so
    already, or if they are compressed.

    Files from before TIFF 6.0 need not say it, and some programs write 0.
    """
    found: dict[int, Entry] = {}
    for entry in entries(descriptor):
        found.setdefault(entry.tag, entry)

    def number(tag: int, default: int) -> int:
        return int(next(iter(values(descriptor, found[tag])), default)) if tag in found else default

    height, samples = number(_HEIGHT, 0), number(_SAMPLES, 1)
    rows = min(number(_ROWS_PER_STRIP, height), height)
    if number(_COMPRESSION, 1) != 1 or _TILE_OFFSETS in found or _STRIP_OFFSETS not in found or not rows:
        return None
    offsets = list(whole_numbers(descriptor, found[_STRIP_OFFSETS]))
    said = list(whole_numbers(descriptor, found[_STRIP_COUNTS])) if _STRIP_COUNTS in found else []
    if (said and all(said)) or not all(offsets):
        return None
    planes = samples if number(_PLANES, 1) == 2 else 1
    row = -(-number(_WIDTH, 0) * number(_BITS, 1) * (samples // planes) // 8)
    needed = [row * min(rows, height - top) for top in range(0, height, rows)] * planes
    counts = [one or other for one, other in zip_longest(said[: len(needed)], needed, fillvalue=0)]
    data = _whole(descriptor)
    data += b"\0" * (len(data) % 2)
    table = struct.pack(f"{found[_STRIP_OFFSETS].order}{len(counts)}I", *counts)
    at = len(data) if len(table) > 4 else None
    return _with_tags(data + table, frozenset(found), {_STRIP_COUNTS: (len(counts), at, table)})


def _with_tags(
    data: bytes, tags: frozenset[int], besides: dict[int, tuple[int, int | None, bytes]] | None = None
) -> bytes:
    """The file with those tags of its first directory, and others `besides` or instead, each a number of
    LONGs, and where they are; or what they are, if there is room for them in the directory."""
    order = "<" if data[:1] == b"I" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    offset, counter, entry = (8, "Q", "HHQ8s") if big else (4, "H", "HHI4s")
    link = struct.Struct(order + ("Q" if big else "I"))
    (at,) = link.unpack_from(data, offset)
    (count,) = struct.unpack_from(order + counter, data, at)
    start, size = at + struct.calcsize(order + counter), struct.calcsize(order + entry)
    kept: dict[int, bytes] = {}
    for tag, (number, place, value) in (besides or {}).items():
        field = value if place is None else link.pack(place)
        kept[tag] = struct.pack(order + entry, tag, _LONG, number, field)
    for place in range(start, start + count * size, size):
        (tag,) = struct.unpack_from(order + "H", data, place)
        if tag in tags:
            kept.setdefault(tag, data[place : place + size])
    directory = struct.pack(order + counter, len(kept)) + b"".join(kept[tag] for tag in sorted(kept))
    data += b"\0" * (len(data) % 2)
    return data[:offset] + link.pack(len(data)) + data[offset + link.size :] + directory + bytes(8)


def _whole(descriptor: int) -> bytes:
    size, most = os.lseek(descriptor, 0, os.SEEK_END), 1 << 30
    return b"".join(os.pread(descriptor, min(most, size - at), at) for at in range(0, size, most))
