"""`probe` and `peek` agree with libvips, accept no file that was cut short, and survive any bytes."""

import contextlib
import io
import mmap
import random
import struct
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import pyvips
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conexiones.domain.formats import HEAD_BYTES, PEEK_BYTES, ImageHeader, peek, probe, sniff
from conexiones.errors import CorruptImage, ImageError, NotAnImage, TruncatedImage, UnsupportedFormat
from tests.support import corpus
from tests.support import corpus_containers as containers
from tests.support.lengths import examples

IMAGES = corpus.images()
SMALL = {name: data for name, data in IMAGES.items() if len(data) < 30_000}
EVERY_CUT_BYTES = 4_000
SAMPLED_CUTS = 400

# Pillow pads the last page of these to 16 bytes. Nothing points at the padding, so a cut in it is allowed.
PADDING = {"TIFF multipage": 11, "TIFF multipage lzw": 2}

images = pytest.mark.parametrize("name", IMAGES)


def by_libvips(data: bytes) -> tuple[int, int, int]:
    """Width and height with the orientation applied, and the number of pages."""
    image = pyvips.Image.new_from_buffer(data, "")
    pages = image.get("n-pages") if "n-pages" in image.get_fields() else 1
    seen = image.autorot()
    return seen.width, seen.height, pages


def shape(header: ImageHeader) -> tuple[int, int, int]:
    return header.width, header.height, header.frames


@contextmanager
def mapped(data: bytes, *, size: int = 0, at_end: bytes = b"") -> Iterator[mmap.mmap]:
    """A file mapped for reading: `data`, and a hole up to `size` bytes, the last of which are `at_end`."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        if size:
            file.seek(size - len(at_end))
            file.write(at_end)
            file.truncate(size)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield view


# This libvips has no HEVC, and the HEIF files made here have no bitstream. test_heif_size is for them.
@pytest.mark.parametrize("name", [name for name in IMAGES if not name.startswith("HEIF")])
def test_agrees_with_libvips(name: str) -> None:
    data = IMAGES[name]
    header = probe(data)
    assert name.startswith(f"{header.format} ")
    assert header.format == sniff(data[:HEAD_BYTES])
    # This libvips has no loader for BMP, and takes some screens of GIF for meaningless.
    if header.format == "BMP" or name in ("GIF screen 640x480", "GIF screen 3000x20"):
        with Image.open(io.BytesIO(data)) as image:
            assert shape(header) == (*image.size, 1)
    elif name == "PNG animated":  # libvips reads only the default image of an APNG.
        assert by_libvips(data) == (header.width, header.height, 1)
        assert header.frames == 3
    else:
        assert shape(header) == by_libvips(data)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("plain", (37, 23)),
        ("wide", (37, 23)),
        ("idat", (37, 23)),
        ("open ended", (37, 23)),
        ("irot 90", (23, 37)),
        ("irot 180", (37, 23)),
        ("irot 270 wide", (23, 37)),
        ("clap", (30, 20)),
        ("clap irot", (20, 30)),
        ("imir", (37, 23)),
        ("brand mif1", (37, 23)),
    ],
)
def test_heif_size(name: str, size: tuple[int, int]) -> None:
    header = probe(IMAGES[f"HEIF {name}"])
    assert header.format == "HEIF"
    assert (header.width, header.height) == size


@images
def test_a_map_is_probed_like_bytes(name: str) -> None:
    with mapped(IMAGES[name]) as view:
        assert probe(view) == probe(IMAGES[name])


def cuts(name: str, data: bytes) -> list[int]:
    """Lengths to cut an image to: all of them if it is small, otherwise those at both ends and a sample."""
    if len(data) <= EVERY_CUT_BYTES:
        return list(range(len(data)))
    chosen = random.Random(name).sample(range(len(data)), SAMPLED_CUTS)
    return sorted({*chosen, *range(700), *range(len(data) - 300, len(data))})


def padding(name: str, data: bytes) -> int:
    """The bytes at the end that nobody needs. In a BMP they fill up the last row."""
    if not name.startswith("BMP") or "rle" in name:
        return PADDING.get(name, 0)
    core = data[14] == 12
    (depth,) = struct.unpack_from("<H", data, 24 if core else 28)
    return (-probe(data).width * depth % 32) // 8


@images
def test_every_truncation_is_refused(name: str) -> None:
    data = IMAGES[name]
    for cut in cuts(name, data):
        if cut >= len(data) - padding(name, data):
            assert probe(data[:cut]) == probe(data)
            continue
        with pytest.raises((TruncatedImage, CorruptImage, NotAnImage, UnsupportedFormat)):
            pytest.fail(f"{name} cut to {cut} of {len(data)} bytes: {probe(data[:cut])}")


@pytest.mark.parametrize("name", [name for name in IMAGES if not name.startswith("HEIF open")])
def test_bytes_after_the_end_are_ignored(name: str) -> None:
    data = IMAGES[name]
    assert probe(data + b"\0" * 100) == probe(data)
    assert probe(data + random.Random(name).randbytes(7)) == probe(data)


@images
def test_peek_agrees_with_probe_on_every_prefix(name: str) -> None:
    data = IMAGES[name]
    header = probe(data)
    answered = False
    for length in [*range(min(len(data), 1500)), *range(1500, len(data), 997), len(data)]:
        seen = peek(data[:length])
        if seen is None:
            assert not answered, f"{name}: an answer at fewer than {length} bytes was withdrawn"
            continue
        answered = True
        assert (seen.format, seen.width, seen.height) == (header.format, header.width, header.height)
        assert seen.frames in (1, header.frames)
    assert answered


@pytest.mark.parametrize("name", ["PNG rgb", "JPEG baseline", "WEBP lossy", "GIF still", "BMP 24 bit"])
def test_peek_needs_few_bytes(name: str) -> None:
    assert peek(IMAGES[name][:1024]) is not None


@pytest.mark.parametrize("name", corpus.bombs())
def test_a_bomb_is_known_by_its_head(name: str) -> None:
    header = peek(corpus.bombs()[name][:1024])
    assert header is not None
    assert header.format == name
    assert header.width * header.height > 200_000_000


def late(data: bytes, filler: bytes, at: int) -> bytes:
    """`data` with `filler` repeated at a position, for more than PEEK_BYTES."""
    return data[:at] + filler * (PEEK_BYTES // len(filler) + 1) + data[at:]


def test_a_full_head_shows_the_size_though_an_orientation_may_follow() -> None:
    size = (corpus.WIDTH, corpus.HEIGHT)
    png = late(IMAGES["PNG exif"], corpus.chunk(b"tEXt", b"k\0" + bytes(9000)), 33)
    frame = IMAGES["JPEG baseline"].index(b"\xff\xc0") + 19
    jpeg = late(IMAGES["JPEG baseline"], b"\xff\xfe\xff\xff" + bytes(65533), frame)
    webp = late(IMAGES["WEBP exif"], b"JUNK" + struct.pack("<I", 9000) + bytes(9000), 30)
    webp = webp[:4] + struct.pack("<I", len(webp) - 8) + webp[8:]
    for data in (png, jpeg, webp):
        assert peek(data[: PEEK_BYTES - 1]) is None
        header = peek(data[:PEEK_BYTES])
        assert header is not None
        assert (header.width, header.height) == size


@pytest.mark.parametrize("name", corpus.broken())
def test_broken_files_are_refused(name: str) -> None:
    data, error = corpus.broken()[name]
    with pytest.raises(error) as raised:
        probe(data)
    assert type(raised.value) is error
    assert raised.value.field == ""
    assert raised.value.message
    assert raised.value.mensaje
    if error in (UnsupportedFormat, NotAnImage) and "bmp" not in name and not name.startswith("jpeg-"):
        with pytest.raises(error):
            sniff(data)


@pytest.mark.parametrize("name", corpus.broken())
def test_peek_refuses_broken_files_or_waits(name: str) -> None:
    data, error = corpus.broken()[name]
    for length in range(min(len(data), 2 * HEAD_BYTES)):
        try:
            peek(data[:length])
        except CorruptImage:
            assert error is CorruptImage
        except (NotAnImage, UnsupportedFormat):
            # A marker shows the "jpeg-" ones. All others need a head that cannot begin an image.
            assert length >= HEAD_BYTES or error is UnsupportedFormat


@pytest.mark.parametrize(
    ("name", "format"),
    [("svg prolog", "SVG"), ("mp4", "MP4"), ("old mov", "MP4"), ("jpeg xl", "JPEG XL"), ("pdf", "PDF"),
     ("bmp with jpeg", "BMP with JPEG inside")],
)  # fmt: skip
def test_an_unsupported_format_is_named(name: str, format: str) -> None:
    with pytest.raises(UnsupportedFormat) as raised:
        probe(corpus.broken()[name][0])
    assert raised.value.facts == {"format": format}


def survives(data: bytes) -> None:
    """Fails the test at any error but ImageError, and if `peek` contradicts `probe`."""
    header: ImageHeader | None = None
    try:
        header = probe(data)
    except ImageError:
        pass
    else:
        assert header.width > 0
        assert header.height > 0
        assert header.frames > 0
    try:
        seen = peek(data[:512])
    except ImageError:
        return
    if seen and header:
        assert (seen.format, seen.width, seen.height) == (header.format, header.width, header.height)


@settings(max_examples=examples(120), derandomize=True)
@given(
    st.binary(max_size=400), st.sampled_from(sorted({data[:n] for data in SMALL.values() for n in (8, 40)}))
)
def test_random_bytes(tail: bytes, head: bytes) -> None:
    survives(tail)
    survives(head + tail)


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """A sound image with some bytes changed, inserted, deleted or copied from another image."""
    data = bytearray(SMALL[draw(st.sampled_from(sorted(SMALL)))])
    for _ in range(draw(st.integers(1, 6))):
        # Most structure is at the front and at the end.
        reach = draw(st.sampled_from((64, 600, len(data))))
        at = draw(st.integers(0, max(0, min(reach, len(data)) - 1)))
        if draw(st.integers(0, 5)) == 0:
            at = max(0, len(data) - 1 - at)
        match draw(st.sampled_from(("flip", "value", "insert", "delete", "splice"))):
            case "flip":
                data[at : at + 1] = bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in data[at : at + 1])
            case "value":
                values = (b"\0", b"\xff", b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\xff" * 8)
                value = draw(st.sampled_from(values))
                data[at : at + len(value)] = value
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=12))
            case "delete":
                del data[at : at + draw(st.integers(1, 40))]
            case "splice":
                other = SMALL[draw(st.sampled_from(sorted(SMALL)))]
                start = draw(st.integers(0, len(other) - 1))
                data[at : at + 100] = other[start : start + draw(st.integers(1, 300))]
    return bytes(data)


@settings(max_examples=examples(150), derandomize=True)
@given(mutants())
def test_mutated_images(data: bytes) -> None:
    survives(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"])
def test_every_byte_of_the_front_changed(format: str) -> None:
    """Tries for one image of each format what hypothesis only samples: every byte with every bad value."""
    data = next(data for name, data in SMALL.items() if name.startswith(format))
    for at in range(min(len(data), 400)):
        for value in (0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1):
            survives(data[:at] + bytes([value]) + data[at + 1 :])


GIB = 1 << 30


def huge() -> dict[str, tuple[bytes, bytes, int]]:
    """Sparse files, by name: their first bytes, their last bytes and their size."""
    jpeg, png = IMAGES["JPEG baseline"], IMAGES["PNG rgb"]
    bmp = containers.bmp_header(40, 32768, 32768, 32, 0, 0, 54)
    mdat = containers.heif(b"avif").replace(
        struct.pack(">I4s", 108, b"mdat"), struct.pack(">I4s", 0, b"mdat")
    )
    return {
        "jpeg": (jpeg[:-2], b"\xff\xd9", GIB // 2),  # All of it is read, unlike of the others.
        "png": (png[:-12] + struct.pack(">I4s", 2**31 - 1, b"teSt"), png[-12:], 2**31 - 1 + len(png) + 12),
        "bmp": (bmp, b"", 54 + 4 * GIB),
        "avif": (mdat, b"", 4 * GIB),
    }


@pytest.mark.parametrize("name", ["jpeg", "png", "bmp", "avif"])
def test_gigabytes_are_probed_in_a_few_mib(name: str) -> None:
    head, tail, size = huge()[name]
    with mapped(head, size=size, at_end=tail) as view:
        tracemalloc.start()
        try:
            header = probe(view)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert header.width >= corpus.WIDTH
    assert peak < 4 << 20


def test_a_probe_that_fails_lets_go_of_the_map() -> None:
    with mapped(IMAGES["TIFF strips"][:-20]) as view:
        with pytest.raises(TruncatedImage):
            probe(view)
        view.close()  # raises BufferError if a memoryview of it is left


def strips_tiff(count: int, pixels: int, *, last: int = 1) -> bytes:
    """A BigTIFF of one column and `count` strips of one row. `pixels` bytes of data precede the offsets."""
    fields = [(256, 4, 1, 1), (257, 4, 1, count), (273, 16, count, 0), (278, 4, 1, 1), (279, 3, count, 0)]
    start = 16 + 8 + 20 * len(fields) + 8
    places = {273: start + pixels, 279: start + pixels + 8 * count}
    out = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(fields))
    for tag, kind, number, value in fields:
        out += struct.pack("<HHQQ", tag, kind, number, places.get(tag, value))
    offsets = struct.pack("<Q", start) * (count - 1) + struct.pack("<Q", start + pixels - 1)
    counts = struct.pack("<H", 1) * (count - 1) + struct.pack("<H", last)
    return out + bytes(8) + bytes(pixels) + offsets + counts


def test_a_million_strips() -> None:
    data = strips_tiff(1_000_000, 50)
    tracemalloc.start()
    try:
        assert probe(data).height == 1_000_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    with pytest.raises(TruncatedImage):
        probe(strips_tiff(5000, 1, last=60_001))  # Only the last strip reaches past the end.


def hostile() -> dict[str, bytes]:
    """Files whose structure takes very long to follow, or never ends."""
    entries = 2000
    ladder = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(12 * entries * 3))
    for at in range(8, 8 + entries * 6, 6):
        struct.pack_into("<H", ladder, at, entries)
    page = containers.tiff(Image.new("L", (4, 4)), "<")
    link = 8 + 2 + 10 * 12
    jpeg = IMAGES["JPEG baseline"]
    zero = struct.pack(">I4s", 0, b"free")
    return {
        "tiff overlapping directories": bytes(ladder),
        "tiff next is inside itself": page[:link] + struct.pack("<I", 20) + page[link + 4 :],
        "bigtiff with 2^64 entries": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**64 - 1) + bytes(99),
        "bigtiff at 2^64": b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**64 - 1) + bytes(99),
        "jpeg of markers": jpeg[:2] + b"\xff\x01" * 2_000_000,
        "jpeg of segments": jpeg[:2] + b"\xff\xfe\0\2" * 1_500_000,
        "jpeg of fill bytes": jpeg[:2] + b"\xff" * 5_000_000,
        "gif of empty extensions": IMAGES["GIF still"][:-1] + b"!\xfe\0" * 1_500_000,
        "gif of short sub-blocks": IMAGES["GIF still"][:-1] + b"!\xfe" + b"\1a" * 3_000_000,
        "webp of chunks": b"RIFF" + struct.pack("<I", 30 - 8 + 8 * 1_500_000)
        + b"WEBPVP8X\x0a\0\0\0" + bytes(10) + b"JUNK\0\0\0\0" * 1_500_000,
        "heif of boxes": IMAGES["HEIF plain"] + struct.pack(">I4s", 8, b"free") * 1_500_000,
        "heif box of 2^64": IMAGES["HEIF plain"] + struct.pack(">I4sQ", 1, b"free", 2**64 - 1),
        "heif box of large size 0": IMAGES["HEIF plain"] + struct.pack(">I4sQ", 1, b"free", 0),
        "heif nothing but an open box": IMAGES["HEIF plain"][:24] + zero * 9,
        "svg that never begins": b"<!--" * 250_000,
        "svg of spaces": b"<" + b" " * 1_000_000,
    }  # fmt: skip


HARMLESS = {"tiff next is inside itself", "heif box of 2^64"}
"""Those whose image is whole, and ends before what is hostile."""


@pytest.mark.parametrize("name", hostile())
def test_hostile_files_end(name: str) -> None:
    with contextlib.nullcontext() if name in HARMLESS else pytest.raises(ImageError):
        probe(hostile()[name])


def test_motion_photo_and_thumbnail() -> None:
    """A movie after EOI is ignored, and the EOI of the thumbnail in EXIF does not end the image."""
    data = IMAGES["JPEG thumbnail turned"]
    assert data.count(b"\xff\xd9") == 2
    movie = struct.pack(">I4s4sI", 16, b"ftyp", b"mp42", 0)
    assert shape(probe(data + movie)) == (corpus.HEIGHT, corpus.WIDTH, 1)
    with pytest.raises(TruncatedImage):
        probe(data[:-2])
    cut = data.index(b"\xff\xd9") + 2
    with pytest.raises(TruncatedImage):
        probe(data[:cut])


def test_exif_after_the_pixels_of_a_png_is_ignored() -> None:
    data = IMAGES["PNG rgb"]
    turned = data[:-12] + corpus.chunk(b"eXIf", corpus.exif(6)[6:]) + data[-12:]
    assert shape(probe(turned)) == by_libvips(turned) == (corpus.WIDTH, corpus.HEIGHT, 1)
