"""The canvas of a GIF is its screen, enlarged to hold the first image. The rest of it is transparent."""

import io
import struct
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from conexiones.domain.formats import probe
from conexiones.ports.records import Recipe
from tests.adapters.decoder.similarity import opened
from tests.adapters.decoder.workers import Pool, pool
from tests.support.gifs import DEPTH, blocks, codes, packed

Place = tuple[int, int, int, int]
"""Left, top, width and height."""

RED, GREEN, SEEN_THROUGH = 1, 2, 3
COLOURS = {RED: (255, 0, 0), GREEN: (0, 255, 0)}
PALETTE = b"".join(bytes(COLOURS.get(index, (9, 9, 9))) for index in range(16))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


def gif(
    screen: tuple[int, int],
    images: Iterable[tuple[Place, int]],
    *,
    transparency: bool = False,
    disposal: int = 1,
) -> bytes:
    """A GIF of images of one colour each, which last 100 ms, 200 ms and so on."""
    data = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80 | DEPTH - 1, 0, 0) + PALETTE
    for number, (place, colour) in enumerate(images, 1):
        flags = disposal << 2 | transparency
        control = struct.pack("<BHB", flags, 10 * number, SEEN_THROUGH * transparency)
        pixels = bytes((colour,)) * (place[2] * place[3])
        data += b"!\xf9\4" + control + b"\0," + struct.pack("<HHHHB", *place, 0)
        data += bytes((DEPTH,)) + blocks(packed(codes(pixels)))
    return data + b";"


async def rendered(decoder: Pool, folder: Path, data: bytes, *, animated: bool = False) -> Image.Image:
    path, into = folder / "image", folder / "made"
    path.write_bytes(data)
    header = probe(data)
    recipe = Recipe(
        width=0,
        height=0,
        fit="INSIDE",
        format="WEBP" if animated else "PNG",
        quality=100 * animated,
        animated=animated,
        keep_profile=False,
    )
    made = await decoder.render(path, into, format="GIF", recipe=recipe)
    assert (made.width, made.height) == (header.width, header.height)
    assert made.frames == (header.frames if animated else 1)
    return opened(into.read_bytes())


def by_pillow(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


SCREENS = [
    (40, 30),
    (640, 480),
    (640, 512),
    (800, 600),
    (1024, 768),
    (1600, 1200),
    (3000, 20),
    (0, 0),
    (0, 30),
]


@pytest.mark.parametrize("transparency", [False, True])
@pytest.mark.parametrize("screen", SCREENS)
async def test_a_first_image_that_does_not_cover_the_canvas(
    decoder: Pool, tmp_path: Path, screen: tuple[int, int], transparency: bool
) -> None:
    """The decoder of libvips takes some screens for meaningless, and would make the canvas smaller."""
    data = gif(screen, [((5, 5, 20, 10), RED)], transparency=transparency)
    header = probe(data)
    assert (header.width, header.height) == (max(screen[0], 25), max(screen[1], 15)) == by_pillow(data)
    made = (await rendered(decoder, tmp_path, data)).convert("RGBA")
    assert made.getpixel((5, 5)) == made.getpixel((24, 14)) == (255, 0, 0, 255)
    outside = made.getchannel("A")
    outside.paste(0, (5, 5, 25, 15))
    assert outside.getbbox() is None
    facts = await decoder.describe(tmp_path / "image", format="GIF")
    assert (facts.problem, facts.has_alpha) == ("", True)


async def test_a_first_image_that_covers_the_canvas_stays_without_transparency(
    decoder: Pool, tmp_path: Path
) -> None:
    for screen in ((40, 30), (640, 480), (3000, 20)):
        data = gif(screen, [((0, 0, *screen), RED)])
        assert (await rendered(decoder, tmp_path, data)).mode == "RGB"
        assert not (await decoder.describe(tmp_path / "image", format="GIF")).has_alpha


@pytest.mark.parametrize("screen", [(40, 30), (640, 480), (3000, 20)])
async def test_an_animation_on_more_than_its_first_image(
    decoder: Pool, tmp_path: Path, screen: tuple[int, int]
) -> None:
    right = screen[0] - 12
    images = [((2, 2, 12, 12), RED), ((right, 4, 12, 12), GREEN), ((0, 0, 8, 8), GREEN)]
    made = await rendered(decoder, tmp_path, gif(screen, images), animated=True)
    lasted = []
    for number in range(3):
        made.seek(number)
        frame = made.convert("RGBA")
        lasted.append(made.info["duration"])
        assert frame.getpixel((10, 10)) == pytest.approx((255, 0, 0, 255), abs=3)
        there = frame.getpixel((right + 6, 9))
        assert isinstance(there, tuple)
        assert there[3] == (255 if number else 0)
    assert lasted == [100, 200, 300]


def deep(colours: int) -> bytes:
    """A GIF of 8 bits: an image of so many colours, of which its place is cleared, and a smaller one."""
    palette = b"".join(bytes((index, 255 - index, 9)) for index in range(256))
    data = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80 | 7, 0, 0) + palette
    for width, height in ((16, 16), (4, 4)):
        pixels = Image.frombytes("P", (width, height), bytes(at % colours for at in range(width * height)))
        pixels.putpalette(palette)
        file = io.BytesIO()
        pixels.save(file, "GIF", optimize=False)
        coded = file.getvalue().partition(b"," + struct.pack("<HHHH", 0, 0, width, height))[2]
        table = 3 << (coded[0] & 7) + 1 if coded[0] & 0x80 else 0
        data += b"!\xf9\4" + struct.pack("<BHB", 2 << 2, 10, 0) + b"\0,"
        data += struct.pack("<HHHHB", 0, 0, width, height, 0) + coded[1 + table :].removesuffix(b";")
    return data + b";"


async def test_a_place_that_is_cleared_is_transparent(decoder: Pool, tmp_path: Path) -> None:
    """As in browsers, also after an image without transparency. The background colour counts for nothing."""
    images = [((0, 0, 40, 30), RED), ((10, 10, 12, 12), GREEN), ((0, 0, 4, 4), GREEN)]
    animations = {
        gif((40, 30), images, disposal=2): [(30, 20), (20, 20)],
        gif((3000, 20), images[1:], disposal=2): [(2000, 10), (15, 15)],
        deep(255): [(8, 8)],
        deep(1): [(8, 8)],
    }
    for data, places in animations.items():
        made = await rendered(decoder, tmp_path, data, animated=True)
        made.seek(probe(data).frames - 1)
        alpha = made.convert("RGBA").getchannel("A")
        assert alpha.getpixel((1, 1)) == 255
        assert {alpha.getpixel(place) for place in places} == {0}
    # There is no colour left that stands for nothing: the decoder's own way is taken.
    await rendered(decoder, tmp_path, deep(256), animated=True)
