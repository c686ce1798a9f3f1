"""Fields and tiles of TIFF that libvips takes for something else, or that it does not look at."""

import math
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from conexiones.domain.formats import probe
from conexiones.errors import NoPreview
from conexiones.ports.records import Recipe
from tests.adapters.decoder.similarity import distance, opened
from tests.adapters.decoder.workers import Pool, pool, quarters
from tests.support.tiffs import Entry, rational, short, tiff

SIZE = (48, 32)
PICTURE = quarters(*SIZE)
GREY = PICTURE.convert("L")
WHOLE = Recipe(width=0, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False)

BITS, COMPRESSION, PHOTOMETRIC, PLANES, COLOUR_MAP, INK_SET, EXTRA, FORMAT = (
    258, 259, 262, 284, 320, 332, 338, 339,
)  # fmt: skip
COEFFICIENTS, SUBSAMPLING, REFERENCES = 529, 530, 532
TOGETHER = short("<", SUBSAMPLING, 1, 1)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


def stored(path: Path, data: bytes) -> Path:
    """Writes a file, and says where its rendition may be."""
    path.write_bytes(data)
    return path.with_name("made")


async def shown(decoder: Pool, path: Path, data: bytes) -> Image.Image | str:
    """The whole rendition over white, or the cause why there is none, which facts have as well."""
    header = probe(data)
    into = stored(path, data)
    causes = set[str]()
    for task in (
        decoder.render(path, into, format="TIFF", recipe=WHOLE),
        decoder.describe(path, format="TIFF"),
    ):
        try:
            await task
        except NoPreview as error:
            causes.add(str(error.facts["cause"]))
        else:
            causes.add("")
    (cause,) = causes
    if cause:
        return cause
    image = opened(into.read_bytes()).convert("RGBA")
    assert image.size == (header.width, header.height)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


# Fields


def floating(tag: int, *values: float) -> Entry:
    return tag, 11, len(values), struct.pack(f"<{len(values)}f", *values)


RGB, INKS = PICTURE.tobytes(), PICTURE.convert("CMYK").tobytes()

NO_NUMBERS = {
    f"{name} of {value}": tiff(SIZE, [RGB], TOGETHER, floating(tag, value), photometric=photometric)
    for name, tag, photometric in (
        ("photometric", PHOTOMETRIC, 2),
        ("bits", BITS, 2),
        ("compression", COMPRESSION, 2),
        ("format", FORMAT, 2),
        ("extra", EXTRA, 2),
        ("coefficients", COEFFICIENTS, 6),
        ("references", REFERENCES, 6),
    )
    for value in (math.nan, math.inf, -1.0)
} | {
    "no values of bits": tiff(SIZE, [RGB], (BITS, 3, 0, b"")),
    "no values of extra": tiff(SIZE, [RGB], (EXTRA, 3, 0, b"")),
    "L*a*b* as a fraction": tiff(SIZE, [RGB], rational("<", PHOTOMETRIC, 8)),
    "L*a*b* as a floating-point number": tiff(SIZE, [RGB], floating(PHOTOMETRIC, 8.0)),
    "a part of the coefficients": tiff(
        SIZE, [RGB], TOGETHER, rational("<", COEFFICIENTS, 0.3, 0.6), photometric=6
    ),
    "a part of the references": tiff(SIZE, [RGB], TOGETHER, rational("<", REFERENCES, 0, 255), photometric=6),
    "an ink set of NaN": tiff(SIZE, [INKS], floating(INK_SET, math.nan), bits=(8,) * 4, photometric=5),
}


async def test_fields_without_a_sense_end_no_worker(decoder: Pool, tmp_path: Path) -> None:
    found = {name: await shown(decoder, tmp_path / "image", data) for name, data in NO_NUMBERS.items()}
    assert {name for name, cause in found.items() if cause == "CRASH"} == set()


def colour_map(bits: int) -> Entry:
    return short("<", COLOUR_MAP, *(range(3 << bits)))


SOME = bytes(SIZE[0] * SIZE[1] * 8)

REFUSED = {
    "a palette of 16 bits": (tiff(SIZE, [SOME], colour_map(12), bits=(16,), photometric=3), "UNSUPPORTED"),
    "a palette and other samples": (
        tiff(SIZE, [SOME], colour_map(8), bits=(8, 8, 8), photometric=3), "UNSUPPORTED"
    ),
    "no palette": (tiff(SIZE, [SOME], bits=(8,), photometric=3), "CORRUPT"),
    "a part of a palette": (tiff(SIZE, [SOME], colour_map(4), bits=(8,), photometric=3), "CORRUPT"),
    "YCbCr in planes": (tiff(SIZE, [SOME] * 3, TOGETHER, photometric=6), "UNSUPPORTED"),
    "premultiplied, and another sample": (
        tiff(SIZE, [SOME], short("<", EXTRA, 1, 0), bits=(8,) * 5), "UNSUPPORTED"
    ),
    "another sample, and premultiplied": (
        tiff(SIZE, [SOME], short("<", EXTRA, 0, 1), bits=(8,) * 5), "UNSUPPORTED"
    ),
    "grey and another sample in planes": (tiff(SIZE, [SOME] * 2, bits=(8, 8), photometric=1), "UNSUPPORTED"),
    "white is 0, and transparency in a plane": (
        tiff(SIZE, [SOME] * 2, short("<", EXTRA, 2), bits=(16, 16), photometric=0), "UNSUPPORTED"
    ),
    "a palette and another sample in planes": (
        tiff(SIZE, [SOME] * 2, colour_map(8), bits=(8, 8), photometric=3), "UNSUPPORTED"
    ),
    "a palette without a number of bits": (
        tiff(SIZE, [SOME], colour_map(1), bits=(1,), photometric=3).replace(
            struct.pack("<HHI", BITS, 3, 1), struct.pack("<HHI", 254, 3, 1)
        ), "UNSUPPORTED"
    ),
    "premultiplied with 32 bits": (
        tiff(SIZE, [SOME * 2], short("<", EXTRA, 1), bits=(32,) * 4), "UNSUPPORTED"
    ),
    "premultiplied inks of 16 bits": (
        tiff(SIZE, [SOME * 2], short("<", EXTRA, 1), bits=(16,) * 5, photometric=5), "UNSUPPORTED"
    ),
    "tiles of a size that 16 does not divide": (
        tiff(SIZE, [SOME], short("<", 322, 8), short("<", 323, 8), (324, 4, 24, bytes(96)),
             (325, 4, 24, bytes(96)), bits=(8,), photometric=1), "UNSUPPORTED"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_the_cause_is_true(decoder: Pool, tmp_path: Path, name: str) -> None:
    data, cause = REFUSED[name]
    assert await shown(decoder, tmp_path / "image", data) == cause


def with_samples(*values: int) -> bytes:
    """The picture with those samples after the colours of each pixel."""
    return b"".join(RGB[at : at + 3] + bytes(values) for at in range(0, len(RGB), 3))


OVER_WHITE = Image.blend(Image.new("RGB", SIZE, "white"), PICTURE, 128 / 255)


@pytest.mark.parametrize(
    ("extra", "samples", "expected"),
    [
        ((0, 0), (7, 9), PICTURE),
        ((2, 0), (128, 9), OVER_WHITE),
        ((0, 2), (9, 128), OVER_WHITE),
        ((), (7, 9), PICTURE),
        ((), (128,), OVER_WHITE),
    ],
)
async def test_one_of_several_samples_is_transparency(
    decoder: Pool, tmp_path: Path, extra: tuple[int, ...], samples: tuple[int, ...], expected: Image.Image
) -> None:
    entries = [short("<", EXTRA, *extra)] if extra else []
    data = tiff(SIZE, [with_samples(*samples)], *entries, bits=(8,) * (3 + len(samples)))
    made = await shown(decoder, tmp_path / "image", data)
    assert isinstance(made, Image.Image)
    assert distance(made, expected) < 2


@pytest.mark.parametrize(("extra", "sample", "expected"), [(0, 7, PICTURE), (2, 128, OVER_WHITE)])
async def test_a_sample_besides_a_palette(
    decoder: Pool, tmp_path: Path, extra: int, sample: int, expected: Image.Image
) -> None:
    few = PICTURE.quantize(4)
    palette = [*(few.getpalette() or []), *[0] * 768][:768]
    colours = short(
        "<", COLOUR_MAP, *(palette[3 * at + band] * 257 for band in range(3) for at in range(256))
    )
    pixels = b"".join(bytes((pixel, sample)) for pixel in few.tobytes())
    data = tiff(SIZE, [pixels], colours, short("<", EXTRA, extra), bits=(8, 8), photometric=3)
    made = await shown(decoder, tmp_path / "image", data)
    assert isinstance(made, Image.Image)
    assert distance(made, expected) < 2


async def test_transparency_of_deep_inks(decoder: Pool, tmp_path: Path) -> None:
    made = []
    for bits, order in ((8, "<"), (16, "<"), (16, ">")):
        one = (1 << bits) - 1
        samples = [0, one, 0, 0, one // 2] * (SIZE[0] * SIZE[1])
        pixels = struct.pack(f"{order}{len(samples)}{'B' if bits == 8 else 'H'}", *samples)
        inks = short(order, EXTRA, 2)
        data = tiff(SIZE, [pixels], inks, order=order, bits=(bits,) * 5, photometric=5)
        made.append(await shown(decoder, tmp_path / "image", data))
    first, *others = made
    assert isinstance(first, Image.Image)
    for other in others:
        assert isinstance(other, Image.Image)
        assert distance(first, other) <= 1


@pytest.mark.parametrize("orientation", [1, 6])
async def test_a_palette_that_comes_before_the_number_of_bits(
    decoder: Pool, tmp_path: Path, orientation: int
) -> None:
    few = PICTURE.quantize(4)
    palette = [*(few.getpalette() or []), *[0] * 768][:768]
    colours = short(
        "<", COLOUR_MAP, *(palette[3 * at + band] * 257 for band in range(3) for at in range(256))
    )
    turned = short("<", 274, orientation)
    data = tiff(SIZE, [few.tobytes()], colours, turned, bits=(8,), photometric=3)
    start = struct.unpack_from("<I", data, 4)[0] + 2
    end = start + 12 * struct.unpack_from("<H", data, start - 2)[0]
    entries = [data[at : at + 12] for at in range(start, end, 12)]
    upside_down = data[:start] + b"".join(reversed(entries)) + data[end:]
    made = await shown(decoder, tmp_path / "image", upside_down)
    assert isinstance(made, Image.Image)
    assert distance(made, PICTURE if orientation == 1 else PICTURE.transpose(Image.Transpose.ROTATE_270)) < 2
    facts = await decoder.describe(tmp_path / "image", format="TIFF")
    assert facts.color_space == "RGB"


# Tiles


def tiled(compression: int, tiles: list[bytes]) -> bytes:
    """The grey picture in tiles of 16 × 16, from left to right and from top to bottom."""
    start = 8
    offsets = [start + sum(map(len, tiles[:index])) for index in range(len(tiles))]
    number = len(tiles)
    entries = [
        *(short("<", 322, 16), short("<", 323, 16), short("<", COMPRESSION, compression)),
        (324, 4, number, struct.pack(f"<{number}I", *offsets)),
        (325, 4, number, struct.pack(f"<{number}I", *map(len, tiles))),
    ]
    whole = tiff(SIZE, [b"".join(tiles)], *entries, bits=(8,), photometric=1)
    # The tags of strips become such as nobody knows.
    directory = struct.unpack_from("<I", whole, 4)[0]
    data = bytearray(whole)
    for at in range(directory + 2, directory + 2 + 12 * struct.unpack_from("<H", whole, directory)[0], 12):
        if struct.unpack_from("<H", whole, at)[0] in (273, 278, 279):
            data[at : at + 12] = struct.pack("<HHIHH", 254, 4, 1, 0, 0)
    return bytes(data)


TILES = [
    GREY.crop((x, y, x + 16, y + 16)).tobytes() for y in range(0, SIZE[1], 16) for x in range(0, SIZE[0], 16)
]
PACKED = [zlib.compress(tile) for tile in TILES]


async def test_tiles_that_cannot_be_read_are_not_black(decoder: Pool, tmp_path: Path) -> None:
    made = await shown(decoder, tmp_path / "image", tiled(8, PACKED))
    assert isinstance(made, Image.Image)
    assert distance(made, GREY.convert("RGB")) < 1
    spoilt = [PACKED[0], PACKED[1][:8] + b"damaged!" + PACKED[1][16:], *PACKED[2:]]
    assert await shown(decoder, tmp_path / "image", tiled(8, spoilt)) == "CORRUPT"
    # Zstandard, LZMA, LERC and JPEG XL, and a number that nobody has taken.
    for compression in (50000, 34925, 34887, 50002, 12345):
        assert await shown(decoder, tmp_path / "image", tiled(compression, PACKED)) == "UNSUPPORTED"
