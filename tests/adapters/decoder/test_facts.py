"""Facts of real files by a real worker, and BlurHash against the reference implementation."""

from collections.abc import Callable
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from conexiones.adapters.decoder.decoder_worker.blurhash import blurhash
from conexiones.adapters.decoder.decoder_worker.facts import dominant
from conexiones.errors import NoPreview
from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Facts
from tests.adapters.decoder.workers import encoded, pool, quarters


def pattern(width: int, height: int) -> bytes:
    return bytes(
        value
        for y in range(height)
        for x in range(width)
        for value in ((x * x * 7 + y * 3) % 256, (y * y * 5 + x * 11) % 256, (x * y * 3 + 40) % 256)
    )


# The expected hashes are those of the C implementation (woltapp/blurhash, C/encode.c; blurhash-python 1.2).
@pytest.mark.parametrize(
    ("pixels", "width", "height", "across", "down", "expected"),
    [
        (pattern(32, 24), 32, 24, 4, 3, "L9GI_pb,9Y2*]NIm0O-O:hNFMlm:"),
        (pattern(24, 32), 24, 32, 3, 4, "TCF$^SxS0L=pDkKu#P9[rK-MmpQ="),
        (pattern(5, 5), 5, 5, 1, 1, "007dwS"),
        (pattern(1, 1), 1, 1, 4, 3, "L6000efZfZfZfZfZfZfZfZfZfZfZ"),
        (b"\xff" * 32 * 24 * 3, 32, 24, 4, 3, "LDTSUA_3fQ_3~qoffQoffQfQfQfQ"),
        (bytes(32 * 24 * 3), 32, 24, 4, 3, "L00000fQfQfQfQfQfQfQfQfQfQfQ"),
        (
            pattern(32, 32),
            32,
            32,
            9,
            9,
            "|AG9W|TUMJ5Q2+X{J4ExEw-4Vr58%qSw9]TZ|@WCz.JOE4#E=ZRBRp-AAJ;KnOV3RQTJVMS7j_I]wsVuniPSI^v.tMn,ifn5"
            "bputVfl6o{S#NYKHs~nSkpYMRSR.b.oZW9$KaLZWbwXkR6XenQozV=n7ilo|t2MyO8e@XU",
        ),
    ],
)
def test_blurhash(pixels: bytes, width: int, height: int, across: int, down: int, expected: str) -> None:
    assert blurhash(pixels, width, height, across, down) == expected


def test_dominant_is_no_mean() -> None:
    assert dominant([(250, 10, 10)] * 6 + [(10, 10, 250)] * 4) == (250, 10, 10)
    # A border between two cells does not split a group.
    assert dominant([(127, 0, 0), (129, 0, 0)] * 3 + [(0, 255, 0)] * 4) == (128, 0, 0)


async def facts_of(tmp_path: Path, format: ImageFormat, data: bytes) -> Facts:
    path = tmp_path / "image"
    path.write_bytes(data)
    async with pool() as decoder:
        return await decoder.describe(path, format=format)


def deep(picture: Image.Image) -> bytes:
    bands = len(picture.getbands())
    image = pyvips.Image.new_from_memory(picture.tobytes(), *picture.size, bands, "uchar")
    kind = "rgb16" if bands > 2 else "grey16"
    data: bytes = (image.cast("ushort") * 257).copy(interpretation=kind).pngsave_buffer(bitdepth=16)
    return data


def lab() -> bytes:
    image = pyvips.Image.new_from_memory(RED.tobytes(), *RED.size, 3, "uchar")
    data: bytes = image.copy(interpretation="srgb").colourspace("labs").tiffsave_buffer()
    return data


RED = Image.new("RGB", (30, 20), (200, 30, 40))


@pytest.mark.parametrize(
    ("format", "make", "space", "bits", "alpha"),
    [
        ("JPEG", lambda: encoded(RED, "JPEG"), "RGB", 8, False),
        ("JPEG", lambda: encoded(RED.convert("L"), "JPEG"), "GREY", 8, False),
        ("JPEG", lambda: encoded(RED.convert("CMYK"), "JPEG"), "CMYK", 8, False),
        ("PNG", lambda: encoded(RED.convert("RGBA"), "PNG"), "RGB", 8, True),
        ("PNG", lambda: encoded(RED.quantize(4), "PNG"), "RGB", 8, False),
        ("PNG", lambda: deep(RED), "RGB", 16, False),
        ("PNG", lambda: deep(RED.convert("L")), "GREY", 16, False),
        ("GIF", lambda: encoded(RED, "GIF"), "RGB", 8, False),
        ("TIFF", lab, "LAB", 16, False),
        ("WEBP", lambda: encoded(RED, "WEBP"), "RGB", 8, False),
        ("AVIF", lambda: encoded(RED, "AVIF"), "RGB", 8, False),
        ("BMP", lambda: encoded(RED, "BMP"), "RGB", 8, False),
    ],
)
async def test_facts(
    tmp_path: Path, format: ImageFormat, make: Callable[[], bytes], space: str, bits: int, alpha: bool
) -> None:
    facts = await facts_of(tmp_path, format, make())
    assert (facts.problem, facts.color_space, facts.bits_per_sample) == ("", space, bits)
    assert facts.has_alpha == alpha
    assert (len(facts.blur_hash), facts.blur_hash[0]) == (28, "L")
    if space == "RGB":
        colour = bytes.fromhex(facts.dominant_color.removeprefix("#"))
        assert max(abs(a - b) for a, b in zip(colour, (200, 30, 40), strict=True)) <= 4


async def test_an_upright_image_has_upright_components(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = await facts_of(tmp_path, "JPEG", encoded(quarters(), "JPEG", exif=exif))
    assert facts.blur_hash[0] == "T"  # stands for 3 × 4 components


async def test_pixels_that_cannot_be_seen_do_not_count(tmp_path: Path) -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 40, 10))
    assert (await facts_of(tmp_path, "PNG", encoded(image, "PNG"))).dominant_color == "#0000ff"
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert (await facts_of(tmp_path, "PNG", encoded(image, "PNG"))).dominant_color == "#ffffff"


async def test_what_is_broken_has_a_problem(tmp_path: Path) -> None:
    with pytest.raises(NoPreview) as caught:
        await facts_of(tmp_path, "PNG", encoded(quarters(), "PNG")[:300])
    assert caught.value.facts["cause"] == "CORRUPT"
