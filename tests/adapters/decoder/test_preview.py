"""Previews of real files by real workers: what they look like, and what happens to files without one."""

import asyncio
import io
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pyvips
from PIL import Image, ImageOps

from conexiones.errors import NoPreview
from conexiones.image_formats import ImageFormat
from tests.adapters.decoder.workers import (
    Endless,
    Pool,
    cause_of,
    difference,
    encoded,
    noise,
    pool,
    preview_of,
    quarters,
    spoilt,
)
from tests.support.processes import own_decoders, suspend
from tests.support.waiting import DEADLINE

# What previews look like


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(quarters(), "JPEG", exif=exif, quality=95)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected.thumbnail((256, 256))
    assert difference(await preview_of(tmp_path, "JPEG", data), expected) < 3


def rgb16() -> bytes:
    image = pyvips.Image.new_from_memory(quarters().tobytes(), 400, 300, 3, "uchar")
    data: bytes = (image.cast("ushort") * 257).copy(interpretation="rgb16").pngsave_buffer(bitdepth=16)
    return data


def wide_gamut() -> bytes:
    image = pyvips.Image.new_from_memory(quarters().tobytes(), 400, 300, 3, "uchar")
    image = image.copy(interpretation="srgb").icc_transform("p3", input_profile="srgb")
    data: bytes = image.jpegsave_buffer(Q=95)
    return data


def animation(format: ImageFormat) -> bytes:
    frames = [Image.new("RGB", (400, 300), "black")] * 2
    return encoded(quarters(), format, save_all=True, append_images=frames, duration=100)


@pytest.mark.parametrize(
    ("format", "make"),
    [
        pytest.param("JPEG", lambda: encoded(quarters(), "JPEG", progressive=True), id="progressive"),
        pytest.param("JPEG", wide_gamut, id="display-p3"),
        pytest.param("JPEG", lambda: encoded(quarters(), "JPEG", icc_profile=b"none" * 50), id="bad-profile"),
        pytest.param("PNG", rgb16, id="16-bit"),
        pytest.param("PNG", lambda: encoded(quarters().quantize(16), "PNG"), id="palette"),
        pytest.param("GIF", lambda: animation("GIF"), id="animated-gif"),
        pytest.param("WebP", lambda: animation("WEBP"), id="animated-webp"),
        pytest.param("TIFF", lambda: encoded(quarters(), "TIFF", compression="tiff_lzw"), id="tiff"),
        pytest.param("AVIF", lambda: encoded(quarters(), "AVIF"), id="avif"),
        pytest.param("BMP", lambda: encoded(quarters(), "BMP"), id="bmp"),
        pytest.param("BMP", lambda: encoded(quarters().quantize(16), "BMP"), id="bmp-palette"),
    ],
)
async def test_colours(tmp_path: Path, format: ImageFormat, make: Callable[[], bytes]) -> None:
    assert difference(await preview_of(tmp_path, format, make()), quarters(256, 192)) < 6


async def test_cmyk(tmp_path: Path) -> None:
    # Without a profile the conversion is a guess: colours need only be near, and above all not inverted.
    data = encoded(quarters().convert("CMYK"), "JPEG", quality=95)
    assert difference(await preview_of(tmp_path, "JPEG", data), quarters(256, 192)) < 50


@pytest.mark.parametrize("format", ["PNG", "WebP", "TIFF"])
async def test_transparency_is_white(tmp_path: Path, format: ImageFormat) -> None:
    image = quarters().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 400, 150))
    expected = quarters(256, 192)
    expected.paste((255, 255, 255), (0, 0, 256, 96))
    assert difference(await preview_of(tmp_path, format, encoded(image, format)), expected) < 3


async def test_grey_becomes_srgb(tmp_path: Path) -> None:
    data = encoded(quarters().convert("LA"), "PNG")
    assert difference(await preview_of(tmp_path, "PNG", data), quarters(256, 192).convert("L")) < 3


@pytest.mark.parametrize("format", ["PNG", "BMP"])
async def test_size(tmp_path: Path, format: ImageFormat) -> None:
    path = tmp_path / "image"
    async with pool() as decoder:
        for size, side, expected in (
            ((1, 1), 256, (1, 1)),
            ((10, 7), 256, (10, 7)),
            ((256, 256), 256, (256, 256)),
            ((1000, 100), 256, (256, 26)),
            ((2, 3000), 256, (1, 256)),
            ((640, 480), 64, (64, 48)),
        ):
            path.write_bytes(encoded(Image.new("RGB", size), format))
            image = Image.open(io.BytesIO(await decoder.preview(path, format=format, side=side)))
            assert (image.format, image.size) == ("JPEG", expected)


async def test_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    data = await preview_of(tmp_path, "JPEG", encoded(quarters(), "JPEG", exif=exif, comment="a secret"))
    assert b"secret" not in data
    assert not {"exif", "icc_profile", "comment"} & Image.open(io.BytesIO(data)).info.keys()


async def test_any_file_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"out of memory [page=9,unlimited] \xff.jpg")
    data = encoded(quarters(), "JPEG")
    async with pool() as decoder:
        path.write_bytes(data)
        assert await decoder.preview(path, format="JPEG")
        path.write_bytes(data[:-100])
        assert await cause_of(decoder, path) == "CORRUPT"


# Files without a preview


async def test_corrupt(tmp_path: Path) -> None:
    jpeg, png = noise("JPEG"), noise("PNG")
    middle = len(jpeg) // 2
    cases = {
        "cut": ("JPEG", jpeg[:middle]),
        "ended early": ("JPEG", jpeg[:middle] + b"\xff\xd9"),
        "cut, progressive": ("JPEG", noise("JPEG", progressive=True)[:middle]),
        "spoilt between restarts": ("JPEG", spoilt(noise("JPEG", restart_marker_rows=1))),
        "cut png": ("PNG", png[: len(png) // 2]),
        "spoilt png": ("PNG", spoilt(png)),
        "cut gif": ("GIF", noise("GIF")[:5000]),
        "cut webp": ("WebP", noise("WEBP")[:5000]),
        "cut tiff": ("TIFF", noise("TIFF")[:50_000]),
        "spoilt avif": ("AVIF", spoilt(noise("AVIF"))),
        "cut bmp": ("BMP", noise("BMP")[:50_000]),
        "header of bmp": ("BMP", noise("BMP")[:20]),
        "text": ("JPEG", b"no image at all" * 10),
        "svg": ("PNG", b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>'),
        "csv": ("PNG", b"1,2,3\n4,5,6\n"),
        "empty": ("JPEG", b""),
    }
    causes = {}
    async with pool(workers=2) as decoder:
        for name, (kind, data) in cases.items():
            path = tmp_path / name
            path.write_bytes(data)
            causes[name] = await cause_of(decoder, path, kind)
    assert causes == dict.fromkeys(cases, "CORRUPT")


@pytest.mark.parametrize("progressive", [False, True])
async def test_odd_but_whole(tmp_path: Path, progressive: bool) -> None:
    data = encoded(quarters(), "JPEG", progressive=progressive, quality=95)
    table = data.index(b"\xff\xdb")  # libjpeg warns of bytes between two segments
    data = (
        data[:table] + b"padding" + data[table:-2] + b"\0\0\0" + data[-2:] + b"and what a camera appends" * 9
    )
    assert difference(await preview_of(tmp_path, "JPEG", data), quarters(256, 192)) < 3


async def test_unsupported(good: Path) -> None:
    async with pool() as decoder:
        assert await cause_of(decoder, good, "SVG") == "UNSUPPORTED"


async def test_pixels(tmp_path: Path) -> None:
    path = tmp_path / "image"
    async with pool(decode_pixels=400 * 300) as decoder:
        for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "AVIF", "BMP"):
            path.write_bytes(encoded(quarters(400, 300), kind))
            await decoder.preview(path, format=kind)
            path.write_bytes(encoded(quarters(400, 301), kind))
            assert await cause_of(decoder, path, kind) == "PIXELS"


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP"])
async def test_memory(tmp_path: Path, good: Path, format: ImageFormat) -> None:
    path = tmp_path / "large"
    large = pyvips.Image.black(4000, 4000, bands=3).copy(interpretation="srgb")
    match format:
        case "PNG":
            large.pngsave(str(path), interlace=True, compression=1)
        case "GIF":  # GLib aborts where it cannot allocate that much
            large.gifsave(str(path), effort=1)
        case "BMP":
            Image.new("RGB", (4000, 4000)).save(path, "BMP")
    async with pool(decode_memory=32 << 20) as decoder:
        assert await cause_of(decoder, path, format) == "MEMORY"
        assert await decoder.preview(good, format="JPEG")
    async with pool() as decoder:
        assert await decoder.preview(path, format=format)


async def goes_on(decoder: Pool, good: Path) -> None:
    """Sooner or later there are previews again: on a busy machine, one may take too many seconds."""
    async with asyncio.timeout(DEADLINE):
        while True:
            with suppress(NoPreview):
                assert await decoder.preview(good, format="JPEG")
                return


async def test_seconds(good: Path, endless: Endless, caplog: pytest.LogCaptureFixture) -> None:
    async with pool(decode_seconds=0.3) as decoder:
        began = time.monotonic()
        cause, _ = await asyncio.gather(cause_of(decoder, endless.path), endless.opened())
        assert cause == "SECONDS"
        assert time.monotonic() - began >= 0.3
        await goes_on(decoder, good)
        suspend(*own_decoders())
        assert await cause_of(decoder, good) == "SECONDS"
        await goes_on(decoder, good)
    levels = [record.levelname for record in caplog.records if record.name == "conexiones.decoder"]
    assert len(levels) >= 2
    assert set(levels) == {"WARNING"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_crash(good: Path, endless: Endless, number: signal.Signals) -> None:
    async with pool() as decoder:
        call = asyncio.create_task(cause_of(decoder, endless.path))
        await endless.read()
        waiting = asyncio.create_task(decoder.preview(good, format="JPEG"))
        own_decoders()[0].send_signal(number)
        assert await call == "CRASH"
        assert await waiting


async def test_crash_leaves_the_others(good: Path, endless: Endless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conexiones.adapters.decoder.pool.SMALL_SECONDS", DEADLINE)  # none of it is long
    async with pool(workers=2) as decoder:
        call = asyncio.create_task(cause_of(decoder, endless.path))
        await endless.read()
        for _ in range(5):
            assert await decoder.preview(good, format="JPEG")
        assert not call.done()
        for process in own_decoders():
            process.kill()
        assert await call == "CRASH"
        assert await decoder.preview(good, format="JPEG")


async def test_idle_death_costs_nothing(good: Path) -> None:
    async with pool() as decoder:
        assert await decoder.preview(good, format="JPEG")
        [process] = own_decoders()
        process.kill()
        # Waits until it is dead without reaping it. The pool may have reaped it already.
        with suppress(ChildProcessError):
            await asyncio.to_thread(os.waitid, os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert await decoder.preview(good, format="JPEG")


async def test_signals_of_a_service_manager_are_ignored(good: Path) -> None:
    async with pool() as decoder:
        assert await decoder.preview(good, format="JPEG")
        [process] = own_decoders()
        for number in (signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
        assert await decoder.preview(good, format="JPEG")
        assert own_decoders() == [process]
