"""What the server says of an image and what it renders are turned the same way, whatever the file says."""

import io
import os
import struct
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conexiones.adapters.decoder.decoder_worker.loading import File
from conexiones.domain.formats import probe
from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Recipe
from tests.adapters.decoder.similarity import distance, opened
from tests.adapters.decoder.workers import Pool, pool, quarters
from tests.support.lengths import examples, stride
from tests.support.orientations import CODES, entry, exif, tiff, with_exif
from tests.support.tiffs import LONG, SHORT, Entry

PICTURE = quarters(40, 30)
PREFIX = b"Exif\0\0"
EXIF_FORMATS: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP")

# How a viewer turns the stored image (Exif 2.32, 4.6.5, tag 0112).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turned(orientation: int) -> Image.Image:
    return PICTURE.transpose(TURNS[orientation]) if orientation in TURNS else PICTURE


def stored(format: ImageFormat, order: str, one: Entry) -> bytes:
    """The picture in that format, with that orientation."""
    if format == "TIFF":
        return tiff(order, PICTURE, one)
    return with_exif(format, PICTURE, (PREFIX if format == "JPEG" else b"") + exif(order, one))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


async def shown(decoder: Pool, folder: Path, format: ImageFormat, data: bytes) -> Image.Image:
    """The whole rendition, of which the size is checked."""
    path, into = folder / "source", folder / "made"
    path.write_bytes(data)
    plain = {"width": 0, "height": 0, "fit": "INSIDE", "format": "PNG", "quality": 0}
    recipe = Recipe(**plain, animated=False, keep_profile=False)  # type: ignore[arg-type]
    rendered = await decoder.render(path, into, format=format, recipe=recipe)
    facts = await decoder.describe(path, format=format)
    header = probe(data)
    assert (rendered.width, rendered.height) == (header.width, header.height)
    assert facts.blur_hash[0] == ("L" if header.width >= header.height else "T")
    image = opened(into.read_bytes()).convert("RGB")
    assert image.size == (header.width, header.height)
    return image


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", [*EXIF_FORMATS, "TIFF"])
async def test_every_whole_number_counts(
    decoder: Pool, tmp_path: Path, format: ImageFormat, order: str, orientation: int
) -> None:
    start, step = stride(3)
    for kind in (1, 3, 4, 6, 8, 9)[start::step]:
        image = await shown(decoder, tmp_path, format, stored(format, order, entry(order, kind, orientation)))
        assert distance(image, turned(orientation)) < 4, kind


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", [*EXIF_FORMATS, "TIFF"])
async def test_nothing_else_is_seen_by_one_side_only(
    decoder: Pool, tmp_path: Path, format: ImageFormat, order: str
) -> None:
    every = [
        one
        for kind in CODES
        for one in (
            entry(order, kind, 6),
            entry(order, kind, 6, 1),
            entry(order, kind, 6, 1, 1),
            entry(order, kind, 0),
            entry(order, kind, 9),
            entry(order, kind, 6, count=0),
            entry(order, kind, 6, count=0x8000_0001) if format != "TIFF" else entry(order, kind, 6),
        )
    ]
    for one in every:
        agrees(format, stored(format, order, one))
    start, step = stride(5)
    for one in every[start::step]:
        await shown(decoder, tmp_path, format, stored(format, order, one))


@pytest.mark.asyncio(loop_scope="module")
async def test_one_of_several_blocks_counts_for_both(decoder: Pool, tmp_path: Path) -> None:
    six, three = (exif("<", entry("<", SHORT, way)) for way in (6, 3))
    pairs = [
        *((six, three), (three, six), (b"", six), (b"xx", six), (b"II*\0", six), (exif(">"), six)),
        *((b"IIxx" + six[4:], six), (b"II+\0" + six[4:], six), (six[:-5], six)),
    ]
    every = [
        (format, with_exif(format, PICTURE, *blocks))
        for format in EXIF_FORMATS
        for before in (b"", PREFIX, b"Exif", b"Exif\0\xff", b"exif\0\0")
        for blocks in (
            *([before + one for one in pair] for pair in pairs),
            [before + pairs[-1][0], PREFIX + pairs[-1][1]],
        )
    ]
    for format, data in every:
        agrees(format, data)
    start, step = stride(5)
    for format, data in every[start::step]:
        await shown(decoder, tmp_path, format, data)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_png_with_the_prefix_of_jpeg_is_shown_as_browsers_show_it(
    decoder: Pool, tmp_path: Path
) -> None:
    data = with_exif("PNG", PICTURE, PREFIX + exif("<", entry("<", SHORT, 6)))
    assert (await shown(decoder, tmp_path, "PNG", data)).size == PICTURE.size


@pytest.mark.asyncio(loop_scope="module")
async def test_the_checksum_of_exif_in_a_png_counts_for_neither_side(decoder: Pool, tmp_path: Path) -> None:
    data = bytearray(with_exif("PNG", PICTURE, exif("<", entry("<", SHORT, 6))))
    at = data.index(b"eXIf")
    data[at + 4 + int.from_bytes(data[at - 4 : at])] ^= 0xFF
    agrees("PNG", bytes(data))
    assert probe(bytes(data)).width == PICTURE.height
    await shown(decoder, tmp_path, "PNG", bytes(data))


@pytest.mark.asyncio(loop_scope="module")
async def test_frames_of_an_animation_are_turned_one_by_one(decoder: Pool, tmp_path: Path) -> None:
    frames = [PICTURE, PICTURE.transpose(Image.Transpose.ROTATE_180)]
    file = io.BytesIO()
    block = exif(">", entry(">", LONG, 6))
    frames[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=100,
        lossless=True,
        exif=PREFIX + block,
    )
    data = file.getvalue()
    path, into = tmp_path / "source", tmp_path / "made"
    path.write_bytes(data)
    recipe = Recipe(
        width=0, height=0, fit="INSIDE", format="WEBP", quality=90, animated=True, keep_profile=False
    )
    rendered = await decoder.render(path, into, format="WEBP", recipe=recipe)
    header = probe(data)
    assert (rendered.width, rendered.height, rendered.frames) == (30, 40, 2)
    assert (header.width, header.height, header.frames) == (30, 40, 2)
    made = Image.open(into)
    for number, frame in enumerate(frames):
        made.seek(number)
        assert distance(made.convert("RGB"), frame.transpose(TURNS[6])) < 12


def upright(format: ImageFormat, data: bytes) -> tuple[int, int]:
    """Width and height as a worker has them."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return File(file.fileno(), format, 1_000_000).upright


def agrees(format: ImageFormat, data: bytes) -> None:
    """The header says what a worker would render, which costs a hundredth of rendering it."""
    header = probe(data)
    assert upright(format, data) == (header.width, header.height)


entries = st.builds(
    lambda tag, kind, count, value: struct.pack("<HHII", tag, kind, count, value),
    st.sampled_from((274, 274, 0x8769, 0x8825, 0x131, 0)),
    st.integers(0, 14),
    st.sampled_from((0, 1, 1, 1, 2, 3, 0x4000_0001, 0xFFFF_FFFF)),
    st.sampled_from((1, 3, 6, 8, 9, 65542, 0x0006_0000, 8, 20, 34, 60, 0xFFFF_FFFF)),
)


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(st.lists(entries, max_size=4), st.integers(-1, 3), st.binary(max_size=40), st.sampled_from((8, 9, 12)))
def test_broken_exif_turns_both_sides_or_none(parts: list[bytes], more: int, tail: bytes, start: int) -> None:
    number = struct.pack("<H", max(0, len(parts) + more))
    block = b"II*\0" + struct.pack("<I", start) + bytes(start - 8) + number + b"".join(parts) + tail
    for format in EXIF_FORMATS:
        agrees(format, with_exif(format, PICTURE, (PREFIX if format == "JPEG" else b"") + block))
