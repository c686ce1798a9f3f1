"""AVIF: sequences, and colours that are said by code points. What is common to all formats is elsewhere."""

import io
import struct
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from conexiones.domain.formats import probe
from conexiones.errors import NoPreview
from conexiones.ports.records import Recipe, RenditionFormat
from tests.adapters.decoder.test_heic import far
from tests.adapters.decoder.workers import animated_avif, cause_of, encoded, pool, quarters
from tests.support.corpus_containers import box
from tests.support.corpus_heic import turned

SMALL = quarters(96, 64)


def recipe(format: RenditionFormat, *, animated: bool = False, width: int = 0, height: int = 0) -> Recipe:
    return Recipe(
        width=width,
        height=height,
        fit="COVER" if width else "INSIDE",
        format=format,
        quality=0 if format == "PNG" else 95,
        animated=animated,
        keep_profile=False,
    )


def by_pillow(data: bytes) -> list[Image.Image]:
    """The frames of a file, upright."""
    frames = []
    with Image.open(io.BytesIO(data)) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            frames.append(ImageOps.exif_transpose(image))
    return frames


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
async def test_a_sequence_keeps_its_frames_where_that_is_asked_for(mode: str, tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    data = animated_avif(5, mode)
    path.write_bytes(data)
    async with pool() as decoder:
        rendered = await decoder.render(path, into, format="AVIF", recipe=recipe("WEBP", animated=True))
        assert (rendered.width, rendered.height, rendered.frames) == (96, 64, 5)
        frames = by_pillow(into.read_bytes())
        for frame, expected in zip(frames, by_pillow(data), strict=True):
            assert far(frame, expected) < 6
        small = recipe("WEBP", animated=True, width=30, height=30)
        rendered = await decoder.render(path, into, format="AVIF", recipe=small)
        assert (rendered.width, rendered.height, rendered.frames) == (30, 30, 5)
        assert [frame.size for frame in by_pillow(into.read_bytes())] == [(30, 30)] * 5


async def test_each_frame_of_a_sequence_lasts_as_long_as_it_did(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    lasts = [40, 1000, 200]
    frames = [SMALL.rotate(90 * turn, expand=False) for turn in range(len(lasts))]
    path.write_bytes(encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], duration=lasts))
    found: list[int] = []
    async with pool() as decoder:
        await decoder.render(
            path, into, format="AVIF", recipe=recipe("WEBP", animated=True, width=40, height=30)
        )
    with Image.open(into) as image:
        for number in range(len(lasts)):
            image.seek(number)
            image.load()
            found.append(image.info["duration"])
    assert found == lasts


async def test_code_points_of_p3_count_in_a_sequence_as_in_a_still(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    still = encoded(SMALL, "AVIF", quality=100)
    shown: dict[bytes, Image.Image] = {}
    async with pool() as decoder:
        for data in (still, animated_avif()):
            path.write_bytes(data.replace(b"colrnclx\0\1", b"colrnclx\0\x0c"))
            await decoder.render(path, into, format="AVIF", recipe=recipe("PNG"))
            shown[data] = Image.open(io.BytesIO(into.read_bytes()))
    one, other = shown.values()
    assert far(one, SMALL) > 3
    assert far(one, other) < 3


async def test_the_rendition_of_a_sequence_is_its_first_frame(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    path.write_bytes(animated_avif())
    async with pool() as decoder:
        rendered = await decoder.render(path, into, format="AVIF", recipe=recipe("PNG"))
        facts = await decoder.describe(path, format="AVIF")
    assert rendered.frames == 1
    assert far(Image.open(into), SMALL) < 3
    assert (facts.problem, facts.color_space, facts.bits_per_sample) == ("", "RGB", 8)


async def test_frames_count_as_pixels(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    path.write_bytes(animated_avif(3))
    async with pool(decode_pixels=96 * 64 * 3 - 1) as decoder:
        await decoder.render(path, into, format="AVIF", recipe=recipe("WEBP"))
        with pytest.raises(NoPreview, match="PIXELS"):
            await decoder.render(path, into, format="AVIF", recipe=recipe("WEBP", animated=True))


async def test_a_sequence_that_is_damaged(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "image"
    data = animated_avif()
    pixels = data.rindex(b"mdat") + 4
    path.write_bytes(data[:pixels] + bytes(len(data) - pixels))
    async with pool() as decoder:
        assert await cause_of(decoder, path, "AVIF") == "CORRUPT"
        assert await decoder.preview(good, format="JPEG")


async def test_primaries_that_are_said_by_code_points_are_converted(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    data = bytearray(encoded(SMALL, "AVIF", quality=95))
    code_points = data.index(b"colrnclx") + 8
    assert data[code_points : code_points + 2] == b"\0\1"
    data[code_points + 1] = 12  # Display P3 (ISO/IEC 23091-2, 8.1)
    path.write_bytes(data)
    async with pool() as decoder:
        await decoder.render(path, into, format="AVIF", recipe=recipe("PNG"))
    with Image.open(into) as image:
        red, green, _ = image.convert("RGB").getpixel((20, 15))  # type: ignore[misc]
    assert abs(red - 218) <= 4
    assert green <= 4


async def test_exif_has_no_say_where_the_file_has_transformations(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    data = encoded(SMALL, "AVIF", exif=exif, quality=95)
    turn = turned(3)
    assert turn in data
    for changed, expected in (
        (data, SMALL.transpose(Image.Transpose.ROTATE_270)),
        (data.replace(turn, box(b"free", b"\3")), SMALL),
    ):
        path.write_bytes(changed)
        async with pool() as decoder:
            rendered = await decoder.render(path, into, format="AVIF", recipe=recipe("PNG"))
        assert (rendered.width, rendered.height) == expected.size
        header = probe(changed)
        assert (header.width, header.height) == expected.size
        assert far(Image.open(into), expected) < 3


@pytest.mark.parametrize("range", ["full", "limited"])
async def test_grey(range: str, tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    grey = SMALL.convert("L")
    data = encoded(grey, "AVIF", quality=95, range=range)
    async with pool() as decoder:
        for changed in (data, data.replace(b"colrnclx", b"freenclx")):  # the range is that of the bitstream
            path.write_bytes(changed)
            await decoder.render(path, into, format="AVIF", recipe=recipe("PNG"))
            facts = await decoder.describe(path, format="AVIF")
            assert far(Image.open(into), grey) < 3
            assert (facts.problem, facts.color_space, facts.has_alpha) == ("", "GREY", False)


@pytest.mark.parametrize("range", ["full", "limited"])
async def test_the_range_of_samples_is_that_beside_the_code_points(range: str, tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    data = bytearray(encoded(SMALL, "AVIF", quality=95, range=range))
    code_points = data.index(b"colrnclx") + 8
    # All unspecified, and the other range than in the bitstream.
    data[code_points : code_points + 7] = b"\0\2\0\2\0\2" + bytes((0x80 ^ data[code_points + 6],))
    path.write_bytes(data)
    async with pool() as decoder:
        await decoder.render(path, into, format="AVIF", recipe=recipe("PNG"))
    assert far(Image.open(into), by_pillow(bytes(data))[0]) < 3


async def test_colours_that_are_multiplied_with_transparency(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    image = SMALL.convert("RGBA")
    image.putalpha(100)
    path.write_bytes(encoded(image, "AVIF", quality=95, alpha_premultiplied=True))
    async with pool() as decoder:
        await decoder.render(path, into, format="AVIF", recipe=recipe("PNG"))
    with Image.open(into) as made:
        assert made.mode == "RGBA"
        assert far(made.convert("RGB"), SMALL) < 6
        assert far(made.getchannel("A"), image.getchannel("A")) < 2


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
EXIF = b"Exif\0\0II*\0" + struct.pack("<IHHHIII", 8, 1, 271, 2, 4, 0x616D, 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
async def test_metadata_neither_turn_a_sequence_nor_stop_it(mode: str, tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    images = [SMALL.rotate(180 * number).convert(mode) for number in range(2)]
    data = encoded(images[0], "AVIF", save_all=True, append_images=images[1:], quality=95, xmp=XMP, exif=EXIF)
    broken = data.replace(EXIF[6:], b"no".ljust(len(EXIF) - 6, b"\xff"))
    assert broken != data
    async with pool() as decoder:
        for changed in (data, broken):
            path.write_bytes(changed)
            for animated in (False, True):
                made = await decoder.render(
                    path, into, format="AVIF", recipe=recipe("WEBP" if animated else "PNG", animated=animated)
                )
                header = probe(changed)
                assert (made.width, made.height) == (header.width, header.height) == SMALL.size
                assert made.frames == (header.frames if animated else 1)
