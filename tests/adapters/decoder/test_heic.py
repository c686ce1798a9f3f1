"""HEIC: what real workers make of it, compared with the picture that it was made from."""

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from conexiones.domain.formats import probe
from conexiones.errors import NoPreview
from conexiones.ports.records import Recipe
from tests.adapters.decoder.workers import COLOURS, Pool, cause_of, pool, quarters, spoilt
from tests.support import corpus_heic as heic
from tests.support.corpus_containers import box
from tests.support.corpus_heic import Item, picture

FLIPS = Image.Transpose
MIRROR = (FLIPS.FLIP_TOP_BOTTOM, FLIPS.FLIP_LEFT_RIGHT)
"""What imir does, by its axis."""

RECIPE = Recipe(
    width=256, height=0, fit="INSIDE", format="PNG", quality=0, animated=False, keep_profile=False
)


def upright(orientation: int, image: Image.Image) -> Image.Image:
    turn = {
        2: FLIPS.FLIP_LEFT_RIGHT,
        3: FLIPS.ROTATE_180,
        4: FLIPS.FLIP_TOP_BOTTOM,
        5: FLIPS.TRANSPOSE,
        6: FLIPS.ROTATE_270,
        7: FLIPS.TRANSVERSE,
        8: FLIPS.ROTATE_90,
    }.get(orientation)
    return image.transpose(turn) if turn is not None else image


SMALL = quarters(96, 64)
WHITE = Image.new("RGB", (64, 64), "white")


def half_transparent() -> Image.Image:
    image = SMALL.convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 96, 32))
    return image


PICTURES: dict[str, Image.Image] = {
    "plain": SMALL,
    "444-lossless": SMALL,
    "grey": SMALL.convert("L").convert("RGB"),
    "white": WHITE,
    "alpha": half_transparent(),
    "premultiplied": half_transparent(),
    "10-bit": SMALL,
    "12-bit": SMALL,
    "grey-10-bit": SMALL.convert("L").convert("RGB"),
    "grid": quarters(200, 130),
    "several": SMALL,
    "large": Image.new("RGB", (4096, 3072), COLOURS[0]),
    "large-grid": Image.new("RGB", (4096, 3072), COLOURS[0]),
    **{f"orientation-{number}": upright(number, SMALL) for number in range(1, 9)},
}

HIDDEN_WHITE = replace(picture("white"), hidden=True)
FRAMES, CONFIGURATION = [picture().data] * 3, picture().properties[0]
NO_TEXT = b"\xff\xfe\0not utf-8\xff"


def exif(orientation: int) -> Item:
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHxxI", 1, 0x112, 3, 1, orientation, 0)
    return Item(data=struct.pack(">I", 0) + tiff, kind=b"Exif")


def beside(*items: Item, link: bytes) -> bytes:
    """The picture, and others that are linked to it."""
    references = [(link, number, [1]) for number in range(2, 2 + len(items))]
    return heic.heic(picture(), *items, references=references)


def tiles(columns: int, rows: int, width: int, height: int, *, of: str = "plain") -> bytes:
    """A grid of a picture, again and again."""
    tile = replace(picture(of), hidden=True)
    numbers = range(2, 2 + columns * rows)
    return heic.heic(
        heic.grid(columns, rows, width, height), *[tile] * len(numbers), references=[(b"dimg", 1, numbers)]
    )


def pasted(columns: int, rows: int, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (columns * 96, rows * 64))
    for at in range(columns * rows):
        image.paste(SMALL, (at % columns * 96, at // columns * 64))
    return image.crop((0, 0, width, height))


def in_range_of_video(grey: Image.Image) -> Image.Image:
    """What its samples mean if 16 is black and 235 is white."""
    return grey.point([max(0, min(255, round((value - 16) * 255 / 219))) for value in range(256)])


MADE: dict[str, tuple[bytes, Image.Image]] = {
    "in 16 bit ids and one item": (heic.heic(picture()), SMALL),
    "the second is primary": (heic.heic(picture("white"), picture(), primary=2), SMALL),
    "the first of a hidden one": (heic.heic(picture(), HIDDEN_WHITE), SMALL),
    "brand mif1": (heic.heic(picture(), brand=b"mif1"), SMALL),
    "brand heix": (heic.heic(picture(), brand=b"heix"), SMALL),
    "brand heis, which libvips does not know": (heic.heic(picture(), brand=b"heis"), SMALL),
    "another picture as thumbnail": (beside(picture("white"), link=b"thmb"), SMALL),
    "the primary one is a thumbnail of another": (
        heic.heic(picture(), picture("white"), references=[(b"thmb", 1, [2])]),
        SMALL,
    ),
    "a depth map": (
        beside(picture("grey").with_properties(heic.auxiliary("urn:mpeg:hevc:2015:auxid:2")), link=b"auxl"),
        SMALL,
    ),
    "a gain map": (
        beside(picture("grey").with_properties(heic.auxiliary("urn:com:apple:photo:2020:aux:hdrgainmap")),
               link=b"auxl"),
        SMALL,
    ),
    "an alpha plane, grey as deep as it is opaque": (
        beside(picture("grey").with_properties(heic.auxiliary("urn:mpeg:hevc:2015:auxid:1")), link=b"auxl"),
        Image.merge("RGBA", (*SMALL.split(), SMALL.convert("L"))),
    ),
    "EXIF that says that it is turned, which has no say": (beside(exif(6), link=b"cdsc"), SMALL),
    "EXIF against irot": (
        heic.heic(picture().with_properties(heic.turned(1)), exif(6), references=[(b"cdsc", 2, [1])]),
        SMALL.transpose(FLIPS.ROTATE_90),
    ),
    "metadata of bytes that are no text": (
        beside(Item(data=NO_TEXT, kind=b"mime", words=b"\xff\xfe/\xff\0"), link=b"cdsc"),
        SMALL,
    ),
    "metadata in an encoding that there is not": (
        beside(Item(data=NO_TEXT, kind=b"mime", words=b"a/b\0nothing\0"), link=b"cdsc"),
        SMALL,
    ),
    "a kind of item that is no text": (
        beside(Item(data=b"?", kind=b"\xff\xfe\xfd\xfc"), link=b"cdsc"),
        SMALL,
    ),
    "a colour profile that is none": (
        heic.heic(picture().with_properties(box(b"colr", b"prof" + NO_TEXT))),
        SMALL,
    ),
    "cut to the middle": (
        heic.heic(picture().with_properties(heic.cut(40, 20))),
        SMALL.crop((28, 22, 68, 42)),
    ),
    "cut to a corner": (
        heic.heic(picture().with_properties(heic.cut(40, 20, right=56, down=-44))),
        SMALL.crop((56, 0, 96, 20)),
    ),
    "cut, then turned": (
        heic.heic(picture().with_properties(heic.cut(40, 20), heic.turned(3))),
        SMALL.crop((28, 22, 68, 42)).transpose(FLIPS.ROTATE_270),
    ),
    "a grid of 6, of which the last row and column are cut": (tiles(3, 2, 250, 100), pasted(3, 2, 250, 100)),
    "a grid of 1,200": (tiles(40, 30, 2560, 1920, of="white"), Image.new("RGB", (2560, 1920), "white")),
    "grey in the range of video": (
        heic.heic(picture("grey").with_properties(heic.code_points(full_range=False))),
        in_range_of_video(SMALL.convert("L")).convert("RGB"),
    ),
    "grey in full range": (
        heic.heic(picture("grey").with_properties(heic.code_points(full_range=True))),
        SMALL.convert("L").convert("RGB"),
    ),
    "a sequence with a picture": (
        heic.sequence(*FRAMES, primary=picture("white"), brand=b"msf1", properties=CONFIGURATION),
        WHITE,
    ),
    **{
        f"turned {turn} and mirrored {axis}": (
            heic.heic(picture().with_properties(heic.turned(turn), heic.mirrored(axis))),
            SMALL.rotate(90 * turn, expand=True).transpose(MIRROR[axis]),
        )
        for turn in range(4)
        for axis in range(2)
    },
    **{
        f"mirrored {axis} and turned {turn}": (
            heic.heic(picture().with_properties(heic.mirrored(axis), heic.turned(turn))),
            SMALL.transpose(MIRROR[axis]).rotate(90 * turn, expand=True),
        )
        for turn in (1, 3)
        for axis in range(2)
    },
}  # fmt: skip


def far(image: Image.Image, expected: Image.Image) -> float:
    """The mean difference per sample, of what can be seen, from 0 to 255."""
    white = Image.new("RGBA", expected.size, "white")
    one, other = (
        Image.alpha_composite(white, each.convert("RGBA")).convert("RGB") for each in (image, expected)
    )
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


async def check(decoder: Pool, data: bytes, expected: Image.Image, path: Path) -> None:
    """What the server says of a file, and what it makes of it, are that picture."""
    into = path.with_suffix(".png")
    path.write_bytes(data)  # noqa: ASYNC240 (small)
    header = probe(data)
    assert (header.format, header.width, header.height) == ("HEIF", *expected.size)
    rendered = await decoder.render(path, into, format="HEIF", recipe=RECIPE)
    facts = await decoder.describe(path, format="HEIF")
    preview = Image.open(io.BytesIO(await decoder.preview(path, format="HEIF")))
    if expected.width > 256:
        expected = expected.resize((256, round(expected.height * 256 / expected.width)))
    assert (rendered.width, rendered.height) == preview.size == expected.size
    with Image.open(into) as image:
        assert image.size == expected.size
        assert far(image, expected) < 4
        assert image.has_transparency_data == expected.has_transparency_data == facts.has_alpha
    assert far(preview, expected) < 10  # it is a JPEG


async def faults(pictures: dict[str, tuple[bytes, Image.Image]], folder: Path) -> dict[str, object]:
    """The files that do not show the picture beside them. All are given to the same workers."""
    found: dict[str, object] = {}
    async with pool(workers=2) as decoder:
        for number, (name, (data, expected)) in enumerate(pictures.items()):
            try:
                await check(decoder, data, expected, folder / str(number))
            except (AssertionError, NoPreview) as error:
                found[name] = error
    return found


async def test_the_files_of_an_encoder_show_their_pictures(tmp_path: Path) -> None:
    assert PICTURES.keys() == {*heic.NAMES} - {"display-p3"}
    pictures = {name: (heic.encoded(name), picture) for name, picture in PICTURES.items()}
    assert not await faults(pictures, tmp_path)


async def test_files_of_any_structure_show_their_pictures(tmp_path: Path) -> None:
    assert not await faults(MADE, tmp_path)


@pytest.mark.parametrize(
    ("name", "space", "bits"),
    [
        ("plain", "RGB", 8),
        ("grey", "GREY", 8),
        ("10-bit", "RGB", 10),
        ("12-bit", "RGB", 12),
        ("grey-10-bit", "GREY", 10),
        ("alpha", "RGB", 8),
    ],
)
async def test_facts(name: str, space: str, bits: int, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(heic.encoded(name))
    async with pool() as decoder:
        facts = await decoder.describe(path, format="HEIF")
    assert (facts.problem, facts.color_space, facts.bits_per_sample) == ("", space, bits)


async def test_primaries_that_are_said_by_code_points_are_converted(tmp_path: Path) -> None:
    path, into = tmp_path / "image", tmp_path / "rendition"
    path.write_bytes(heic.encoded("display-p3"))
    async with pool() as decoder:
        await decoder.render(path, into, format="HEIF", recipe=RECIPE)
    with Image.open(into) as image:
        # (200, 40, 40) in Display P3, as littleCMS converts it with another profile of the same primaries.
        red, green, blue = image.convert("RGB").getpixel((20, 15))  # type: ignore[misc]
    assert (red, green) == (218, 0)
    assert abs(blue - 27) <= 2


def without_decoder(kind: bytes, configuration: bytes, brand: bytes = b"heic") -> bytes:
    """An image whose item is of another codec."""
    item = picture()
    return heic.heic(
        Item(data=item.data, kind=kind, properties=(configuration, item.properties[1])), brand=brand
    )


AVC = box(b"avcC", b"\1\x64\0\x1f\xff\xe0\0")
JPEG_2000 = box(b"j2kH", b"")


def spoilt_configuration() -> bytes:
    item = picture()
    return heic.heic(Item(data=item.data, properties=(spoilt(item.properties[0]), item.properties[1])))


def smaller_than_it_is() -> bytes:
    item = picture("large")
    return heic.heic(Item(data=item.data, properties=(item.properties[0], heic.size(40, 30))))


def larger_than_it_is() -> bytes:
    item = picture()
    return heic.heic(Item(data=item.data, properties=(item.properties[0], heic.size(4000, 3000))))


def small_part() -> bytes:
    """An image that libheif 1.23 takes for one that contradicts itself."""
    return heic.heic(picture("large").with_properties(heic.cut(100, 100)))


def empty() -> bytes:
    return heic.heic(Item(data=b"", properties=picture().properties))


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        pytest.param(partial(without_decoder, b"avc1", AVC), "UNSUPPORTED", id="AVC"),
        pytest.param(partial(without_decoder, b"j2k1", JPEG_2000), "UNSUPPORTED", id="JPEG 2000"),
        pytest.param(partial(heic.sequence, *FRAMES, properties=CONFIGURATION), "UNSUPPORTED", id="track"),
        pytest.param(
            partial(without_decoder, b"avc1", AVC, brand=b"avci"), "UNSUPPORTED", id="AVC by its brand"
        ),
        pytest.param(partial(heic.heic, HIDDEN_WHITE, picture()), "UNSUPPORTED", id="hidden"),
        pytest.param(small_part, "UNSUPPORTED", id="a small part of a large image"),
        pytest.param(spoilt_configuration, "CORRUPT", id="configuration"),
        pytest.param(empty, "CORRUPT", id="no bitstream"),
        pytest.param(smaller_than_it_is, "CORRUPT", id="smaller than its pixels"),
        pytest.param(larger_than_it_is, "CORRUPT", id="larger than its pixels"),
    ],
)
async def test_a_true_cause(make: Callable[[], bytes], cause: str, tmp_path: Path, good: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(make())
    async with pool() as decoder:
        assert await cause_of(decoder, path, "HEIF") == cause
        with pytest.raises(NoPreview, match=cause):
            await decoder.describe(path, format="HEIF")
        assert await decoder.preview(good, format="JPEG")


async def test_pixels_are_counted_before_they_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "image"
    async with pool(decode_pixels=4096 * 3072 - 1) as decoder:
        for data in (
            heic.encoded("large"),
            heic.encoded("large-grid"),
            tiles(1, 1, 65_535, 65_535),
            heic.heic(Item(data=b"", properties=(picture().properties[0], heic.size(2**31 - 1, 2**31 - 1)))),
        ):
            path.write_bytes(data)
            assert await cause_of(decoder, path, "HEIF") == "PIXELS"
        path.write_bytes(heic.encoded("plain"))
        assert await decoder.preview(path, format="HEIF")


@pytest.mark.parametrize("name", ["large", "large-grid"])
async def test_memory(name: str, tmp_path: Path, good: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(heic.encoded(name))
    async with pool(decode_memory=16 << 20) as decoder:
        assert await cause_of(decoder, path, "HEIF") == "MEMORY"
        assert await decoder.preview(good, format="JPEG")
    async with pool() as decoder:
        assert await decoder.preview(path, format="HEIF")


def test_boxes_of_boxes_are_no_way_round_the_limits(tmp_path: Path) -> None:
    """Properties within properties, to a depth at which a parser that descends would run out of stack."""
    nest = b""
    for _ in range(20_000):
        nest = struct.pack(">I4s", 8 + len(nest), b"ipco") + nest
    data = heic.heic(picture().with_properties(nest))
    assert probe(data).width == 96
