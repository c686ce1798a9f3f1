"""TIFF and BigTIFF: Adobe "TIFF Revision 6.0" and its Technical Note 1 (trees); AWare on BigTIFF."""

import struct
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from conexiones.domain.formats import raw
from conexiones.domain.formats.header import ImageHeader, oriented
from conexiones.domain.formats.reader import Reader, TooManyParts
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
    | raw.TAGS
)

# Entries of a directory. A classic one cannot have more, and libtiff refuses a longer one of BigTIFF.
_MAX_ENTRIES = 0xFFFF

# Bytes per value of each field type (TIFF 6.0, 2; 13 is IFD of Technical Note 1, 16 to 18 are BigTIFF's).
_WIDTHS = {1: (1, 2, 6, 7), 2: (3, 8), 4: (4, 9, 11, 13), 8: (5, 10, 12, 16, 17, 18)}
_BYTES = {kind: width for width, kinds in _WIDTHS.items() for kind in kinds}
_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SIGNED = {6: "b", 8: "h", 9: "i", 17: "q"}
_WHOLE = _UNSIGNED | _SIGNED

# The types in which libtiff takes an orientation; not those of offsets.
_ORIENTATIONS = frozenset({1, 3, 4, 16, *_SIGNED})

_SEEN_ENTRIES = 4
_RUN = 4096
_TEXT_BYTES = 32

# What they cost, in parts.
_DIRECTORY_PARTS = 12
_ENTRIES_PER_PART = 4
_VALUES_PER_PART = 16


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
    """How the directories of classic TIFF and BigTIFF differ, in one byte order."""

    counter: struct.Struct
    entry: struct.Struct
    inline_bytes: int
    link: struct.Struct
    values: dict[int, struct.Struct]
    """Of each type of whole numbers, one value."""


def _layout(order: str, *, big: bool) -> _Layout:
    counter, entry, link = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    values = {kind: struct.Struct(order + code) for kind, code in _WHOLE.items()}
    return _Layout(
        counter=struct.Struct(order + counter),
        entry=struct.Struct(order + entry),
        inline_bytes=8 if big else 4,
        link=struct.Struct(order + link),
        values=values,
    )


_LAYOUTS = {(order, big): _layout(order, big=big) for order in "<>" for big in (False, True)}


def probe(file: Reader) -> ImageHeader:
    """The header of a whole TIFF, whose directories, values and strips or tiles are all inside the file.

    Pages are all directories of the main chain, as libtiff and so libvips count them; a chain that comes back
    to one of them, or leads to what is no directory, ends there. The directories below them (pyramids in
    SubIFDs, Exif) are not counted. All of them have to be inside the file, and may otherwise be as they like:
    they are no part of the picture.
    """
    directories = _Directories(file)
    values = directories.values
    first: ImageHeader | None = None
    pages = 0
    offset = directories.first
    below: list[tuple[int, bool]] = []  # A heap, so that the file is read from front to back.
    while offset and offset not in directories.seen:
        if pages == MAX_PAGES:
            raise CorruptImage(format="TIFF")
        if pages and not directories.may_begin(offset):
            break
        tags, offset = directories.at(offset)
        header = _page_header(values, tags)
        first = first or header
        pages += 1
        _check_pixels(values, tags)
        _add(below, _children(values, tags))
    if first is None:
        raise CorruptImage(format="TIFF")
    while below:
        offset, is_image = heappop(below)
        if not directories.may_begin(offset):
            continue
        try:
            tags, following = directories.at(offset)
            _add(below, _children(values, tags))
            if is_image:
                _add(below, [(following, True)] if following else [])
                _check_pixels(values, tags)
        except CorruptImage:
            continue
    return ImageHeader(format="TIFF", width=first.width, height=first.height, frames=pages)


def peek(head: Reader, *, full: bool) -> ImageHeader:
    """What the directory of the first page says, once it is there. Values elsewhere are not looked at."""
    directories = _Directories(head)
    if not directories.first:
        raise CorruptImage(format="TIFF")
    tags, _ = directories.at(directories.first, whole=False)
    return _page_header(directories.values, tags)


def _add(below: list[tuple[int, bool]], found: list[tuple[int, bool]]) -> None:
    """Raises TooManyParts. Of a cycle, `at` ends each way around."""
    for one in found:
        heappush(below, one)
    if len(below) > MAX_PAGES:
        raise TooManyParts


class Values:
    """Reads fields of one file, whose byte order is `order`."""

    __slots__ = ("_layouts", "_order", "file")

    def __init__(self, file: Reader, order: str, layouts: dict[int, struct.Struct]) -> None:
        self.file = file
        self._order = order
        self._layouts = layouts

    def one(self, field: Field | None, default: int = 0) -> int:
        """The first value of a field of whole numbers, or `default` if there is no such field."""
        if field is None:
            return default
        if field.kind not in _WHOLE or not field.number:
            raise CorruptImage(format="TIFF")
        if field.position + field.bytes > self.file.size:
            raise TruncatedImage(format="TIFF")
        value: int = self.file.unpack(self._layouts[field.kind], field.position)[0]
        if value < 0:
            raise CorruptImage(format="TIFF")
        return value

    def number(self, field: Field) -> int:
        """The same, for what may be broken: then it is 0."""
        try:
            return self.one(field)
        except (CorruptImage, TruncatedImage):
            return 0

    def text(self, field: Field) -> bytes:
        """The first bytes of a field of text."""
        return self.file.bytes(field.position, field.position + min(field.bytes, _TEXT_BYTES))

    def runs(self, field: Field, count: int | None = None) -> Iterator[tuple[int, ...]]:
        """The first `count` values of a field of whole numbers, all if None, a few thousand at a time."""
        if field.kind not in _UNSIGNED:
            raise CorruptImage(format="TIFF")
        code, width = _UNSIGNED[field.kind], _BYTES[field.kind]
        total = field.number if count is None else min(count, field.number)
        if field.position + total * width > self.file.size:
            raise TruncatedImage(format="TIFF")
        for start in range(0, total, _RUN):
            run = min(_RUN, total - start)
            self.file.spend(1 + run // _VALUES_PER_PART)
            piece, at = self.file.near(field.position + start * width, run * width)
            yield struct.unpack_from(f"{self._order}{run}{code}", piece, at)


class _Directories:
    """Reads each directory once: one that is met again is part of a cycle, or shared by two parents."""

    __slots__ = ("_camera", "_file", "_layout", "first", "seen", "values")

    def __init__(self, file: Reader) -> None:
        order = "<" if file.byte(0) == 0x49 else ">"
        (version,) = file.unpack(_LAYOUTS[order, False].counter, 2)
        self._file = file
        self._layout = _LAYOUTS[order, version == 43]
        self.values = Values(file, order, self._layout.values)
        self._camera = raw.Camera()
        self.seen: set[int] = set()
        self.first: int
        if version == 43:
            width, zero, self.first = struct.unpack(order + "HHQ", file.bytes(4, 16))
            if (width, zero) != (8, 0):
                raise CorruptImage(format="TIFF")
        else:
            (self.first,) = file.unpack(self._layout.link, 4)

    def may_begin(self, offset: int) -> bool:
        """Whether a directory may begin there, or be missing with the end of the file.

        Programs that copy fields leave offsets to what has been there in another file. Where such an offset
        leads among pixels, hardly ever one of the next few entries has a known type.
        """
        layout = self._layout
        self._file.spend(1)
        head = self._file.bytes(offset, offset + layout.counter.size + _SEEN_ENTRIES * layout.entry.size)
        if len(head) < layout.counter.size + layout.entry.size:
            return True
        (count,) = layout.counter.unpack_from(head)
        entries = head[layout.counter.size :][: count * layout.entry.size]
        whole = entries[: len(entries) // layout.entry.size * layout.entry.size]
        return any(kind in _BYTES for _, kind, _, _ in layout.entry.iter_unpack(whole))

    def at(self, offset: int, *, whole: bool = True) -> tuple[Tags, int]:
        """The needed fields of the directory at `offset`, and the offset of the next one or 0.

        Where `whole` is true, the values of all fields, needed or not, have to be inside the file.
        """
        layout, file = self._layout, self._file
        if offset in self.seen:
            raise CorruptImage(format="TIFF")
        self.seen.add(offset)
        (count,) = file.unpack(layout.counter, offset)
        if not 0 < count <= _MAX_ENTRIES:
            raise CorruptImage(format="TIFF")
        file.spend(_DIRECTORY_PARTS + count // _ENTRIES_PER_PART)
        position = offset + layout.counter.size
        length = count * layout.entry.size
        piece, at = file.near(position, length + layout.link.size)
        (following,) = layout.link.unpack_from(piece, at + length)
        tags: Tags = {}
        inline_bytes, size = layout.inline_bytes, file.size
        inline = position + layout.entry.size - inline_bytes
        for tag, kind, number, value in layout.entry.iter_unpack(piece[at : at + length]):
            within = _BYTES.get(kind, 0) * number <= inline_bytes
            if not within and whole and value + _BYTES[kind] * number > size:
                raise TruncatedImage(format="TIFF")
            if tag in _NEEDED:
                tags.setdefault(tag, Field(kind, number, inline if within else value))
            inline += layout.entry.size
        if raw.TAGS & tags.keys():
            values = self.values
            self._camera.look(tags, lambda tag: values.number(tags[tag]), lambda tag: values.text(tags[tag]))
        return tags, following


def _page_header(values: Values, tags: Tags) -> ImageHeader:
    """The header of one page. Raises CorruptImage where there is none."""
    width = values.one(tags.get(_WIDTH))
    height = values.one(tags.get(_HEIGHT))
    if not width or not height or max(width, height) >= 1 << 32:
        raise CorruptImage(format="TIFF")
    return oriented("TIFF", width, height, _orientation(values, tags.get(_ORIENTATION)))


def _orientation(values: Values, field: Field | None) -> int:
    """The orientation as libtiff takes it, which differs from that in EXIF: it has to be one value, and of
    what cannot be one nothing comes."""
    if field is None or field.kind not in _ORIENTATIONS or field.number != 1:
        return 1
    try:
        found = values.one(field)
    except CorruptImage:
        return 1
    return found if 1 <= found <= 8 else 1


def _children(values: Values, tags: Tags) -> list[tuple[int, bool]]:
    """The directories below a directory, and whether each may describe an image."""
    found: list[tuple[int, bool]] = []
    for tag in _METADATA_IFDS:
        try:
            offset = values.one(tags.get(tag))
        except CorruptImage:
            continue
        if offset:
            found.append((offset, False))
    below = tags.get(_SUB_IFDS)
    if below and below.kind in _UNSIGNED:
        if below.number > MAX_PAGES:
            raise TooManyParts
        found += [(offset, True) for run in values.runs(below) for offset in run if offset]
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
    size = values.file.size
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
