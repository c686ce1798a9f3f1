"""The track of an AVIF or HEIF sequence: ISO/IEC 14496-12, 8.3 to 8.7, and ISO/IEC 23008-12, 7."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from conexiones.domain.formats.boxes import Box, boxes, fullbox, only
from conexiones.domain.formats.reader import Reader
from conexiones.errors import CorruptImage, TruncatedImage
from conexiones.image_formats import ImageFormat

SEQUENCES: Final = frozenset({b"msf1", b"hevc", b"hevx", b"hevm", b"hevs"})
"""The major brands of HEIF files that readers show as a sequence. In others a track is only an addition."""

MAX_FRAMES: Final = 100_000

_PICTURES = b"pict"
_TO_HANDLER = 8  # in the content of hdlr
_TO_SIZE = {0: 76, 1: 88}  # in the content of tkhd, by its version
_SAMPLE_ENTRY_BYTES = 78  # what precedes the boxes in a VisualSampleEntry
_VALUES_PER_PART = 16


class Track(NamedTuple):
    """Width × height in pixels, upright, and the number of frames."""

    width: int
    height: int
    frames: int


def first_track(format: ImageFormat, file: Reader, moov: Box) -> Track | None:
    """The first track of pictures that is no auxiliary one, such as that of an alpha plane; None if there is
    none.

    Raises CorruptImage where its boxes contradict each other, and TruncatedImage where its frames would
    reach past the end of the file.
    """
    for trak in boxes(format, file, moov.start, moov.end):
        if trak.kind != b"trak":
            continue
        parts = _within(format, file, trak)
        media = _within(format, file, only(format, parts, b"mdia"))
        _, handler = fullbox(format, file, only(format, media, b"hdlr"))
        if handler[_TO_HANDLER : _TO_HANDLER + 4] != _PICTURES or _is_auxiliary(format, file, parts):
            continue
        information = _within(format, file, only(format, media, b"minf"))
        table = _within(format, file, only(format, information, b"stbl"))
        try:
            width, height = _size(format, file, only(format, parts, b"tkhd"))
            if _is_turned(format, file, only(format, table, b"stsd")):
                width, height = height, width
            frames = _frames(format, file, table)
        except (struct.error, IndexError, KeyError):
            raise CorruptImage(format=format) from None
        if not width or not height or not 0 < frames <= MAX_FRAMES:
            raise CorruptImage(format=format)
        return Track(width, height, frames)
    return None


def _within(format: ImageFormat, file: Reader, outer: Box) -> dict[bytes, list[Box]]:
    """The boxes in a box, by type. Raises CorruptImage where one reaches past its end."""
    found: dict[bytes, list[Box]] = {}
    for box in boxes(format, file, outer.start, outer.end):
        if box.end > outer.end:
            raise CorruptImage(format=format)
        found.setdefault(box.kind, []).append(box)
    return found


def _is_auxiliary(format: ImageFormat, file: Reader, parts: dict[bytes, list[Box]]) -> bool:
    return any(b"auxl" in _within(format, file, box) for box in parts.get(b"tref", ()))


def _size(format: ImageFormat, file: Reader, tkhd: Box) -> tuple[int, int]:
    """Width × height of a track header, which have 16.16 bits. May raise struct.error or KeyError."""
    version, content = fullbox(format, file, tkhd)
    width, height = struct.unpack_from(">II", content, _TO_SIZE[version])
    return width >> 16, height >> 16


def _is_turned(format: ImageFormat, file: Reader, stsd: Box) -> bool:
    """Whether the first sample entry has an irot property that swaps width and height."""
    for entry in boxes(format, file, stsd.start + 8, stsd.end):
        for box in boxes(format, file, entry.start + _SAMPLE_ENTRY_BYTES, min(entry.end, stsd.end)):
            if box.kind == b"irot" and box.start < box.end:
                return bool(file.byte(box.start) & 1)
        break
    return False


def _frames(format: ImageFormat, file: Reader, table: dict[bytes, list[Box]]) -> int:
    """The number of samples, whose bytes have to be in the file. May raise struct.error."""
    _, content = fullbox(format, file, only(format, table, b"stsz"))
    each, count = struct.unpack_from(">II", content, 4)
    if count > MAX_FRAMES:
        raise CorruptImage(format=format)
    total = each * count if each else sum(_values(file, content, 12, count, "I"))
    wide = b"co64" in table
    _, content = fullbox(format, file, only(format, table, b"co64" if wide else b"stco"))
    (chunks,) = struct.unpack_from(">I", content, 4)
    if not 0 < chunks <= count:
        raise CorruptImage(format=format)
    furthest = max(_values(file, content, 8, chunks, "Q" if wide else "I"))
    if total > file.size or furthest >= file.size:
        raise TruncatedImage(format=format)
    return int(count)


def _values(file: Reader, content: bytes, start: int, count: int, code: str) -> Iterator[int]:
    """The values of a table. Raises struct.error where it is too short."""
    file.spend(count // _VALUES_PER_PART)
    end = start + count * struct.calcsize(code)
    if end > len(content):
        raise struct.error
    return (value for (value,) in struct.iter_unpack(f">{code}", content[start:end]))
