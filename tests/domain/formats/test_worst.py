"""Whatever a file consists of, the work on it is bounded by the parts that it may have.

What is measured is counted and not timed: the lines of Python that judging a file executes, how often it
looks at the file, and the bytes that it copies out of it. `python -m tests.domain.formats.search` relates
them to time.
"""

import io
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random
from types import FrameType
from typing import Any, NamedTuple, overload

import pytest
from PIL import Image

from conexiones.domain.formats import glance, probe
from conexiones.domain.formats.reader import BRIEF_PARTS, PARTS, Reader, TooManyParts, affordable
from conexiones.domain.formats.structure import judged
from conexiones.errors import CorruptImage, ImageError
from tests.domain.formats.grammars import GRAMMARS
from tests.domain.formats.search import climbed
from tests.support import corpus
from tests.support import corpus_containers as containers

SIZE = 8 << 10
STEPS = 25

LINES_PER_PART = 50
BYTES_PER_PART = 8 << 10
FREE_PARTS = 40
"""The first look at a file, at which nothing is counted yet."""


class Counted:
    """The content of a file. `looks` counts the slices taken of it, `copied` their bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.looks = self.copied = 0

    def __len__(self) -> int:
        return len(self._data)

    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: int | slice, /) -> int | bytes:
        found = self._data[key]
        self.looks += 1
        self.copied += len(found) if isinstance(found, bytes) else 1
        return found


class Work(NamedTuple):
    """What judging a file took. `parts` are those that its budget has paid for."""

    parts: int
    lines: int
    looks: int
    copied: int


@contextmanager
def lines() -> Iterator[list[int]]:
    """Counts the lines executed in the format modules, as the one item of the list."""
    count = [0]

    def within(frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            count[0] += 1
        return within

    def entered(frame: FrameType, event: str, arg: Any) -> Any:
        return within if "/domain/formats/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        yield count
    finally:
        sys.settrace(before)


def work(data: bytes, *, parts: int = 10**9) -> Work:
    content = Counted(data)
    with lines() as executed:
        file = Reader(content, parts)
        with suppress(ImageError):
            judged(file)
    return Work(parts - file.left, executed[0], content.looks, content.copied)


@pytest.mark.parametrize("name", GRAMMARS)
def test_work_is_paid_for(name: str) -> None:
    """The search climbs by the lines for each part; along its way, no file may be over the bounds."""
    grammar = GRAMMARS[name]

    def cost(units: Any) -> float:
        data = grammar.file(units, SIZE)
        done = work(data)
        paid = done.parts + FREE_PARTS
        assert done.looks <= 3 * paid
        assert done.copied <= BYTES_PER_PART * paid + 2 * len(data)
        return done.lines / paid

    worst, units = climbed(grammar, cost, STEPS, Random(name))
    assert worst <= LINES_PER_PART, [unit[:20] for unit in units]


@pytest.mark.parametrize("name", corpus.images())
def test_the_same_holds_for_sound_images(name: str) -> None:
    done = work(corpus.images()[name])
    assert done.lines <= LINES_PER_PART * (done.parts + FREE_PARTS)
    assert done.parts < BRIEF_PARTS


def test_a_property_that_is_named_again_and_again_is_not_kept_each_time() -> None:
    """4 MB of one property, named 254 times by the picture, once took a GB of memory."""
    heif = containers.heif(b"heic", properties=(containers.box(b"irot", b"\1" + bytes(4_000_000)),))
    ipma = heif.index(b"ipma") - 4
    (size,) = struct.unpack_from(">I", heif, ipma)
    table = containers.full(b"ipma", struct.pack(">IHB", 1, 1, 255) + b"\1" + b"\2" * 254)
    longer = len(table) - size
    iprp, meta = heif.index(b"iprp") - 4, heif.index(b"meta") - 4
    data = bytearray(heif[:ipma] + table + heif[ipma + size :])
    for at in (iprp, meta):
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + longer)
    tracemalloc.start()
    try:
        assert probe(bytes(data)).width == 37  # turned an even number of times
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 10 << 20


def test_few_bytes_have_fewer_parts() -> None:
    """A message of a small image costs its sender little; a glance at it is cheap for the event loop, too."""
    assert affordable(100_000) < 17_000
    png = corpus.images()["PNG rgb"]
    many = png[:-12] + corpus.chunk(b"IDAT", bytes(60)) * 5000 + png[-12:]
    assert glance(png) == probe(png)
    assert glance(many) is None
    assert probe(many) == probe(png)
    with pytest.raises(CorruptImage):
        glance(png[:60] + bytes((png[60] ^ 1,)) + png[61:])


def test_a_file_of_more_parts_than_it_may_have_is_refused() -> None:
    png = corpus.images()["PNG rgb"]
    many = png[:-12] + corpus.chunk(b"IDAT", b"") * (PARTS + 10_000) + png[-12:]
    with pytest.raises(CorruptImage):
        probe(many)
    with pytest.raises(TooManyParts):
        judged(Reader(many, affordable(len(many))))


def encoded(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("P" if format == "GIF" else "L", (16, 16), 1).save(file, format, **options)
    return file.getvalue()


def png_of_small_pieces() -> bytes:
    """200,000 IDATs of 100 bytes: an encoder that hands on what it has after each row."""
    png = corpus.images()["PNG rgb"]
    return png[:-12] + corpus.chunk(b"IDAT", bytes(100)) * 200_000 + png[-12:]


def gif_of_many_frames() -> bytes:
    gif = encoded("GIF")
    frame = gif[gif.index(b"\x2c") : -1]
    return gif[:-1] + frame * 20_000 + gif[-1:]


def gif_of_uneven_blocks() -> bytes:
    """An encoder that hands on what it has, in blocks of any length."""
    random = Random(1)
    blocks = b"".join(bytes((size,)) + bytes(size) for size in random.choices(range(1, 256), k=100_000))
    gif = encoded("GIF")
    return gif[:-1] + b"\x2c" + bytes(4) + b"\1\0\1\0\0\2" + blocks + b"\0" + gif[-1:]


def jpeg_with_restarts() -> bytes:
    """Restart markers after every 16 bytes of coded pixels, and stuffed bytes among these."""
    jpeg = encoded("JPEG", restart_marker_blocks=1)
    coded = b"".join(
        b"\x12" * 8 + b"\xff\0" + b"\x34" * 8 + bytes((0xFF, 0xD0 + n % 8)) for n in range(100_000)
    )
    return jpeg[:-2] + coded + jpeg[-2:]


def jpeg_of_many_scans() -> bytes:
    jpeg = corpus.encoded(corpus.picture("RGB", 100, 100), "JPEG", progressive=True)
    scans = jpeg[jpeg.index(b"\xff\xda") : -2]
    return jpeg[:-2] + scans * 300 + jpeg[-2:]


def tiff_of_many_pages() -> bytes:
    """10,000 pages of one strip each, with 10 fields, as scanners write them."""
    page = containers.tiff(Image.new("L", (40, 40)), "<")[8:]
    link = 2 + 10 * 12
    out = bytearray(b"II*\0" + struct.pack("<I", 8))
    for number in range(10_000):
        at = len(out)
        out += page
        struct.pack_into("<I", out, at + link, 0 if number == 9_999 else at + len(page))
    return bytes(out)


def webp_of_many_frames() -> bytes:
    webp = GRAMMARS["Webp"]
    frame = b"ANMF" + struct.pack("<I", 24) + bytes(24)
    return webp.wrapped(frame * 20_000)


def heif_of_many_items() -> bytes:
    """A picture of 65,535 tiles, each an item with a place in the file."""
    item = struct.pack(">HHHHII", 2, 0, 0, 1, 0, 8)
    return GRAMMARS["HeifItems"].wrapped(item * 65_535)


def heif_of_many_properties() -> bytes:
    """The same, each tile with two properties, and the picture as the last item."""
    tile = struct.pack(">HBBB", 2, 2, 1, 1)
    uses = GRAMMARS["HeifUses"].wrapped(tile * 59_000 + struct.pack(">HBB", 1, 1, 1))
    return uses + containers.box(b"mdat", bytes(2 << 20))


@pytest.mark.parametrize(
    "made",
    [
        png_of_small_pieces,
        gif_of_many_frames,
        gif_of_uneven_blocks,
        jpeg_with_restarts,
        jpeg_of_many_scans,
        tiff_of_many_pages,
        webp_of_many_frames,
        heif_of_many_items,
        heif_of_many_properties,
    ],
    ids=lambda made: made.__name__,
)
def test_honest_files_of_many_parts_are_accepted(made: Any) -> None:
    data = made()
    header = probe(data)
    assert header.frames in (1, 2, 10_000, 20_000, 20_001)
    assert probe(Counted(data)) == header
