"""TIFF and BigTIFF: Adobe "TIFF Revision 6.0" and its Technical Note 1 (trees); AWare on BigTIFF."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from conexiones.domain.formats.header import MAX_PARTS, Buffer, ImageHeader, oriented, unpack
from conexiones.errors import CorruptImage, TruncatedImage

MAX_PAGES: Final = 100_000

_WIDTH, _HEIGHT, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _PLANAR = 256, 257, 274, 277, 278, 284
_STRIP_OFFSETS, _STRIP_COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_SUB_IFDS = 330
_METADATA_IFDS = (34665, 34853, 40965)  # Exif, GPS and interoperability
_NEEDED = frozenset(
    {_WIDTH, _HEIGHT, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _PLANAR, _STRIP_OFFSETS, _STRIP_COUNTS}
    | {_TILE_OFFSETS, _TILE_COUNTS, _TILE_WIDTH, _TILE_HEIGHT, _SUB_IFDS, *_METADATA_IFDS}
)

# Entries of a directory. A classic one cannot have more, and libtiff refuses a longer one of BigTIFF.
_MAX_ENTRIES = 0xFFFF

# Bytes per value of each field type (TIFF 6.0, 2; 13 is IFD of Technical Note 1, 16 to 18 are BigTIFF's).
_WIDTHS = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}
_BYTES = {kind: width for width, kinds in _WIDTHS.items() for kind in kinds}
_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_RUN = 4096

# How many times the bytes of a file may be read, and a few bytes that are always allowed. Honest files use
# each byte once, or a few times where pages share values. A hostile one could have thousands of overlapping
# directories, each as long as the file.
_READINGS = 4
_SPARE: Final = 1 << 16


class Field(NamedTuple):
    """`number` values of type `kind`, of which the first stands at `position`."""

    kind: int
    number: int
    position: int

    @property
    def bytes(self) -> int:
        """The bytes of all values. They are 0 for an unknown type."""
        return _BYTES.get(self.kind, 0) * self.number


Tags = dict[int, Field]


class _Layout(NamedTuple):
    """How the directories of classic TIFF and BigTIFF differ: codes of `struct`, without the byte order."""

    counter: str
    entry: str
    entry_bytes: int
    inline_bytes: int
    link: str


_CLASSIC = _Layout(counter="H", entry="HHII", entry_bytes=12, inline_bytes=4, link="I")
_BIG = _Layout(counter="Q", entry="HHQQ", entry_bytes=20, inline_bytes=8, link="Q")


def probe(data: Buffer) -> ImageHeader:
    """The header of a whole TIFF, whose directories, values and strips or tiles are all inside the file.

    Pages are all directories of the main chain, as libtiff and so libvips count them. The directories below
    them (pyramids in SubIFDs, Exif) are checked but not counted.
    """
    reader = _Reader(data)
    first: ImageHeader | None = None
    pages = 0
    offset = reader.first
    below: list[tuple[int, bool]] = []
    while offset:
        if pages == MAX_PAGES:
            raise CorruptImage(format="TIFF")
        tags, offset = reader.directory(offset)
        header = _page_header(reader.values, tags)
        first = first or header
        pages += 1
        _check_pixels(reader.values, tags)
        below += _children(reader.values, tags)
    if first is None:
        raise CorruptImage(format="TIFF")
    while below:
        offset, is_image = below.pop()
        tags, following = reader.directory(offset)
        if is_image:
            _page_header(reader.values, tags)
            _check_pixels(reader.values, tags)
            below += [(following, True)] if following else []
        below += _children(reader.values, tags)
        if len(below) > MAX_PAGES:
            raise CorruptImage(format="TIFF")
    return ImageHeader(format="TIFF", width=first.width, height=first.height, frames=pages)


def peek(head: Buffer, *, full: bool) -> ImageHeader:
    """What the directory of the first page says, once it is there. Values elsewhere are not looked at."""
    reader = _Reader(head)
    if not reader.first:
        raise CorruptImage(format="TIFF")
    tags, _ = reader.directory(reader.first, whole=False)
    return _page_header(reader.values, tags)


class Values:
    """Reads fields of one file, whose byte order is `order`, within a budget that grows with the file."""

    __slots__ = ("_budget", "data", "order")

    def __init__(self, data: Buffer, order: str) -> None:
        self.data = data
        self.order = order
        self._budget = _READINGS * len(data) + _SPARE

    def spend(self, bytes: int) -> None:
        """Counts `bytes` as read. Raises CorruptImage where the same ones are read over and over."""
        self._budget -= bytes
        if self._budget < 0:
            raise CorruptImage(format="TIFF")

    def one(self, field: Field | None, default: int = 0) -> int:
        """The first value of a field of whole numbers, or `default` if there is no such field."""
        if field is None:
            return default
        if field.kind not in _UNSIGNED or not field.number:
            raise CorruptImage(format="TIFF")
        if field.position + field.bytes > len(self.data):
            raise TruncatedImage(format="TIFF")
        value: int = unpack(self.order + _UNSIGNED[field.kind], self.data, field.position)[0]
        return value

    def runs(self, field: Field, count: int | None = None) -> Iterator[tuple[int, ...]]:
        """The first `count` values of a field of whole numbers, all if None, a few thousand at a time."""
        if field.kind not in _UNSIGNED:
            raise CorruptImage(format="TIFF")
        code, width = _UNSIGNED[field.kind], _BYTES[field.kind]
        total = field.number if count is None else min(count, field.number)
        if field.position + total * width > len(self.data):
            raise TruncatedImage(format="TIFF")
        self.spend(total * width)
        for start in range(0, total, _RUN):
            run = min(_RUN, total - start)
            yield unpack(f"{self.order}{run}{code}", self.data, field.position + start * width)


class _Reader:
    """Reads each directory once: one that is met again is part of a cycle, or shared by two parents."""

    __slots__ = ("data", "first", "layout", "seen", "values")

    def __init__(self, data: Buffer) -> None:
        order = "<" if data[0] == 0x49 else ">"
        (version,) = unpack(order + "H", data, 2)
        self.data = data
        self.layout = _BIG if version == 43 else _CLASSIC
        self.values = Values(data, order)
        self.seen: set[int] = set()
        self.first: int
        if version == 43:
            width, zero, self.first = unpack(order + "HHQ", data, 4)
            if (width, zero) != (8, 0):
                raise CorruptImage(format="TIFF")
        else:
            (self.first,) = unpack(order + "I", data, 4)

    def directory(self, offset: int, *, whole: bool = True) -> tuple[Tags, int]:
        """The needed fields of the directory at `offset`, and the offset of the next one or 0.

        Where `whole` is true, the values of all fields, needed or not, have to be inside the file.
        """
        layout, order, size = self.layout, self.values.order, len(self.data)
        if offset in self.seen or len(self.seen) > MAX_PARTS:
            raise CorruptImage(format="TIFF")
        self.seen.add(offset)
        position = offset + struct.calcsize(order + layout.counter)
        if position > size:
            raise TruncatedImage(format="TIFF")
        (count,) = unpack(order + layout.counter, self.data, offset)
        if not 0 < count <= _MAX_ENTRIES:
            raise CorruptImage(format="TIFF")
        end = position + count * layout.entry_bytes
        if end > size:
            raise TruncatedImage(format="TIFF")
        self.values.spend(end - offset)
        (following,) = unpack(order + layout.link, self.data, end)
        tags: Tags = {}
        inline = position + layout.entry_bytes - layout.inline_bytes
        for tag, kind, length, value in struct.iter_unpack(order + layout.entry, self.data[position:end]):
            at = inline
            inline += layout.entry_bytes
            field = Field(kind, length, at)
            if field.bytes > layout.inline_bytes:
                field = Field(kind, length, value)
                if whole and value + field.bytes > size:
                    raise TruncatedImage(format="TIFF")
            if tag in _NEEDED:
                tags.setdefault(tag, field)
        return tags, following


def _page_header(values: Values, tags: Tags) -> ImageHeader:
    """The header of one page. Raises CorruptImage where there is none."""
    width = values.one(tags.get(_WIDTH))
    height = values.one(tags.get(_HEIGHT))
    if not width or not height or max(width, height) >= 1 << 32:
        raise CorruptImage(format="TIFF")
    return oriented("TIFF", width, height, values.one(tags.get(_ORIENTATION), 1))


def _children(values: Values, tags: Tags) -> list[tuple[int, bool]]:
    """The directories below a directory, and whether each describes an image."""
    found = [(offset, False) for tag in _METADATA_IFDS if (offset := values.one(tags.get(tag)))]
    if _SUB_IFDS in tags:
        if tags[_SUB_IFDS].number > MAX_PAGES:
            raise CorruptImage(format="TIFF")
        found += [(offset, True) for run in values.runs(tags[_SUB_IFDS]) for offset in run if offset]
    return found


def _check_pixels(values: Values, tags: Tags) -> None:
    """Checks that every strip or tile has an offset and a byte count, and is inside the file.

    Where both are 0 the tile was never written, and libtiff reads it as blank. Some files older than TIFF 6.0
    have no counts at all; then only the offsets are looked at.
    """
    tiled = _TILE_OFFSETS in tags
    offsets = tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    counts = tags.get(_TILE_COUNTS if tiled else _STRIP_COUNTS)
    if offsets is None:
        raise CorruptImage(format="TIFF")
    needed = _pieces(values, tags, tiled=tiled)
    if offsets.number < needed or (counts is not None and counts.number < needed):
        raise CorruptImage(format="TIFF")
    size = len(values.data)
    if counts is None:
        if any(max(run) >= size for run in values.runs(offsets, needed)):
            raise TruncatedImage(format="TIFF")
        return
    for starts, lengths in zip(values.runs(offsets, needed), values.runs(counts, needed), strict=True):
        # This coarse bound nearly always holds, and costs a fraction of the exact one.
        if max(starts) + max(lengths) > size and any(
            start + length > size for start, length in zip(starts, lengths, strict=True)
        ):
            raise TruncatedImage(format="TIFF")


def _pieces(values: Values, tags: Tags, *, tiled: bool) -> int:
    """How many strips or tiles a page consists of."""
    width, height = values.one(tags.get(_WIDTH)), values.one(tags.get(_HEIGHT))
    planes = values.one(tags.get(_SAMPLES), 1) if values.one(tags.get(_PLANAR), 1) == 2 else 1
    if tiled:
        across, down = values.one(tags.get(_TILE_WIDTH)), values.one(tags.get(_TILE_HEIGHT))
    else:
        across, down = width, values.one(tags.get(_ROWS_PER_STRIP), height)
    if not across or not down or not planes:
        raise CorruptImage(format="TIFF")
    return -(-width // across) * -(-height // down) * planes
