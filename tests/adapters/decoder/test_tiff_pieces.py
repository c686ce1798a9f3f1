"""Strips and tiles: whole ones are shown, though libtiff warns of some, or wants to know their size. Where
pixels are missing the image is CORRUPT, though libtiff only warns of that in JPEG and in a fax.
"""

import io
import random
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from tests.adapters.decoder.similarity import distance
from tests.adapters.decoder.test_tiff_fields import shown
from tests.adapters.decoder.workers import Pool, encoded, pool, quarters
from tests.support.tiffs import LONG, Entry, short, tiff

SIZE = (96, 64)
NOISE = Image.frombytes("L", SIZE, random.Random(1).randbytes(SIZE[0] * SIZE[1])).convert("RGB")
PICTURE = Image.blend(quarters(*SIZE), NOISE, 0.2)
ROWS = 48
"""Rows of a strip, and of the last one fewer."""

COMPRESSION, PHOTOMETRIC, ROWS_PER_STRIP, OFFSETS, COUNTS, TABLES, SUBSAMPLING = (
    259, 262, 278, 273, 279, 347, 530,
)  # fmt: skip
JPEG, YCBCR, UNDEFINED = 7, 6, 7
END = b"\xff\xd9"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


def strips(*, high: int = 0, **how: object) -> list[bytes]:
    """The picture in two JPEG files. The last one is so high, if that is said."""
    found = []
    for top in range(0, SIZE[1], ROWS):
        wanted = min(ROWS, SIZE[1] - top)
        strip = Image.new("RGB", (SIZE[0], max(wanted, high)))
        strip.paste(PICTURE.crop((0, top, SIZE[0], top + wanted)), (0, 0))
        found.append(encoded(strip, "JPEG", **{"quality": 95, "subsampling": 0, **how}))
    return found


def of_strips(strips: list[bytes], *entries: Entry, size: tuple[int, int] = SIZE) -> bytes:
    padded = [strip + bytes(len(strip) % 2) for strip in strips]
    places = [8 + sum(map(len, padded[:at])) for at in range(len(strips))]
    number = len(strips)
    needed = [
        short("<", COMPRESSION, JPEG),
        short("<", PHOTOMETRIC, YCBCR),
        short("<", ROWS_PER_STRIP, ROWS),
        (OFFSETS, LONG, number, struct.pack(f"<{number}I", *places)),
        (COUNTS, LONG, number, struct.pack(f"<{number}I", *map(len, strips))),
    ]
    given = {entry[0] for entry in entries}
    return tiff(size, [b"".join(padded)], *(one for one in needed if one[0] not in given), *entries)


def of_tiles(tiles: list[bytes], side: int, *more: Entry, size: tuple[int, int] = SIZE) -> bytes:
    """The same in tiles."""
    data = of_strips(tiles, short("<", 322, side), short("<", 323, side), *more, size=size)
    at = struct.unpack_from("<I", data, 4)[0]
    (count,) = struct.unpack_from("<H", data, at)
    found = [data[start : start + 12] for start in range(at + 2, at + 2 + 12 * count, 12)]
    renamed = {OFFSETS: 324, COUNTS: 325}
    entries = []
    for entry in found:
        (tag,) = struct.unpack_from("<H", entry)
        if tag != ROWS_PER_STRIP:
            entries.append(struct.pack("<H", renamed.get(tag, tag)) + entry[2:])
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    data += bytes(len(data) % 2)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def tiles(side: int) -> list[bytes]:
    return [
        encoded(PICTURE.crop((x, y, x + side, y + side)), "JPEG", quality=95, subsampling=0)
        for y in range(0, SIZE[1], side)
        for x in range(0, SIZE[0], side)
    ]


def with_tables(data: list[bytes]) -> tuple[Entry, list[bytes]]:
    """The tables of the first JPEG, for all of them, and the JPEGs without."""
    tables, rest = b"", []
    for number, one in enumerate(data):
        at, kept = 2, b"\xff\xd8"
        while one[at + 1] != 0xDA:
            end = at + 2 + int.from_bytes(one[at + 2 : at + 4])
            if one[at + 1] not in (0xDB, 0xC4):
                kept += one[at:end]
            elif number == 0:
                tables += one[at:end]
            at = end
        rest.append(kept + one[at:])
    whole = b"\xff\xd8" + tables + END
    return (TABLES, UNDEFINED, len(whole), whole), rest


def cut(data: list[bytes], *, end: bytes = b"") -> list[bytes]:
    return [data[0][: len(data[0]) * 2 // 3] + end, *data[1:]]


TABLE, BARE = with_tables(strips())
ALIKE, HALF = short("<", SUBSAMPLING, 1, 1), short("<", SUBSAMPLING, 2, 2)

WHOLE = {
    "as it should be": of_strips(strips(), ALIKE),
    "with fewer chroma samples": of_strips(strips(subsampling=2), HALF),
    "no word of the chroma samples": of_strips(strips()),
    "no word of fewer chroma samples": of_strips(strips(subsampling=1)),
    "progressive": of_strips(strips(progressive=True), ALIKE),
    "a last strip as high as the others": of_strips(strips(high=ROWS), ALIKE),
    "no end": of_strips([strip.removesuffix(END) for strip in strips()], ALIKE),
    "bytes after the end": of_strips([strip + b"more" for strip in strips()], ALIKE),
    "tables apart": of_strips(BARE, TABLE, ALIKE),
    "tables apart, no word of the chroma samples": of_strips(BARE, TABLE),
    "tiles, no word of the chroma samples": of_tiles(tiles(32), 32),
    "tiles, a wrong word of the chroma samples": of_tiles(tiles(32), 32, HALF),
}

CUT = {
    "a strip": of_strips(cut(strips()), ALIKE),
    "a strip with an end": of_strips(cut(strips(), end=END), ALIKE),
    "a strip, and no word of the chroma samples": of_strips(cut(strips(), end=END)),
    "a progressive strip": of_strips(cut(strips(progressive=True)), ALIKE),
    "a strip with tables apart": of_strips(cut(BARE), TABLE),
    "a tile": of_tiles(cut(tiles(32)), 32),
}


@pytest.mark.parametrize("name", WHOLE)
async def test_jpeg_with_all_pixels(decoder: Pool, tmp_path: Path, name: str) -> None:
    made = await shown(decoder, tmp_path / "image", WHOLE[name])
    assert isinstance(made, Image.Image), made
    assert distance(made, PICTURE) < 8


@pytest.mark.parametrize("name", CUT)
async def test_jpeg_that_is_cut(decoder: Pool, tmp_path: Path, name: str) -> None:
    assert await shown(decoder, tmp_path / "image", CUT[name]) == "CORRUPT"


def fax_in_tiles(page: Image.Image, side: int, *, halved: bool = False) -> bytes:
    """A page in tiles, as Group 4 has them; of the first one, half is there if it is `halved`."""
    found = []
    for y in range(0, page.height, side):
        for x in range(0, page.width, side):
            data = encoded(page.crop((x, y, x + side, y + side)), "TIFF", compression="group4")
            with Image.open(io.BytesIO(data)) as image:
                start, length = image.tag_v2[OFFSETS][0], image.tag_v2[COUNTS][0]  # type: ignore[attr-defined]
            found.append(data[start : start + length])
    if halved:
        found[0] = found[0][: len(found[0]) // 2]
    one, group4 = short("<", PHOTOMETRIC, 1), short("<", COMPRESSION, 4)
    samples = (short("<", 258, 1), short("<", 277, 1))
    return of_tiles(found, side, one, group4, *samples, size=page.size)


async def test_a_fax_in_tiles(decoder: Pool, tmp_path: Path) -> None:
    source = random.Random(2)
    page = Image.frombytes("L", (96, 64), bytes(source.choice((0, 255)) for _ in range(96 * 64))).convert("1")
    made = await shown(decoder, tmp_path / "image", fax_in_tiles(page, 32))
    assert isinstance(made, Image.Image), made
    assert distance(made, page.convert("RGB")) == 0
    assert await shown(decoder, tmp_path / "image", fax_in_tiles(page, 32, halved=True)) == "CORRUPT"


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
async def test_a_fax(decoder: Pool, tmp_path: Path, compression: str) -> None:
    page = Image.effect_noise((160, 144), 90).convert("1")
    data = encoded(page, "TIFF", compression=compression)
    made = await shown(decoder, tmp_path / "image", data)
    assert isinstance(made, Image.Image)
    assert distance(made, page.convert("RGB")) == 0
    with Image.open(io.BytesIO(data)) as image:
        start, length = image.tag_v2[OFFSETS][0], image.tag_v2[COUNTS][0]  # type: ignore[attr-defined]
    end = start + length
    halfway = start + length // 2
    assert await shown(decoder, tmp_path / "image", data[:halfway] + bytes(end - halfway) + data[end:]) == (
        "CORRUPT"
    )


def plain(order: str, rows: int, *, said: list[int] | None, planes: int = 1) -> bytes:
    """The picture in strips of so many rows that are not compressed, of which those sizes are `said`."""
    bands = PICTURE.split() if planes == 3 else [PICTURE]
    strips = [
        band.crop((0, top, SIZE[0], min(top + rows, SIZE[1]))).tobytes()
        for band in bands
        for top in range(0, SIZE[1], rows)
    ]
    places = [8 + sum(map(len, strips[:at])) for at in range(len(strips))]
    number = len(strips)
    # Where nothing is said, it is of a tag that nobody knows.
    sizes = (COUNTS, LONG, number, struct.pack(f"{order}{number}I", *(said or [0] * number)[:number]))
    data = tiff(
        SIZE,
        [b"".join(strips)],
        short(order, ROWS_PER_STRIP, rows),
        short(order, 284, 1 if planes == 1 else 2),
        short(order, 274, 3),
        (OFFSETS, LONG, number, struct.pack(f"{order}{number}I", *places)),
        sizes,
        order=order,
    )
    if said is None:
        there, other = struct.pack(order + "HH", COUNTS, LONG), struct.pack(order + "HH", 280, LONG)
        assert data.count(there) == 1
        data = data.replace(there, other)
    return data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("rows", [1, 20, 48, 64])
async def test_strips_whose_size_is_not_said(
    decoder: Pool, tmp_path: Path, rows: int, planes: int, order: str
) -> None:
    strips = -(-SIZE[1] // rows) * planes
    for said in (None, [0] * strips, [0, *[SIZE[0] * rows * 3 // planes] * (strips - 2), 0]):
        data = plain(order, rows, said=said, planes=planes)
        made = await shown(decoder, tmp_path / "image", data)
        assert isinstance(made, Image.Image), (made, said)
        assert distance(made, PICTURE.transpose(Image.Transpose.ROTATE_180)) == 0
