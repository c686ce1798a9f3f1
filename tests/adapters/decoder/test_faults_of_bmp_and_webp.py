"""BMP and WebP with small faults are shown where other readers show them whole, and are refused elsewhere."""

import io
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import pyvips
from PIL import Image

from conexiones.domain.formats import probe
from conexiones.errors import CorruptImage, ImageError, NoPreview, TruncatedImage
from tests.adapters.decoder.similarity import distance
from tests.adapters.decoder.test_small_faults import cause, shown
from tests.adapters.decoder.workers import Pool, encoded, pool, quarters

SIZE = (61, 43)  # so that rows are filled up, and chunks may be odd
PICTURE = quarters(*SIZE)
COLOURS = PICTURE.quantize(16)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


def put(data: bytes, layout: str, at: int, *values: int) -> bytes:
    """A file in which these numbers stand at that place."""
    return data[:at] + struct.pack("<" + layout, *values) + data[at + struct.calcsize("<" + layout) :]


FILE_SIZE, OFFSET, PLANES, IMAGE_SIZE, USED = 2, 10, 26, 34, 46
BMP = encoded(PICTURE, "BMP")
PALETTE = encoded(COLOURS, "BMP")
FILLING = -SIZE[0] * 3 % 4


def runs(end: bytes = b"\0\1", *, size: int | None = None, palette: bytes | None = None) -> bytes:
    """The picture as runs of one pixel each, with the palette's size unknown where the whole is given."""
    rows = [COLOURS.crop((0, y, SIZE[0], y + 1)).tobytes() for y in reversed(range(SIZE[1]))]
    data = b"\0\0".join(b"".join(bytes((1, pixel)) for pixel in row) for row in rows) + end
    start = struct.unpack_from("<I", PALETTE, OFFSET)[0]
    head = put(put(PALETTE[:start], "I", 30, 1), "I", IMAGE_SIZE, len(data) if size is None else size)
    return head + data


def transparent() -> bytes:
    """The picture with a byte for transparency, which its header names, and which is 0 everywhere."""
    pixels = PICTURE.convert("RGBA")
    pixels.putalpha(0)
    data = pixels.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = struct.pack("<IiiHHIIiiII", 108, *SIZE, 1, 32, 3, len(data), 0, 0, 0, 0) + masks + bytes(52)
    return b"BM" + struct.pack("<IHHI", 14 + 108 + len(data), 0, 0, 14 + 108) + info + data


BITMAPS = {
    "no planes": put(BMP, "H", PLANES, 0),
    "three planes": put(BMP, "H", PLANES, 3),
    "no size of the file": put(BMP, "I", FILE_SIZE, 0),
    "a large size of the file": put(BMP, "I", FILE_SIZE, 1 << 30),
    "a wrong size of the image": put(BMP, "I", IMAGE_SIZE, 1),
    "no offset": put(BMP, "I", OFFSET, 0),
    "no offset, with a palette": put(PALETTE, "I", OFFSET, 0),
    "no filling of the last row": BMP[:-FILLING],
    "a gap before the pixels": put(BMP[:54] + b"gap!" + BMP[54:], "I", OFFSET, 58),
    "bytes after the pixels": BMP + b"more",
    "far more colours than there can be": put(PALETTE, "I", USED, 0xFFFFFFFF),
    "more colours than there can be": put(PALETTE, "I", USED, 1000),
    "transparency that is 0 everywhere": transparent(),
    "runs": runs(),
    "runs of unknown size": runs(size=0),
    "runs of unknown size without an end": runs(b"", size=0),
    "runs of a size that is too large": runs(size=1 << 20),
    "runs of a size that is too large, filled up": runs(b"\0\1\0\0", size=1 << 20),
    "runs of a size that is too small": runs(size=10),
}


@pytest.mark.parametrize("name", BITMAPS)
async def test_bitmaps_with_all_pixels_are_shown(decoder: Pool, tmp_path: Path, name: str) -> None:
    data = BITMAPS[name]
    expected = COLOURS.convert("RGB") if "runs" in name or "colours" in name or "palette" in name else PICTURE
    assert distance(await shown(decoder, tmp_path, "BMP", data), expected) < 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (BMP[: -FILLING - 1], TruncatedImage),
        (runs()[:-200], TruncatedImage),
        (put(BMP, "I", OFFSET, 14), CorruptImage),
        (put(BMP, "I", OFFSET, 53), CorruptImage),
        (put(BMP, "I", OFFSET, 1 << 30), TruncatedImage),
        (put(BMP, "I", 30, 99), CorruptImage),
        (put(BMP, "H", 28, 5), CorruptImage),
    ],
)
async def test_bitmaps_without_all_pixels_are_refused(data: bytes, error: type[ImageError]) -> None:
    with pytest.raises(error):
        probe(data)


async def test_runs_of_unknown_size_that_lack_pixels_are_corrupt(decoder: Pool, tmp_path: Path) -> None:
    assert await cause(decoder, tmp_path, "BMP", runs(size=0)[:-400]) == "CORRUPT"


def riff(*chunks: tuple[bytes, bytes], size: int | None = None, tail: bytes = b"") -> bytes:
    body = b"WEBP"
    for kind, data in chunks:
        body += kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    body += tail
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


EXTRA = (b"ABCD", b"hello")


def variants() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    still: dict[str, dict[str, Any]] = {
        "lossy": {"quality": 80},
        "lossless": {"lossless": True},
        "with EXIF": {"exif": b"Exif\0\0II*\0"},
    }
    for kind, how in {**still, "with XMP": {"xmp": b"<x/>1"}}.items():
        file = io.BytesIO()
        PICTURE.save(file, "WEBP", **how)
        data = file.getvalue()
        first, *rest = chunks(data)
        size = len(data) - 8
        for by in (-9, -1, 1, 8, 100):
            found[f"{kind}, a size wrong by {by}"] = riff(first, *rest, size=size + by)
        found |= {
            f"{kind}, bytes after it": data + b"more bytes",
            f"{kind}, no size": riff(first, *rest, size=0),
            f"{kind}, cut": data[:-1],
            f"{kind}, a chunk last": riff(first, *rest, EXTRA),
            f"{kind}, a chunk last that is cut": riff(first, *rest, EXTRA)[:-4],
            f"{kind}, a chunk first": riff(EXTRA, first, *rest),
            f"{kind}, a chunk second": riff(first, EXTRA, *rest),
            f"{kind}, one byte inside": riff(first, *rest, tail=b"\0"),
            f"{kind}, garbage inside": riff(first, *rest, tail=b"garbage of a kind"),
            f"{kind}, eight zeros inside": riff(first, *rest, tail=bytes(8)),
            f"{kind}, a chunk with more": riff((first[0], first[1] + b"\0"), *rest),
        }
    return found


VARIANTS = variants()


@pytest.mark.parametrize("name", VARIANTS)
async def test_of_webp_is_shown_what_others_show(decoder: Pool, tmp_path: Path, name: str) -> None:
    """Chromium showed the same of such files as libvips."""
    data = VARIANTS[name]
    others = []
    for read in (lambda: Image.open(io.BytesIO(data)).convert("RGB"), lambda: by_libvips(data)):
        try:
            others.append(read())
        except (OSError, pyvips.Error):
            continue
    try:
        image = await shown(decoder, tmp_path, "WEBP", data)
    except (ImageError, NoPreview):
        assert not others
    else:
        assert others
        assert all(distance(image, other) < 2 for other in others)


def by_libvips(data: bytes) -> Image.Image:
    image = pyvips.Image.webpload_buffer(data)
    return Image.frombytes("RGB", (image.width, image.height), image.extract_band(0, n=3).write_to_memory())


async def test_transparency_that_the_front_of_a_webp_denies(decoder: Pool, tmp_path: Path) -> None:
    image = PICTURE.convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 30, 20))
    (pixels,) = chunks(encoded(image, "WEBP", lossless=True))
    size = b"".join((side - 1).to_bytes(3, "little") for side in SIZE)
    for before in ([], [(b"ICCP", b"no profile"), EXTRA]):
        data = riff((b"VP8X", bytes(4) + size), *before, pixels)
        path, into = tmp_path / "image", tmp_path / "made"
        path.write_bytes(data)
        made = await shown(decoder, tmp_path, "WEBP", data)
        assert made.mode == "RGBA"
        assert made.getchannel("A").tobytes() == image.getchannel("A").tobytes()
        assert (await decoder.describe(path, format="WEBP")).has_alpha
        into.unlink()
    opaque = riff((b"VP8X", bytes(4) + size), *chunks(encoded(PICTURE, "WEBP", lossless=True)))
    assert (await shown(decoder, tmp_path, "WEBP", opaque)).mode == "RGB"
