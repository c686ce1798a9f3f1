"""What other readers show is shown, if all pixels are there; and where pixels are missing it is CORRUPT."""

import io
import random
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from conexiones.domain.formats import probe
from conexiones.domain.formats.gif import MAX_STRAY
from conexiones.errors import CorruptImage, NoPreview, TruncatedImage, UnsupportedFormat
from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Recipe
from tests.adapters.decoder.similarity import distance, opened
from tests.adapters.decoder.workers import Pool, encoded, pool, quarters
from tests.support.corpus import chunk
from tests.support.gifs import codes, gif, packed

SIZE = (60, 40)
PICTURE = quarters(*SIZE)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def decoder() -> AsyncIterator[Pool]:
    async with pool(decode_seconds=60) as decoder:
        yield decoder


async def shown(
    decoder: Pool,
    folder: Path,
    format: ImageFormat,
    data: bytes,
    *,
    animated: bool = False,
    width: int = 0,
) -> Image.Image:
    path, into = folder / "image", folder / "made"
    path.write_bytes(data)
    header = probe(data)
    recipe = Recipe(
        width=width,
        height=0,
        fit="INSIDE",
        format="WEBP" if animated else "PNG",
        quality=100 * animated,
        animated=animated,
        keep_profile=False,
    )
    rendered = await decoder.render(path, into, format=format, recipe=recipe)
    assert width or (rendered.width, rendered.height) == (header.width, header.height)
    assert rendered.frames == (header.frames if animated else 1)
    await decoder.describe(path, format=format)
    return opened(into.read_bytes())


async def cause(decoder: Pool, folder: Path, format: ImageFormat, data: bytes) -> str:
    path = folder / "image"
    path.write_bytes(data)
    with pytest.raises(NoPreview) as caught:
        await decoder.describe(path, format=format)
    return str(caught.value.facts["cause"])


# GIF


def noise(seed: int) -> bytes:
    source = random.Random(seed)
    return bytes(source.randrange(16) for _ in range(SIZE[0] * SIZE[1]))


# Four quarters, of other colours in each frame.
FRAMES = [
    bytes((x // 30 + 2 * (y // 20) + 4 * number) % 16 for y in range(40) for x in range(60))
    for number in range(4)
]
DATA = [packed(codes(frame)) for frame in FRAMES]


def by_pillow(data: bytes, frame: int) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.seek(frame)
    return image.convert("RGB")


@pytest.mark.parametrize(
    "between", [b"\0", b"\0" * 9, b"\0" * MAX_STRAY, b"\xff\x01garbage", bytes(range(0x40, 0x100)) * 5]
)
async def test_bytes_between_the_blocks_of_a_gif(decoder: Pool, tmp_path: Path, between: bytes) -> None:
    data = gif(SIZE, DATA, between=between)
    assert probe(data).frames == len(FRAMES)
    assert distance((await shown(decoder, tmp_path, "GIF", data)).convert("RGB"), by_pillow(data, 0)) == 0
    made = await shown(decoder, tmp_path, "GIF", data, animated=True)
    for number in range(len(FRAMES)):
        made.seek(number)
        assert distance(made.convert("RGB"), by_pillow(gif(SIZE, DATA), number)) < 12


async def test_too_many_bytes_between_the_blocks_of_a_gif(decoder: Pool, tmp_path: Path) -> None:
    with pytest.raises(CorruptImage):
        probe(gif(SIZE, DATA, between=bytes(MAX_STRAY + 1)))
    with pytest.raises(TruncatedImage):
        probe(gif(SIZE, DATA)[:-1] + b"\0\0\0")


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ((1, 1), b"\7"),
        ((2, 1), b"\7\7"),
        ((16, 16), bytes(256)),
        ((16, 16), bytes(range(16)) * 16),
        (SIZE, noise(9)),
    ],
)
async def test_a_gif_without_a_code_for_its_end(
    decoder: Pool, tmp_path: Path, size: tuple[int, int], pixels: bytes
) -> None:
    data = gif(size, [packed(codes(pixels, ended=False))])
    assert distance((await shown(decoder, tmp_path, "GIF", data)).convert("RGB"), by_pillow(data, 0)) == 0


async def test_a_gif_with_more_data_than_pixels(decoder: Pool, tmp_path: Path) -> None:
    data = gif(SIZE, [DATA[0] + bytes(600)])
    assert distance((await shown(decoder, tmp_path, "GIF", data)).convert("RGB"), by_pillow(data, 0)) == 0


async def test_a_gif_with_too_few_pixels(decoder: Pool, tmp_path: Path) -> None:
    for data in (DATA[0][:-20], DATA[0][: len(DATA[0]) // 2], b""):
        assert await cause(decoder, tmp_path, "GIF", gif(SIZE, [data, DATA[1]])) == "CORRUPT"
    later = gif(SIZE, [DATA[0], DATA[1][:100]])
    assert distance((await shown(decoder, tmp_path, "GIF", later)).convert("RGB"), by_pillow(later, 0)) == 0
    with pytest.raises(NoPreview, match="CORRUPT"):
        await shown(decoder, tmp_path, "GIF", later, animated=True)


# JPEG

JPEG = encoded(PICTURE, "JPEG", quality=95, subsampling=0)
PROGRESSIVE = encoded(PICTURE, "JPEG", quality=95, subsampling=0, progressive=True)
RESTARTS = encoded(PICTURE, "JPEG", quality=95, subsampling=0, restart_marker_blocks=5)
STRAY = (b"\0", b"padding", b"\xff\xff\xff", b"\xff\0\xff\0", b"\xff\xd0", b"\xff\1", bytes(range(255)) * 9)


def before(data: bytes, marker: int, stray: bytes) -> bytes:
    at = data.index(bytes((0xFF, marker)))
    return data[:at] + stray + data[at:]


@pytest.mark.parametrize("stray", STRAY, ids=lambda stray: stray[:9].hex())
@pytest.mark.parametrize("kind", [JPEG, PROGRESSIVE, RESTARTS], ids=["baseline", "progressive", "restarts"])
async def test_bytes_between_the_segments_of_a_jpeg(
    decoder: Pool, tmp_path: Path, kind: bytes, stray: bytes
) -> None:
    if stray != bytes(range(255)) * 9:
        for marker in (0xDB, 0xC4, 0xDA):
            data = before(kind, marker, stray)
            assert distance((await shown(decoder, tmp_path, "JPEG", data)).convert("RGB"), PICTURE) < 4, (
                marker
            )
    for tail in (stray, stray + b"\0" * 100):
        data = kind[:-2] + tail.replace(b"\xff\1", b"\xff\xff") + kind[-2:]
        assert distance((await shown(decoder, tmp_path, "JPEG", data)).convert("RGB"), PICTURE) < 4


async def test_a_few_bytes_before_a_restart(decoder: Pool, tmp_path: Path) -> None:
    for stray in (b"\0", b"abc", b"\0" * 15):
        data = before(RESTARTS, 0xD3, stray)
        assert distance((await shown(decoder, tmp_path, "JPEG", data)).convert("RGB"), PICTURE) < 4
    assert await cause(decoder, tmp_path, "JPEG", before(RESTARTS, 0xD3, b"a" * 400)) == "CORRUPT"


async def test_a_small_fault_hides_no_damage(decoder: Pool, tmp_path: Path) -> None:
    large = encoded(Image.effect_noise((400, 300), 80).convert("RGB"), "JPEG")
    ended = large[: len(large) // 2] + b"\xff\xd9"
    for data in (
        before(ended, 0xDB, b"padding"),
        ended.replace(b"JFIF\0\1\1", b"JFIF\0\7\1"),
        before(ended, 0xC4, b"\xff\xed\0\7short"),
    ):
        assert probe(data).width == 400
        assert await cause(decoder, tmp_path, "JPEG", data) == "CORRUPT"


async def test_a_jpeg_of_another_revision(decoder: Pool, tmp_path: Path) -> None:
    data = JPEG.replace(b"JFIF\0\1\1", b"JFIF\0\7\1")
    assert data != JPEG
    assert distance((await shown(decoder, tmp_path, "JPEG", data)).convert("RGB"), PICTURE) < 4


async def test_a_jpeg_whose_height_comes_late_is_not_supported() -> None:
    frame = JPEG.index(b"\xff\xc0")
    height = JPEG[frame + 5 : frame + 7]
    data = JPEG[: frame + 5] + b"\0\0" + JPEG[frame + 7 : -2] + b"\xff\xdc\0\4" + height + JPEG[-2:]
    with pytest.raises(UnsupportedFormat) as raised:
        probe(data)
    assert raised.value.facts == {"format": "JPEG with DNL"}


async def test_pixels_that_lack_at_the_end_of_a_jpeg(decoder: Pool, tmp_path: Path) -> None:
    """libvips looks for no warnings after the last lines."""
    frame = JPEG.index(b"\xff\xc0")
    taller = JPEG[: frame + 5] + struct.pack(">H", PICTURE.height + 8) + JPEG[frame + 7 :]
    for data in (JPEG[:-3] + JPEG[-2:], JPEG[:-12] + JPEG[-2:], taller, before(taller, 0xDB, b"padding")):
        assert await cause(decoder, tmp_path, "JPEG", data) == "CORRUPT"
        with pytest.raises(NoPreview, match="CORRUPT"):
            await shown(decoder, tmp_path, "JPEG", data)


def lossless(image: Image.Image) -> bytes:
    """A lossless JPEG of a grey image (ITU-T T.81, annex H), each sample predicted by the one before it."""
    width, height = image.size
    pixels = image.tobytes()
    digits: list[str] = []
    for at, value in enumerate(pixels):
        predicted = 128 if at == 0 else pixels[at - 1] if at % width else pixels[at - width]
        difference = value - predicted
        size = abs(difference).bit_length()
        bits = difference if difference > 0 else difference + (1 << size) - 1
        digits.append(f"{size:04b}" + (f"{bits:0{size}b}" if size else ""))
    bits_ = "".join(digits)
    bits_ += "1" * (-len(bits_) % 8)
    data = int(bits_, 2).to_bytes(len(bits_) // 8).replace(b"\xff", b"\xff\0")
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    table = struct.pack(">HB", 19 + 9, 0) + bytes((0, 0, 0, 9, *[0] * 12)) + bytes(range(9))
    scan = struct.pack(">HB", 8, 1) + b"\1\0\1\0\0"
    return b"\xff\xd8\xff\xc3" + frame + b"\xff\xc4" + table + b"\xff\xda" + scan + data + b"\xff\xd9"


async def test_a_lossless_jpeg_is_scaled_whole(decoder: Pool, tmp_path: Path) -> None:
    """libjpeg cannot scale it while it decodes, and libvips has it try."""
    grey = PICTURE.convert("L").resize((300, 200), Image.Resampling.NEAREST)
    data = lossless(grey)
    for width in (0, 120, 60, 30):
        made = (await shown(decoder, tmp_path, "JPEG", data, width=width)).convert("L")
        assert distance(made, grey.resize(made.size)) < 6


async def test_a_jpeg_of_two_components_is_not_supported(decoder: Pool, tmp_path: Path) -> None:
    grey = encoded(PICTURE.convert("L"), "JPEG")
    frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    size = grey[frame + 5 : frame + 9]
    both = b"\xff\xc0" + struct.pack(">HB", 14, 8) + size + b"\2\1\x11\0\2\x11\0"
    scans = b"".join(grey[scan : scan + 5] + bytes((number,)) + grey[scan + 6 : -2] for number in (1, 2))
    data = grey[:frame] + both + grey[frame + 13 : scan] + scans + b"\xff\xd9"
    assert await cause(decoder, tmp_path, "JPEG", data) == "UNSUPPORTED"


# PNG


async def test_a_png_that_promises_a_smaller_window(decoder: Pool, tmp_path: Path) -> None:
    source = random.Random(1)
    image = Image.frombytes("RGB", (30, 60), source.randbytes(30 * 30 * 3) * 2)
    rows = b"".join(b"\0" + image.tobytes()[at : at + 90] for at in range(0, 90 * 60, 90))
    pixels = zlib.compress(rows, 9)
    narrow = bytes((0x18, 0x19)) + pixels[2:]
    assert int.from_bytes(narrow[:2]) % 31 == 0
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 60, 8, 2, 0, 0, 0))
    for pieces in ([narrow], [narrow[:100], narrow[100:]], [narrow[:1], narrow[1:]]):
        data = (
            b"\x89PNG\r\n\x1a\n"
            + head
            + b"".join(chunk(b"IDAT", piece) for piece in pieces)
            + chunk(b"IEND", b"")
        )
        if len(pieces[0]) > 1:
            assert distance((await shown(decoder, tmp_path, "PNG", data)).convert("RGB"), image) == 0
    spoilt = bytearray(pixels)
    spoilt[len(spoilt) // 2] ^= 255
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"\x18\x19" + bytes(spoilt[2:])) + chunk(b"IEND", b"")
    assert await cause(decoder, tmp_path, "PNG", data) == "CORRUPT"


def png(*before: bytes, colour: int = 2, rows: bytes | None = None) -> bytes:
    """The picture, with those chunks before its pixels."""
    channels = 3 if colour == 2 else 1
    pixels = PICTURE.tobytes() if rows is None else rows
    stride = SIZE[0] * channels
    lines = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *SIZE, 8, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + b"".join(before)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def with_wrong_crc(whole: bytes) -> bytes:
    return whole[:-1] + bytes((whole[-1] ^ 1,))


FEW = PICTURE.quantize(4)
FEW_COLOURS = bytes(FEW.getpalette() or [])[:12]

PNGS = {
    "transparency with a wrong CRC": png(with_wrong_crc(chunk(b"tRNS", bytes((0, 200, 0, 40, 0, 40))))),
    "transparency of a palette with a wrong CRC": png(
        chunk(b"PLTE", FEW_COLOURS), with_wrong_crc(chunk(b"tRNS", bytes(4))), colour=3, rows=FEW.tobytes()
    ),
    "a name with a small third letter": png(chunk(b"noTe", b"a"), chunk(b"note", b"anything")),
    "such a name after the pixels": png()[:-12] + chunk(b"note", b"anything") + png()[-12:],
    "a palette with two bytes too many": png(
        chunk(b"PLTE", FEW_COLOURS + b"\1\2"), colour=3, rows=FEW.tobytes()
    ),
    "a wrong CRC of the end": with_wrong_crc(png()),
}


@pytest.mark.parametrize("name", PNGS)
async def test_a_png_of_which_no_pixel_is_touched(decoder: Pool, tmp_path: Path, name: str) -> None:
    made = await shown(decoder, tmp_path, "PNG", PNGS[name])
    assert made.mode == "RGB"
    assert distance(made, PICTURE) == 0


async def test_transparency_of_more_colours_than_there_are(decoder: Pool, tmp_path: Path) -> None:
    indices = FEW.tobytes()
    for more in (0, 1, 252, 300):
        alphas = bytes((0, 255, 128, 255)) + bytes(more)
        data = png(chunk(b"PLTE", FEW_COLOURS), chunk(b"tRNS", alphas), colour=3, rows=indices)
        made = await shown(decoder, tmp_path, "PNG", data)
        assert made.mode == "RGBA"
        assert made.getchannel("A").tobytes() == bytes(alphas[index] for index in indices)
        assert (await decoder.describe(tmp_path / "image", format="PNG")).has_alpha


async def test_a_narrow_window_after_an_empty_piece(decoder: Pool, tmp_path: Path) -> None:
    source = random.Random(1)
    pixels = source.randbytes(SIZE[0] * SIZE[1] * 3 // 2) * 2
    data = png(rows=pixels)
    at = data.index(b"IDAT") - 4
    body = data[at + 8 : -16]
    narrow = chunk(b"IDAT", b"") * 2 + chunk(b"IDAT", bytes((0x18, 0x19)) + body[2:])
    made = await shown(decoder, tmp_path, "PNG", data[:at] + narrow + data[-12:])
    assert made.tobytes() == pixels


async def test_a_damaged_png_stays_corrupt_whatever_else_it_has(decoder: Pool, tmp_path: Path) -> None:
    data = PNGS["a name with a small third letter"]
    at = data.index(b"IDAT")
    short = data[: at + 4] + zlib.compress(b"too few") + data[-16:]
    length = len(short) - 16 - (at + 4)
    short = short[: at - 4] + chunk(b"IDAT", short[at + 4 : at + 4 + length]) + data[-12:]
    assert await cause(decoder, tmp_path, "PNG", short) == "CORRUPT"
