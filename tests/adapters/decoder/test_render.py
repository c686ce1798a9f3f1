"""Renditions of real files by real workers, compared with what Pillow makes of the same pictures."""

import io
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import pyvips
from PIL import Image, ImageCms, ImageOps

from conexiones.domain.formats import probe
from conexiones.errors import NoPreview
from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Recipe, Rendered
from tests.adapters.decoder.similarity import distance, opened, ssim
from tests.adapters.decoder.workers import Pool, encoded, pool, quarters
from tests.support.gifs import codes, gif, packed
from tests.support.paths import ROOT

WIDTH = 160

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_pixels=40_000_000, decode_seconds=60, decode_memory=1 << 30) as decoder:
        yield decoder


@pytest.fixture
def render(tmp_path: Path, decoder: Pool) -> Callable[..., object]:
    async def render(
        data: bytes, source: ImageFormat, **options: object
    ) -> tuple[Image.Image, Rendered, bytes]:
        plain: dict[str, object] = {"width": 0, "height": 0, "fit": "INSIDE", "format": "PNG", "quality": 90}
        recipe = Recipe(**plain | {"animated": False, "keep_profile": False} | options)  # type: ignore[arg-type]
        path, into = tmp_path / "source", tmp_path / "made"
        path.write_bytes(data)
        into.unlink(missing_ok=True)
        rendered = await decoder.render(path, into, format=source, recipe=recipe)
        made = into.read_bytes()
        image = opened(made)
        assert (image.format, rendered.format) == (recipe.format, recipe.format)
        assert image.size == (rendered.width, rendered.height)
        assert getattr(image, "n_frames", 1) == rendered.frames
        assert len(made) == rendered.size
        return image, rendered, made

    return render


def photograph() -> Image.Image:
    image = Image.open(ROOT / "client" / "image" / "elephant.jpg").convert("RGB")
    image.thumbnail((480, 480))
    return image


PHOTO = photograph()
GREY = PHOTO.convert("L")
FEW = PHOTO.quantize(64)


def scaled(image: Image.Image, width: int = WIDTH) -> Image.Image:
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


def deep(bands: str) -> bytes:
    """PHOTO as a PNG with 16 bits, where each value v becomes 257 × v, so that 255 becomes 65535."""
    import zlib

    picture = PHOTO.convert(bands)
    width, height = picture.size
    raw, row = picture.tobytes(), width * len(bands)
    lines = b"".join(
        b"\0" + b"".join(bytes((value, value)) for value in raw[at : at + row])
        for at in range(0, len(raw), row)
    )
    kind = {"L": 0, "RGB": 2, "RGBA": 6}[bands]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def deep_tiff() -> bytes:
    image = pyvips.Image.new_from_buffer(deep("RGB"), "")
    data: bytes = image.tiffsave_buffer(compression="lzw")
    return data


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(PHOTO, "JPEG", quality=97, exif=exif)


@pytest.mark.parametrize(
    ("source", "make", "expected"),
    [
        pytest.param("JPEG", lambda: encoded(PHOTO, "JPEG", quality=97), None, id="jpeg"),
        pytest.param(
            "JPEG", lambda: encoded(PHOTO, "JPEG", quality=97, progressive=True), None, id="progressive"
        ),
        pytest.param("JPEG", lambda: encoded(GREY, "JPEG", quality=97), GREY, id="grey-jpeg"),
        pytest.param("PNG", lambda: encoded(PHOTO, "PNG"), None, id="png"),
        pytest.param("PNG", lambda: encoded(GREY, "PNG"), GREY, id="grey-png"),
        pytest.param("PNG", lambda: encoded(FEW, "PNG"), FEW, id="palette"),
        pytest.param("PNG", lambda: deep("RGB"), None, id="png-16-bit"),
        pytest.param("PNG", lambda: deep("L"), GREY, id="grey-png-16-bit"),
        pytest.param("TIFF", deep_tiff, None, id="tiff-16-bit"),
        pytest.param("TIFF", lambda: encoded(PHOTO, "TIFF", compression="tiff_lzw"), None, id="tiff"),
        pytest.param("TIFF", lambda: encoded(GREY.convert("1"), "TIFF"), GREY.convert("1"), id="tiff-1-bit"),
        pytest.param("WEBP", lambda: encoded(PHOTO, "WEBP", lossless=True), None, id="webp"),
        pytest.param("AVIF", lambda: encoded(PHOTO, "AVIF", quality=95), None, id="avif"),
        pytest.param("GIF", lambda: encoded(FEW, "GIF"), FEW, id="gif"),
        pytest.param("BMP", lambda: encoded(PHOTO, "BMP"), None, id="bmp"),
    ],
)
async def test_pictures_are_the_same(
    render, source: ImageFormat, make: Callable[[], bytes], expected: Image.Image | None
) -> None:
    image, _, _ = await render(make(), source, width=WIDTH)
    reference = scaled((expected or PHOTO).convert("RGB"))
    assert distance(image.convert("RGB"), reference) < 2.5
    assert ssim(image, reference) > 0.97


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_orientation_is_applied(render, orientation: int) -> None:
    data = oriented(orientation)
    upright = ImageOps.exif_transpose(opened(data))
    image, _, made = await render(data, "JPEG", width=WIDTH)
    assert ssim(image, scaled(upright)) > 0.97
    assert b"Exif" not in made
    assert b"eXIf" not in made
    # The orientation is applied before anything is cut off.
    size = (90, 120) if orientation < 5 else (90, 125)  # sizes for which the cut falls between pixels
    image, _, _ = await render(data, "JPEG", width=size[0], height=size[1], fit="COVER")
    assert ssim(image, ImageOps.fit(upright, size, Image.Resampling.LANCZOS)) > 0.95


async def test_inks_become_light(render) -> None:
    """Without a profile, vips and Pillow convert CMYK differently: near, and above all not inverted."""
    image, _, _ = await render(encoded(PHOTO.convert("CMYK"), "JPEG", quality=97), "JPEG", width=WIDTH)
    assert ssim(image, scaled(PHOTO)) > 0.8
    assert distance(image, scaled(PHOTO)) < 50


def p3() -> bytes:
    """PHOTO with the profile of Display P3, its values unchanged."""
    image = pyvips.Image.new_from_memory(PHOTO.tobytes(), *PHOTO.size, 3, "uchar")
    moved = image.copy(interpretation="srgb").icc_transform("p3", input_profile="srgb")
    profile = moved.get("icc-profile-data")
    return encoded(PHOTO, "JPEG", quality=97, icc_profile=bytes(profile))


async def test_a_wide_gamut_becomes_srgb(render) -> None:
    """The colours are those that LittleCMS gives through Pillow, and not those of the source."""
    data = p3()
    source = opened(data)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(source.info["icc_profile"]))
    expected = ImageCms.profileToProfile(
        source, profile, ImageCms.createProfile("sRGB"), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    assert expected
    image, _, made = await render(data, "JPEG", width=WIDTH)
    assert distance(image, scaled(expected)) < 3
    assert distance(image, scaled(PHOTO)) > 3
    assert b"iCCP" not in made


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
async def test_a_profile_is_kept_on_request(render, format: ImageFormat) -> None:
    image, _, _ = await render(p3(), "JPEG", width=WIDTH, format=format, keep_profile=True)
    assert image.info["icc_profile"] == opened(p3()).info["icc_profile"]
    assert distance(image.convert("RGB"), scaled(PHOTO)) < 5


async def test_a_grey_profile_stays_of_a_grey_image(render) -> None:
    grey = encoded(PHOTO.convert("L"), "JPEG", quality=97)
    image, _, _ = await render(grey, "JPEG", width=WIDTH, keep_profile=True)
    assert image.mode == "L"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
async def test_a_profile_that_libpng_refuses_is_kept_or_used(render, format: ImageFormat) -> None:
    profile = opened(p3()).info["icc_profile"]
    right = scaled(opened(p3()).convert("RGB"))
    # Bytes after the profile are common, as where a program makes its length even.
    data = encoded(opened(p3()), "JPEG", quality=97, icc_profile=profile + bytes(3))
    image, _, _ = await render(data, "JPEG", width=WIDTH, format=format, keep_profile=True)
    assert image.info["icc_profile"] == profile
    assert distance(image.convert("RGB"), right) < 5
    # The length of a version 4 is a multiple of four, but only libpng insists on it.
    odd = (len(profile) + 1).to_bytes(4) + profile[4:8] + b"\4" + profile[9:] + bytes(1)
    data = encoded(opened(p3()), "JPEG", quality=97, icc_profile=odd)
    image, _, _ = await render(data, "JPEG", width=WIDTH, format=format, keep_profile=True)
    if format != "PNG":
        assert image.info["icc_profile"] == odd
        return
    assert "icc_profile" not in image.info
    converted, _, _ = await render(data, "JPEG", width=WIDTH, format=format)
    assert image.tobytes() == converted.tobytes()


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("format", ["WEBP", "AVIF"])
async def test_a_grey_profile_is_not_lost_in_a_format_without_grey(render, format: ImageFormat, mode) -> None:
    """It says that the samples are light itself, so that they are lighter in sRGB."""
    data = encoded(Image.new(mode, (40, 30), (100, 255)[: len(mode)]), "PNG", icc_profile=linear_grey())
    for keep in (False, True):
        image, _, _ = await render(data, "PNG", format=format, keep_profile=keep)
        assert "icc_profile" not in image.info
        assert abs(image.convert("RGB").getpixel((20, 15))[0] - 168) < 3, keep


def linear_grey() -> bytes:
    """An ICC profile for grey with the gamma 1 (ICC.1:2022, 7 and 8.3.4)."""
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, 256, 0)
    start = 128 + 4 + 2 * 12
    table = struct.pack(">I4sII4sII", 2, b"wtpt", start, len(white), b"kTRC", start + len(white), len(curve))
    size = start + len(white) + len(curve)
    head = struct.pack(">I4s4s4s4s4s12x4s", size, b"none", b"\2\x10\0\0", b"mntr", b"GRAY", b"XYZ ", b"acsp")
    illuminant = struct.pack(">3i", 63190, 65536, 54061)
    return (head.ljust(68, b"\0") + illuminant).ljust(128, b"\0") + table + white + curve


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
async def test_formats(render, format: ImageFormat) -> None:
    image, _, _ = await render(encoded(PHOTO, "PNG"), "PNG", width=WIDTH, format=format, quality=90)
    assert ssim(image, scaled(PHOTO)) > 0.93
    assert distance(image.convert("RGB"), scaled(PHOTO)) < 5


async def test_a_large_avif_is_made_with_less_effort_and_as_good(render) -> None:
    large = scaled(PHOTO, 3500)  # more than 8 megapixels
    image, _, _ = await render(encoded(large, "JPEG", quality=97), "JPEG", format="AVIF")
    assert image.size == large.size
    assert image.width * image.height > 8_000_000
    assert ssim(scaled(image.convert("RGB")), scaled(PHOTO)) > 0.93


async def test_quality_is_applied(render) -> None:
    for format in ("JPEG", "WEBP", "AVIF"):
        sizes = [
            (await render(encoded(PHOTO, "PNG"), "PNG", format=format, quality=quality, width=WIDTH))[1].size
            for quality in (10, 50, 95)
        ]
        assert sizes == sorted(set(sizes)), format


def see_through() -> Image.Image:
    image = PHOTO.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(PHOTO.size))
    return image


@pytest.mark.parametrize("source", ["PNG", "WEBP", "TIFF", "AVIF"])
async def test_transparency_stays(render, source: ImageFormat) -> None:
    options: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True, "exact": True}, "AVIF": {"quality": 95}}
    data = encoded(see_through(), source, **options.get(source, {}))
    white = Image.new("RGBA", PHOTO.size, "white")
    over = scaled(Image.alpha_composite(white, see_through()).convert("RGB"))
    for format in ("PNG", "WEBP", "AVIF"):
        image, _, _ = await render(data, source, width=WIDTH, format=format)
        assert image.mode == "RGBA"
        assert distance(image.getchannel("A"), scaled(see_through()).getchannel("A")) < 3
        shown = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        assert distance(shown, over) < 5
    image, _, _ = await render(data, source, width=WIDTH, format="JPEG")
    assert distance(image, over) < 5


async def test_deep_transparency_stays(render) -> None:
    picture = see_through()
    data = deep_alpha(picture)
    image, _, _ = await render(data, "PNG", width=WIDTH)
    assert image.mode == "RGBA"
    assert distance(image.getchannel("A"), scaled(picture).getchannel("A")) < 3


def deep_alpha(picture: Image.Image) -> bytes:
    image = pyvips.Image.new_from_memory(picture.tobytes(), *picture.size, 4, "uchar")
    data: bytes = (image.cast("ushort") * 257).copy(interpretation="rgb16").pngsave_buffer(bitdepth=16)
    return data


@pytest.mark.parametrize(
    ("size", "asked", "fit", "expected"),
    [
        ((400, 300), (100, 100), "INSIDE", (100, 75)),
        ((400, 300), (100, 0), "INSIDE", (100, 75)),
        ((400, 300), (0, 60), "INSIDE", (80, 60)),
        ((400, 300), (0, 0), "INSIDE", (400, 300)),
        ((400, 300), (800, 800), "INSIDE", (400, 300)),
        ((400, 300), (100, 100), "COVER", (100, 100)),
        ((400, 300), (800, 100), "COVER", (800, 100)),
        ((400, 300), (100, 200), "CONTAIN", (100, 200)),
        ((1, 1), (100, 100), "INSIDE", (1, 1)),
        ((1, 1), (30, 20), "COVER", (30, 20)),
        ((1, 1), (30, 20), "CONTAIN", (30, 20)),
        ((3000, 2), (50, 50), "INSIDE", (50, 1)),
        ((2, 3000), (50, 50), "COVER", (50, 50)),
        ((3000, 2), (50, 50), "CONTAIN", (50, 50)),
        ((333, 777), (64, 64), "COVER", (64, 64)),
    ],
)
@pytest.mark.parametrize("source", ["PNG", "BMP"])
async def test_sizes(render, source: ImageFormat, size, asked, fit: str, expected) -> None:
    data = encoded(Image.new("RGB", size, (10, 200, 90)), source)
    image, _, _ = await render(data, source, width=asked[0], height=asked[1], fit=fit)
    assert image.size == expected
    middle = image.convert("RGB").getpixel(((expected[0] - 1) // 2, (expected[1] - 1) // 2))
    assert all(abs(a - b) < 3 for a, b in zip(middle, (10, 200, 90), strict=True))


async def test_contain_has_bars(render) -> None:
    data = encoded(quarters(), "PNG")
    image, _, _ = await render(data, "PNG", width=100, height=100, fit="CONTAIN")
    assert [image.getpixel((50, y))[3] for y in (0, 11, 14, 86, 89, 99)] == [0, 0, 255, 255, 0, 0]
    image, _, _ = await render(data, "PNG", width=100, height=100, fit="CONTAIN", format="JPEG")
    assert min(image.getpixel((50, 2))) > 250
    assert min(image.getpixel((50, 97))) > 250


async def test_cover_keeps_the_middle(render) -> None:
    image, _, _ = await render(encoded(PHOTO, "PNG"), "PNG", width=120, height=120, fit="COVER")
    assert ssim(image, ImageOps.fit(PHOTO, (120, 120), Image.Resampling.LANCZOS)) > 0.97


def animation(format: ImageFormat) -> tuple[bytes, list[Image.Image]]:
    frames = [quarters(), quarters().rotate(90).resize((400, 300)), quarters().rotate(180)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(
        frames[0], format, save_all=True, append_images=frames[1:], duration=[70, 130, 200], loop=0, **options
    )
    return data, frames


async def test_frames_that_look_alike_are_counted_as_they_are_written(render) -> None:
    pixels = [packed(codes(bytes((colour,)) * 1200)) for colour in (1, 1, 2, 2)]
    for frames, count in ((pixels, 2), (pixels[:2], 1)):
        data = gif((40, 30), frames)
        assert probe(data).frames == len(frames)
        image, rendered, _ = await render(data, "GIF", format="WEBP", animated=True)  # which compares them
        assert rendered.frames == getattr(image, "n_frames", 1) == count


@pytest.mark.parametrize("source", ["GIF", "WEBP"])
@pytest.mark.parametrize(
    ("asked", "fit", "expected"),
    [((100, 100), "INSIDE", (100, 75)), ((60, 60), "COVER", (60, 60)), ((80, 100), "CONTAIN", (80, 100))],
)
async def test_animation_is_kept_on_request(render, source: ImageFormat, asked, fit: str, expected) -> None:
    data, frames = animation(source)
    options = {"width": asked[0], "height": asked[1], "fit": fit, "format": "WEBP"}
    image, rendered, _ = await render(data, source, animated=True, **options)
    assert (rendered.frames, image.n_frames, image.size) == (3, 3, expected)
    durations = []
    for number, frame in enumerate(frames):
        image.seek(number)
        image.load()
        durations.append(image.info["duration"])
        shown = Image.alpha_composite(Image.new("RGBA", expected, "white"), image.convert("RGBA"))
        how = {"INSIDE": ImageOps.contain, "COVER": ImageOps.fit}.get(fit, ImageOps.pad)
        colour = {"color": "white"} if fit == "CONTAIN" else {}
        reference = how(frame, asked, Image.Resampling.LANCZOS, **colour)
        assert distance(shown.convert("RGB"), reference) < 8, number
    assert durations == [70, 130, 200]
    # If it is not asked for, only the first frame is rendered.
    image, rendered, _ = await render(data, source, **options)
    assert rendered.frames == 1


async def test_no_metadata(render) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    data = encoded(PHOTO, "JPEG", exif=exif, comment="a secret", xmp=b"<x:xmpmeta>a secret</x:xmpmeta>")
    assert b"secret" in data
    for format in ("JPEG", "PNG", "WEBP", "AVIF"):
        for keep in (False, True):
            _, _, made = await render(data, "JPEG", width=50, format=format, keep_profile=keep)
            assert b"secret" not in made


async def test_huge_by_dimensions(render) -> None:
    image, _, _ = await render(encoded(Image.new("L", (6000, 6000), 77), "PNG"), "PNG", width=64)
    assert image.convert("RGB").getpixel((32, 32)) == (77, 77, 77)


async def cause(render, *args, **options) -> str:
    with pytest.raises(NoPreview) as caught:
        await render(*args, **options)
    return str(caught.value.facts["cause"])


async def test_too_much_is_refused(render) -> None:
    small = encoded(PHOTO, "PNG")
    assert await cause(render, encoded(Image.new("1", (8000, 8000)), "PNG"), "PNG", width=10) == "PIXELS"
    assert await cause(render, small, "PNG", width=8000, height=8000, fit="COVER") == "PIXELS"
    long = encoded(Image.new("L", (17000, 3)), "PNG")
    assert await cause(render, long, "PNG", format="WEBP") == "PIXELS"
    assert await cause(render, long, "PNG", format="AVIF") == "PIXELS"
    frames = [Image.new("P", (1000, 1000), n) for n in range(50)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert await cause(render, moving, "GIF", format="WEBP", animated=True) == "PIXELS"
    assert await cause(render, small[: len(small) // 2], "PNG", width=10) == "CORRUPT"
    assert await cause(render, encoded(PHOTO, "JPEG")[:9000], "JPEG", width=400) == "CORRUPT"
