"""A decoder with real workers, images for it, and a file that blocks it."""

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image, ImageChops, ImageStat

from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.errors import NoPreview
from conexiones.image_formats import ImageFormat
from conexiones.metrics import Metrics
from conexiones.ports.records import Facts, Recipe, Rendered
from conexiones.shares import SERVER, Caller
from tests.support.processes import own_decoders, own_zombies
from tests.support.waiting import DEADLINE, until

COLOURS = [(200, 40, 40), (40, 160, 60), (50, 60, 190), (220, 200, 60)]


class Pool(VipsDecoder):
    """A VipsDecoder with a method for each task, which waits for a turn and uses it."""

    async def preview(
        self,
        path: Path,
        *,
        format: ImageFormat,
        side: int = 256,
        caller: Caller = SERVER,
        large: bool = False,
    ) -> bytes:
        with contextlib.closing(await self.turn(caller=caller, large=large)) as turn:
            return await turn.preview(path, format=format, side=side)

    async def describe(self, path: Path, *, format: ImageFormat) -> Facts:
        with contextlib.closing(await self.turn()) as turn:
            return await turn.describe(path, format=format)

    async def render(
        self, path: Path, into: Path, *, format: ImageFormat, recipe: Recipe, large: bool = False
    ) -> Rendered:
        with contextlib.closing(await self.turn(large=large)) as turn:
            return await turn.render(path, into, format=format, recipe=recipe)


@contextlib.asynccontextmanager
async def pool(
    *,
    workers: int = 1,
    ready: int = 1,
    decode_pixels: int = 20_000_000,
    decode_seconds: float = 60,
    decode_memory: int = 256 << 20,
    wait_seconds: float | None = None,
    within: bool = False,
    metrics: Metrics | None = None,
) -> AsyncIterator[Pool]:
    """`within` another pool, which may replace its workers meanwhile, that one looks for what is left."""
    pool = Pool(
        workers=workers,
        ready=ready,
        decode_pixels=decode_pixels,
        decode_seconds=decode_seconds,
        decode_memory=decode_memory,
        wait_seconds=wait_seconds,
        metrics=metrics,
    )
    before = psutil.Process().children()
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()
    # Servers for other tests come and go meanwhile.
    left = [one for one in (*own_decoders(), *own_zombies()) if one not in before]
    assert within or left == [], "not even a zombie is left"


def quarters(width: int = 400, height: int = 300) -> Image.Image:
    """Four quarters of different colours, which show any rotation or mirroring."""
    image = Image.new("RGB", (2, 2))
    image.putdata(COLOURS)
    return image.resize((width, height), Image.Resampling.NEAREST)


def encoded(image: Image.Image, format: ImageFormat, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def animated_avif(frames: int = 3, mode: str = "RGB") -> bytes:
    """A sequence of the four quarters, which change places in each frame."""
    images = [quarters(96, 64).rotate(180 * (number % 2)).convert(mode) for number in range(frames)]
    return encoded(images[0], "AVIF", save_all=True, append_images=images[1:], duration=100, quality=95)


def noise(format: ImageFormat, **options: object) -> bytes:
    return encoded(Image.effect_noise((600, 400), 80).convert("RGB"), format, **options)


def spoilt(data: bytes) -> bytes:
    """The same data with 40 bytes in the middle inverted."""
    middle = len(data) // 2
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 40]) + data[middle + 40 :]


def difference(preview: bytes, expected: Image.Image) -> float:
    """The mean difference per sample, from 0 to 255, of a preview that has to be a JPEG in RGB."""
    image = Image.open(io.BytesIO(preview))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", expected.size)
    channels = ImageStat.Stat(ImageChops.difference(image, expected.convert("RGB"))).mean
    return max(channels)


async def preview_of(tmp_path: Path, format: ImageFormat, data: bytes, side: int = 256) -> bytes:
    path = tmp_path / "image"
    path.write_bytes(data)
    async with pool() as decoder:
        return await decoder.preview(path, format=format, side=side)


async def cause_of(decoder: Pool, path: Path, format: Any = "JPEG") -> str:
    """Why there is no preview of it; `format` may also be what is no format."""
    with pytest.raises(NoPreview) as caught:
        await decoder.preview(path, format=format)
    assert caught.value.facts.keys() == {"format", "cause"}
    return str(caught.value.facts["cause"])


class Endless:
    """A file of which reading never ends: a FIFO into which nothing is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end: int | None = None
        os.mkfifo(path)

    async def read(self) -> None:
        """Returns once a worker reads it. libvips then has a descriptor of its own besides the worker's."""
        await self.opened()
        await until(lambda: any(self._descriptors(process.pid) == 2 for process in own_decoders()))

    async def opened(self) -> None:
        """Returns once the pool has opened it for a worker. Until then, that waits."""
        with ThreadPoolExecutor(1) as thread:
            # Opening a FIFO for writing waits until it is opened for reading.
            opened = thread.submit(os.open, self.path, os.O_WRONLY)
            try:
                async with asyncio.timeout(DEADLINE):
                    self.end = await asyncio.wrap_future(opened)
            finally:
                if self.end is None:  # lets the thread end
                    os.close(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK))

    def _descriptors(self, pid: int) -> int:
        """How many descriptors of it a process has."""
        found = 0
        with contextlib.suppress(FileNotFoundError):  # the process has ended
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    found += entry.readlink() == self.path
        return found

    def close(self) -> None:
        if self.end is not None:
            os.close(self.end)
            self.end = None
