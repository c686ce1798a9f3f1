"""Bitmaps whose colours are fields of bits, of any size and in any order."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from tests.adapters.decoder.similarity import distance
from tests.adapters.decoder.test_small_faults import cause, shown
from tests.adapters.decoder.workers import Pool, pool, quarters

SIZE = (21, 14)
PICTURE = quarters(*SIZE).convert("RGBA")
PICTURE.putalpha(Image.linear_gradient("L").resize(SIZE))

Masks = tuple[int, ...]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


def field(value: int, mask: int) -> int:
    if not mask:
        return 0
    shift = (mask & -mask).bit_length() - 1
    return round(value * (mask >> shift) / 255) << shift


def bmp(
    masks: Masks, bits: int, *, header: int = 108, downwards: bool = False, picture: Image.Image = PICTURE
) -> bytes:
    """The picture in these fields, with the masks within the header or after it."""
    width, height = SIZE
    rows = []
    for y in range(height):
        row = b""
        for x in range(width):
            pixel = picture.getpixel((x, y))
            assert isinstance(pixel, tuple)
            row += sum(map(field, map(int, pixel), masks)).to_bytes(bits // 8, "little")
        rows.append(row + bytes(-len(row) % 4))
    data = b"".join(rows if downwards else reversed(rows))
    compression = 6 if header == 40 and len(masks) == 4 else 3
    high = -height if downwards else height
    info = struct.pack("<IiiHHIIiiII", header, width, high, 1, bits, compression, len(data), 0, 0, 0, 0)
    info += struct.pack(f"<{len(masks)}I", *masks)
    info = info.ljust(header, b"\0")
    start = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + data


OPAQUE: dict[int, list[Masks]] = {
    16: [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F), (0xF00, 0xF0, 0xF), (0x1F, 0x3E0, 0x7C00)],
    32: [
        (0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000),
        (0xFF000000, 0xFF0000, 0xFF00),
        (0xFF00, 0xFF0000, 0xFF000000),
        (0x3FF00000, 0xFFC00, 0x3FF),
        (0xFFE00000, 0x1FFC00, 0x3FF),
        (0x1F, 0x7E0, 0xF8000000),
    ],
}
TRANSPARENT: dict[int, list[Masks]] = {
    16: [(0xF00, 0xF0, 0xF, 0xF000), (0x7C00, 0x3E0, 0x1F, 0x8000)],
    32: [
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF00, 0xFF0000, 0xFF000000, 0xFF),
        (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),
    ],
}


def coarseness(masks: Masks) -> float:
    """How far a sample may be from that of the picture."""
    return max(127.5 / (mask >> (mask & -mask).bit_length() - 1) for mask in masks) + 1


@pytest.mark.parametrize("downwards", [False, True])
@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
@pytest.mark.parametrize("bits", OPAQUE)
async def test_colours(decoder: Pool, tmp_path: Path, bits: int, header: int, downwards: bool) -> None:
    for masks in OPAQUE[bits]:
        data = bmp(masks, bits, header=header, downwards=downwards)
        made = await shown(decoder, tmp_path, "BMP", data)
        assert made.mode == "RGB"
        assert distance(made, PICTURE.convert("RGB")) <= coarseness(masks), masks


@pytest.mark.parametrize("header", [40, 56, 108, 124])
@pytest.mark.parametrize("bits", TRANSPARENT)
async def test_transparency(decoder: Pool, tmp_path: Path, bits: int, header: int) -> None:
    for masks in TRANSPARENT[bits]:
        made = await shown(decoder, tmp_path, "BMP", bmp(masks, bits, header=header))
        assert made.mode == "RGBA"
        assert distance(made.getchannel("A"), PICTURE.getchannel("A")) <= coarseness(masks[3:]), masks
        seen = Image.composite(made.convert("RGB"), PICTURE.convert("RGB"), made.getchannel("A"))
        assert distance(seen, PICTURE.convert("RGB")) <= coarseness(masks[:3]), masks
        nothing = PICTURE.copy()
        nothing.putalpha(0)
        plain = await shown(decoder, tmp_path, "BMP", bmp(masks, bits, header=header, picture=nothing))
        assert plain.mode == "RGB"
        assert distance(plain, PICTURE.convert("RGB")) <= coarseness(masks[:3]), masks


async def test_masks_with_gaps(decoder: Pool, tmp_path: Path) -> None:
    assert await cause(decoder, tmp_path, "BMP", bmp((0xF0F000, 0xF00, 0xF), 32)) == "UNSUPPORTED"
