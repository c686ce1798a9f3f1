"""TIFFs of every kind of samples are shown in the right colours, or refused with the true cause."""

import struct
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageCms

from conexiones.domain.formats import probe
from conexiones.errors import NoPreview
from conexiones.ports.records import Facts, Recipe
from tests.adapters.decoder.similarity import distance, opened
from tests.adapters.decoder.workers import Pool, pool, quarters
from tests.support.tiffs import Entry, directory, rational, short, tiff

SIZE = (40, 30)
PICTURE = quarters(*SIZE)
GREY = PICTURE.convert("L")
INKS = PICTURE.convert("CMYK")

EXTRA, FORMAT, COLOUR_MAP, INK_SET = 338, 339, 320, 332
COEFFICIENTS, SUBSAMPLING, REFERENCES = 529, 530, 532
UNSIGNED, SIGNED, FLOAT, COMPLEX = 1, 2, 3, 6

pytestmark = pytest.mark.asyncio(loop_scope="module")


def numbers(image: Image.Image, code: str, scale: float, *, order: str = "<") -> bytes:
    """The samples of an image, each multiplied, as struct has them."""
    values = image.tobytes()
    if code in "efd":
        return struct.pack(f"{order}{len(values)}{code}", *(value * scale for value in values))
    return struct.pack(f"{order}{len(values)}{code}", *(round(value * scale) for value in values))


def packed(values: Iterable[int], bits: int) -> bytes:
    """Samples of so many bits, every row filled up to bytes."""
    digits = [f"{value:0{bits}b}" for value in values]
    rows = ("".join(digits[at : at + SIZE[0]]) for at in range(0, len(digits), SIZE[0]))
    return b"".join(int(row + "0" * (-len(row) % 8), 2).to_bytes(-(-len(row) // 8)) for row in rows)


def grey(bits: int, image: Image.Image = GREY) -> bytes:
    """The grey picture with so many bits."""
    most = (1 << bits) - 1
    return packed((round(value * most / 255) for value in image.tobytes()), bits)


def floats(image: Image.Image, scale: float, *entries: Entry, order: str = "<") -> bytes:
    bands = len(image.getbands())
    return tiff(
        SIZE,
        [numbers(image, "f", scale, order=order)],
        *(short(order, FORMAT, *[FLOAT] * bands), *entries),
        order=order,
        bits=(32,) * bands,
        photometric=1 if bands == 1 else 2,
    )


BT_601, BT_709 = (0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722)


def ycbcr(*entries: Entry, luma: tuple[float, ...] = BT_601, narrow: bool = False) -> bytes:
    """The picture in YCbCr; `narrow` is the range of video."""
    red, green, blue = luma
    scales = ((219 / 255, 16), (224 / 255, 128), (224 / 255, 128)) if narrow else ((1, 0), (1, 128), (1, 128))
    out = bytearray()
    for r, g, b in zip(*[iter(PICTURE.tobytes())] * 3, strict=True):
        y = red * r + green * g + blue * b
        parts = zip((y, (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)), scales, strict=True)
        out += bytes(min(255, max(0, round(part * scale + zero))) for part, (scale, zero) in parts)
    return tiff(SIZE, [bytes(out)], *entries, photometric=6)


def lab(*, bits: int = 8) -> bytes:
    """The picture in L*a*b* as LittleCMS makes it of sRGB."""
    made = ImageCms.profileToProfile(
        PICTURE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert made
    pixels = made.tobytes()
    if bits == 16:
        pixels = b"".join(
            struct.pack("<Hhh", light * 257, a * 256, b * 256)
            for light, a, b in struct.iter_unpack("<Bbb", pixels)
        )
    return tiff(SIZE, [pixels], bits=(bits,) * 3, photometric=8)


def palette(bits: int) -> bytes:
    """Four colours, of which the pixels hold the numbers."""
    few = PICTURE.quantize(4)
    colours = (few.getpalette() or [])[:12]
    full = [colours[3 * at + band] * 257 if at < 4 else 0 for band in range(3) for at in range(1 << bits)]
    pixels = packed(few.tobytes(), bits)
    return tiff(SIZE, [pixels], short("<", COLOUR_MAP, *full), bits=(bits,), photometric=3)


def with_a_sample(image: Image.Image, value: int) -> bytes:
    """The pixels with one more sample each."""
    bands = len(image.getbands())
    pixels = image.tobytes()
    return b"".join(pixels[at : at + bands] + bytes((value,)) for at in range(0, len(pixels), bands))


def half_premultiplied() -> bytes:
    """The picture, half transparent, its colours multiplied with that."""
    return with_a_sample(PICTURE.point(lambda value: value // 2), 128)


OVER_WHITE = Image.blend(Image.new("RGB", SIZE, "white"), PICTURE, 128 / 255)
TWO = GREY.point(lambda value: 255 if value > 100 else 0)
TOW = TWO.point(lambda value: 255 - value)
INVERTED = GREY.point(lambda value: 255 - value)

RIGHT: dict[str, tuple[bytes, Image.Image, str, int]] = {
    # name → file, picture, colour space, bits
    "float": (floats(GREY, 1 / 255), GREY, "GREY", 32),
    "float, big-endian": (floats(GREY, 1 / 255, order=">"), GREY, "GREY", 32),
    "float RGB": (floats(PICTURE, 1 / 255), PICTURE, "RGB", 32),
    "float RGBA": (floats(PICTURE.convert("RGBA"), 1 / 255, short("<", EXTRA, 2)), PICTURE, "RGB", 32),
    "float up to 255": (floats(GREY, 1), GREY, "GREY", 32),
    "float up to 65535": (floats(PICTURE, 257), PICTURE, "RGB", 32),
    "32 bits": (
        tiff(SIZE, [numbers(GREY, "I", 0x0101_0101)], bits=(32,), photometric=1), GREY, "GREY", 32
    ),
    "32 bits RGB": (tiff(SIZE, [numbers(PICTURE, "I", 0x0101_0101)], bits=(32,) * 3), PICTURE, "RGB", 32),
    "16 bits": (tiff(SIZE, [numbers(PICTURE, "H", 257)], bits=(16,) * 3), PICTURE, "RGB", 16),
    "YCbCr": (ycbcr(short("<", SUBSAMPLING, 1, 1)), PICTURE, "RGB", 8),
    "YCbCr of HDTV": (
        ycbcr(
            short("<", SUBSAMPLING, 1, 1),
            rational("<", COEFFICIENTS, *BT_709),
            luma=BT_709,
        ),
        PICTURE, "RGB", 8,
    ),
    "YCbCr of video": (
        ycbcr(
            short("<", SUBSAMPLING, 1, 1), rational("<", REFERENCES, 16, 235, 128, 240, 128, 240), narrow=True
        ),
        PICTURE, "RGB", 8,
    ),
    "L*a*b*": (lab(), PICTURE, "LAB", 8),
    "L*a*b* with 16 bits": (lab(bits=16), PICTURE, "LAB", 16),
    "a sample that says nothing": (
        tiff(SIZE, [with_a_sample(PICTURE, 0)], short("<", EXTRA, 0), bits=(8,) * 4), PICTURE, "RGB", 8
    ),
    "grey and a sample that says nothing": (
        tiff(SIZE, [with_a_sample(GREY, 0)], short("<", EXTRA, 0), bits=(8, 8), photometric=1),
        GREY, "GREY", 8,
    ),
    "premultiplied": (
        tiff(SIZE, [half_premultiplied()], short("<", EXTRA, 1), bits=(8,) * 4), OVER_WHITE, "RGB", 8
    ),
    "transparent": (
        tiff(SIZE, [with_a_sample(PICTURE, 128)], short("<", EXTRA, 2), bits=(8,) * 4), OVER_WHITE, "RGB", 8
    ),
    "planes": (tiff(SIZE, [band.tobytes() for band in PICTURE.split()]), PICTURE, "RGB", 8),
    "1 bit": (tiff(SIZE, [grey(1, TWO)], bits=(1,), photometric=1), TWO, "GREY", 1),
    "2 bits": (tiff(SIZE, [grey(2, TWO)], bits=(2,), photometric=1), TWO, "GREY", 2),
    "4 bits": (tiff(SIZE, [grey(4)], bits=(4,), photometric=1), GREY, "GREY", 4),
    "1 bit, white is 0": (tiff(SIZE, [grey(1, TOW)], bits=(1,), photometric=0), TWO, "GREY", 1),
    "8 bits, white is 0": (tiff(SIZE, [INVERTED.tobytes()], bits=(8,), photometric=0), GREY, "GREY", 8),
    "palette of 2 bits": (palette(2), PICTURE, "RGB", 2),
    "palette of 4 bits": (palette(4), PICTURE, "RGB", 4),
    "palette of 8 bits": (palette(8), PICTURE, "RGB", 8),
}  # fmt: skip

SOME = bytes(40 * 30 * 8)

UNSUPPORTED: dict[str, bytes] = {
    **{
        f"{bits} bits": tiff(SIZE, [grey(bits)], bits=(bits,), photometric=1) for bits in (6, 10, 12, 14)
    },
    **{f"RGB with {bits} bits": tiff(SIZE, [SOME], bits=(bits,) * 3) for bits in (10, 12, 14)},
    "24 bits": tiff(SIZE, [SOME], bits=(24,), photometric=1),
    "64 bits": tiff(SIZE, [SOME], bits=(64,), photometric=1),
    "5, 6 and 5 bits": tiff(SIZE, [SOME], bits=(5, 6, 5)),
    "half floats": tiff(SIZE, [SOME], short("<", FORMAT, FLOAT), bits=(16,), photometric=1),
    "floats of 24 bits": tiff(SIZE, [SOME], short("<", FORMAT, FLOAT), bits=(24,), photometric=1),
    "doubles": tiff(SIZE, [SOME], short("<", FORMAT, FLOAT), bits=(64,), photometric=1),
    "floats, white is 0": tiff(SIZE, [SOME], short("<", FORMAT, FLOAT), bits=(32,), photometric=0),
    "the light of a scene": floats(PICTURE, 4 / 255),
    "heights": floats(GREY, 10),
    "depths": floats(GREY, -10),
    "8 bits with a sign": tiff(SIZE, [SOME], short("<", FORMAT, SIGNED), bits=(8,), photometric=1),
    "16 bits with a sign": tiff(SIZE, [SOME], short("<", FORMAT, SIGNED), bits=(16,), photometric=1),
    "32 bits with a sign": tiff(SIZE, [SOME], short("<", FORMAT, SIGNED), bits=(32,), photometric=1),
    "complex numbers": tiff(SIZE, [SOME], short("<", FORMAT, COMPLEX), bits=(64,), photometric=1),
    "YCbCr, fewer chroma": ycbcr(short("<", SUBSAMPLING, 2, 2)),
    "YCbCr, fewer chroma unsaid": ycbcr(),
    "old-style JPEG": tiff(SIZE, [SOME], short("<", 259, 6), photometric=6),
    "LZMA": tiff(SIZE, [SOME], short("<", 259, 34925)),
    "an unknown compression": tiff(SIZE, [SOME], short("<", 259, 12345)),
    "ICC L*a*b*": tiff(SIZE, [SOME], photometric=9),
    "ITU L*a*b*": tiff(SIZE, [SOME], photometric=10),
    "a mask": tiff(SIZE, [SOME], bits=(1,), photometric=4),
    "nothing said of colours": tiff(SIZE, [SOME], photometric=None),
    "other inks": tiff(SIZE, [SOME], short("<", INK_SET, 2), bits=(8,) * 4, photometric=5),
    "4 bits and a matte": tiff(SIZE, [SOME], short("<", EXTRA, 1), bits=(4, 4), photometric=1),
}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


async def seen(decoder: Pool, path: Path) -> tuple[Image.Image, Facts]:
    """The whole rendition over white, and the facts."""
    into = path.with_name("made")
    recipe = Recipe(
        width=0, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
    )
    await decoder.render(path, into, format="TIFF", recipe=recipe)
    image = opened(into.read_bytes()).convert("RGBA")
    over = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return over, await decoder.describe(path, format="TIFF")


@pytest.mark.parametrize("name", RIGHT)
async def test_the_right_colours(decoder: Pool, tmp_path: Path, name: str) -> None:
    data, picture, space, bits = RIGHT[name]
    path = tmp_path / "image.tif"
    path.write_bytes(data)
    assert (probe(data).width, probe(data).height) == SIZE
    image, facts = await seen(decoder, path)
    assert distance(image, picture.convert("RGB")) < 5
    assert (facts.color_space, facts.bits_per_sample) == (space, bits)
    assert facts.has_alpha == (name in {"float RGBA", "premultiplied", "transparent"})


async def test_what_is_no_number_is_black(decoder: Pool, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    nan = struct.pack("<f", float("nan"))
    half = numbers(GREY, "f", 1 / 255)[: 40 * 15 * 4] + nan * (40 * 15)
    path.write_bytes(tiff(SIZE, [half], short("<", FORMAT, FLOAT), bits=(32,), photometric=1))
    image, _ = await seen(decoder, path)
    assert image.getpixel((5, 25)) == (0, 0, 0)
    assert image.getpixel((5, 5)) == (GREY.getpixel((5, 5)),) * 3


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_what_is_not_known_is_unsupported(decoder: Pool, tmp_path: Path, name: str) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(UNSUPPORTED[name])
    assert (probe(UNSUPPORTED[name]).width, probe(UNSUPPORTED[name]).height) == SIZE
    causes = []
    for task in (decoder.describe(path, format="TIFF"), seen(decoder, path)):
        with pytest.raises(NoPreview) as caught:
            await task
        causes.append(caught.value.facts["cause"])
    assert causes == ["UNSUPPORTED", "UNSUPPORTED"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["DNG", "below"])
async def test_the_thumbnail_of_a_raw_image_is_not_taken_for_it(
    decoder: Pool, tmp_path: Path, kind: str, order: str
) -> None:
    """Earlier versions stored such files, with the size of the thumbnail."""
    path = tmp_path / "image.tif"
    thumbnail = [PICTURE.tobytes()]
    if kind == "DNG":
        path.write_bytes(tiff(SIZE, thumbnail, (50706, 1, 4, b"\1\4\0\0"), order=order))
    else:
        at = 1 << 16
        entry = (330, 4, 1, struct.pack(order + "I", at))
        data = tiff(SIZE, thumbnail, entry, order=order).ljust(at, b"\0")
        path.write_bytes(data + directory(order, [short(order, 262, 32803)], at))
    for task in (decoder.describe(path, format="TIFF"), seen(decoder, path)):
        with pytest.raises(NoPreview) as caught:
            await task
        assert caught.value.facts["cause"] == "UNSUPPORTED"


async def test_values_that_are_not_known_do_not_matter(decoder: Pool, tmp_path: Path) -> None:
    """libtiff calls them errors, as it does where pixels are damaged."""
    path = tmp_path / "image.tif"
    for entry in (short("<", 274, 0), short("<", 274, 9), short("<", 296, 77), short("<", 254, 99, 99)):
        path.write_bytes(tiff(SIZE, [PICTURE.tobytes()], entry))
        image, _ = await seen(decoder, path)
        assert distance(image, PICTURE) < 1


async def test_a_child_is_not_taken_for_a_smaller_copy(decoder: Pool, tmp_path: Path) -> None:
    """A page or child of half the size may be any picture."""
    other = Image.new("RGB", (200, 150), "white")
    path, into = tmp_path / "image.tif", tmp_path / "made"
    quarters(400, 300).save(path, save_all=True, append_images=[other, other.resize((100, 75))])
    recipe = Recipe(
        width=50, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
    )
    await decoder.render(path, into, format="TIFF", recipe=recipe)
    assert distance(opened(into.read_bytes()).convert("RGB"), quarters(50, 38)) < 6
