"""The colours of PNGs without a profile are those that the specification gives them."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageCms

from conexiones.errors import NoPreview
from conexiones.ports.records import Recipe
from tests.adapters.decoder.similarity import distance, opened
from tests.adapters.decoder.workers import Pool, encoded, pool, quarters
from tests.support.corpus import chunk

PICTURE = quarters(40, 30)
GREY = PICTURE.convert("L")

SRGB = chunk(b"sRGB", b"\0")
SRGB_POINTS = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_POINTS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
PQ = chunk(b"cICP", bytes((9, 16, 0, 1)))

pytestmark = pytest.mark.asyncio(loop_scope="module")


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def points(values: tuple[int, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def png(image: Image.Image, *chunks: bytes, **options: object) -> bytes:
    data = encoded(image, "PNG", **options)
    return data[:33] + b"".join(chunks) + data[33:]


def srgb(light: float) -> float:
    """The sample of sRGB, 0 to 1 (IEC 61966-2-1)."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def lightened(image: Image.Image, value: float) -> Image.Image:
    """What the samples of a file with that gamma are in sRGB."""
    table = [round(255 * srgb((sample / 255) ** (1 / value))) for sample in range(256)]
    bands = [band.point(table) for band in image.split()[:3]]
    if image.mode == "RGBA":
        bands.append(image.getchannel("A"))
    return Image.merge(image.mode, bands) if len(bands) > 1 else bands[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


async def shown(decoder: Pool, folder: Path, data: bytes, *, keep_profile: bool = False) -> Image.Image:
    path, into = folder / "image", folder / "made"
    path.write_bytes(data)
    recipe = Recipe(
        width=0, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=keep_profile
    )
    await decoder.render(path, into, format="PNG", recipe=recipe)
    await decoder.describe(path, format="PNG")
    return opened(into.read_bytes())


@pytest.mark.parametrize("value", [0.3, 0.55, 1.0, 1.8, 2.2])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "I;16"])
async def test_gamma(decoder: Pool, tmp_path: Path, mode: str, value: float) -> None:
    image = GREY if mode == "I;16" else PICTURE.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    stored = image
    if mode == "I;16":
        wide = b"".join(bytes((sample, sample)) for sample in image.tobytes())
        stored = Image.frombytes("I;16", image.size, wide)
    seen = await shown(decoder, tmp_path, png(stored, gamma(value)))
    kind = "RGBA" if mode == "RGBA" else "RGB"
    assert distance(seen.convert(kind), lightened(image.convert(kind), value)) < 2


async def test_gamma_of_srgb_changes_nothing(decoder: Pool, tmp_path: Path) -> None:
    for value in (0.45455, 0.45, 0.4646):
        for more in ((), (points(SRGB_POINTS),)):
            assert (
                distance(
                    (await shown(decoder, tmp_path, png(PICTURE, gamma(value), *more))).convert("RGB"),
                    PICTURE,
                )
                == 0
            )


async def test_a_profile_and_srgb_count_before_gamma(decoder: Pool, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (
        png(PICTURE, gamma(1), SRGB),
        png(PICTURE, SRGB, gamma(1), points(P3_POINTS)),
        png(PICTURE, gamma(1), icc_profile=profile),
        png(PICTURE, gamma(1), SRGB, icc_profile=profile),
    ):
        assert distance((await shown(decoder, tmp_path, data)).convert("RGB"), PICTURE) < 2


async def test_what_is_broken_does_not_count(decoder: Pool, tmp_path: Path) -> None:
    whole = gamma(1)
    for broken in (
        whole[:-1] + bytes((whole[-1] ^ 1,)),  # a wrong CRC
        chunk(b"gAMA", bytes(4)),
        chunk(b"gAMA", struct.pack(">I", 15)),  # as libpng has it
        chunk(b"gAMA", struct.pack(">I", 625_000_001)),
        chunk(b"gAMA", b"\1"),
        points((0,) * 8),
        points((31270, 32900, *(30000,) * 6)),
        chunk(b"cHRM", b"\1" * 31),
        chunk(b"cICP", bytes((1, 8, 1, 1))),
        chunk(b"cICP", bytes((255, 255, 0, 1))),
    ):
        assert distance((await shown(decoder, tmp_path, png(PICTURE, broken))).convert("RGB"), PICTURE) == 0
    data = encoded(PICTURE, "PNG")
    late = data[:-12] + whole + data[-12:]  # after the pixels
    assert distance((await shown(decoder, tmp_path, late)).convert("RGB"), PICTURE) == 0
    twice = await shown(decoder, tmp_path, png(PICTURE, whole, gamma(2.2)))
    assert distance(twice.convert("RGB"), lightened(PICTURE, 1)) < 2


async def test_primaries(decoder: Pool, tmp_path: Path) -> None:
    """They lead to the same colours as the profile of Display P3 does."""
    import pyvips

    profile = pyvips.Operation.call("profile_load", "p3")
    expected = (await shown(decoder, tmp_path, png(PICTURE, icc_profile=bytes(profile)))).convert("RGB")
    assert distance(expected, PICTURE) > 2
    for chunks in (
        (points(P3_POINTS),),
        (points(P3_POINTS), gamma(0.45455)),
        (chunk(b"cICP", bytes((12, 13, 0, 1))),),
        (chunk(b"cICP", bytes((12, 13, 0, 1))), SRGB),
    ):
        seen = (await shown(decoder, tmp_path, png(PICTURE, *chunks))).convert("RGB")
        assert distance(seen, expected) < 3


async def test_primaries_of_which_one_is_no_colour(decoder: Pool, tmp_path: Path) -> None:
    """The blue of ProPhoto RGB is hardly light at all. The expected colour is that of the matrices of
    ISO 22028-2 and IEC 61966-2-1."""
    prophoto = (34570, 35850, 73470, 26530, 15960, 84040, 3660, 10)
    picture = Image.new("RGB", (16, 16), (200, 60, 60))
    seen = await shown(decoder, tmp_path, png(picture, gamma(1 / 1.8), points(prophoto)))
    assert distance(seen.convert("RGB"), Image.new("RGB", picture.size, (255, 0, 74))) < 2


async def test_a_coded_space_counts_before_a_profile(decoder: Pool, tmp_path: Path) -> None:
    import pyvips

    profile = bytes(pyvips.Operation.call("profile_load", "p3"))
    data = png(PICTURE, chunk(b"cICP", bytes((1, 13, 0, 1))), icc_profile=profile)
    for keep in (False, True):
        seen = await shown(decoder, tmp_path, data, keep_profile=keep)
        assert distance(seen.convert("RGB"), PICTURE) < 2
        assert "icc_profile" not in seen.info


async def test_light_of_a_high_range(decoder: Pool, tmp_path: Path) -> None:
    """It cannot be shown as it is meant; what the file says for older readers can."""
    path = tmp_path / "image"
    path.write_bytes(png(PICTURE, PQ))
    with pytest.raises(NoPreview) as caught:
        await decoder.describe(path, format="PNG")
    assert caught.value.facts["cause"] == "UNSUPPORTED"
    assert distance((await shown(decoder, tmp_path, png(PICTURE, PQ, SRGB))).convert("RGB"), PICTURE) == 0
