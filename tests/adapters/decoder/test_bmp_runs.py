"""Bitmaps in runs (BI_RLE8 and BI_RLE4), with every code that there is."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from tests.adapters.decoder.test_small_faults import cause, shown
from tests.adapters.decoder.workers import Pool, pool

WIDTH, HEIGHT = 21, 4
PALETTE = [(index * 37 % 256, index * 91 % 256, 255 - index % 256) for index in range(3, 259)]
LINE, END = b"\0\0", b"\0\1"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


def bmp(data: bytes, *, bits: int = 8, gap: int = 0) -> bytes:
    """A BMP of these runs, from the lowest line up, so many bytes after its palette."""
    colours = 1 << bits
    palette = b"".join(bytes((blue, green, red, 0)) for red, green, blue in PALETTE[:colours])
    compression = 1 if bits == 8 else 2
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, bits, compression, len(data), 0, 0, colours, 0)
    start = 14 + len(info) + len(palette) + gap
    head = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start)
    return head + info + palette + bytes(gap) + data


def picture(*lines: list[int]) -> Image.Image:
    """The picture of these lines, from the lowest up. The rest of it has the first colour."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PALETTE[0])
    for y, line in enumerate(lines):
        for x, index in enumerate(line):
            image.putpixel((x, HEIGHT - 1 - y), PALETTE[index])
    return image


GRADIENT = list(range(WIDTH))
ABSOLUTE = bytes((0, WIDTH, *GRADIENT, 0)) + LINE
FOURS = [index % 16 for index in range(WIDTH)]
ABSOLUTE_FOURS = bytes((0, WIDTH)) + bytes(
    FOURS[x] << 4 | (FOURS[x + 1] if x + 1 < WIDTH else 0) for x in range(0, WIDTH, 2)
) + b"\0" + LINE  # fmt: skip

MADE = {
    "runs": (bmp((bytes((WIDTH, 7)) + LINE) * HEIGHT + END), picture(*[[7] * WIDTH] * HEIGHT)),
    "runs of two": (
        bmp((bytes((WIDTH, 0x12)) + LINE) * HEIGHT + END, bits=4),
        picture(*[([1, 2] * WIDTH)[:WIDTH]] * HEIGHT),
    ),
    "bytes as they are": (bmp(ABSOLUTE * HEIGHT + END), picture(*[GRADIENT] * HEIGHT)),
    "bytes as they are, at an odd place": (
        bmp(ABSOLUTE * HEIGHT + END, gap=1),
        picture(*[GRADIENT] * HEIGHT),
    ),
    "fours as they are": (bmp(ABSOLUTE_FOURS * HEIGHT + END, bits=4), picture(*[FOURS] * HEIGHT)),
    "fours as they are, at an odd place": (
        bmp(ABSOLUTE_FOURS * HEIGHT + END, bits=4, gap=3),
        picture(*[FOURS] * HEIGHT),
    ),
    "runs past the end of a line": (
        bmp((bytes((WIDTH + 9, 7)) + LINE) * HEIGHT + END),
        picture(*[[7] * WIDTH] * HEIGHT),
    ),
    "more lines than there are": (
        bmp((bytes((WIDTH, 7)) + LINE) * (HEIGHT + 3) + END),
        picture(*[[7] * WIDTH] * HEIGHT),
    ),
    "without an end": (bmp(ABSOLUTE * HEIGHT), picture(*[GRADIENT] * HEIGHT)),
    "lines without a run": (
        bmp(LINE + ABSOLUTE + LINE + END),
        picture([], GRADIENT),
    ),
    "short lines": (bmp((b"\2\5" + LINE) * HEIGHT + END), picture(*[[5, 5]] * HEIGHT)),
    "pixels that are skipped": (
        bmp(b"\2\5\0\2\3\1\2\6" + END),
        picture([5, 5], [0] * 5 + [6, 6]),
    ),
    "an early end": (bmp(ABSOLUTE + END), picture(GRADIENT)),
    "nothing": (bmp(END), picture()),
}


@pytest.mark.parametrize("name", MADE)
async def test_runs(decoder: Pool, tmp_path: Path, name: str) -> None:
    data, expected = MADE[name]
    made = await shown(decoder, tmp_path, "BMP", data)
    assert (made.mode, made.tobytes()) == ("RGB", expected.tobytes())


@pytest.mark.parametrize("data", [b"\5\7", ABSOLUTE, bytes((0, WIDTH)), b"\0\2", b"\0\2\1", b"\0"])
async def test_runs_that_are_cut_are_corrupt(decoder: Pool, tmp_path: Path, data: bytes) -> None:
    assert await cause(decoder, tmp_path, "BMP", bmp(data)) == "CORRUPT"
