"""The decoder: images that were changed go through the pool of worker processes, as previews, facts and
renditions.

The first byte of an input chooses the task. A worker that dies is what the pool is for: the answer is then
NO_PREVIEW with a cause. Whether it died is counted all the same, by the cause CRASH.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.domain.formats import probe
from conexiones.errors import ImageError, NoPreview
from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Recipe, RenditionFormat
from conexiones.samples import samples
from tests.adapters.decoder.workers import animated_avif
from tests.fuzz.target import MAX_BYTES, Check, Complaint, Target
from tests.fuzz.targets.formats import mended
from tests.support import corpus, corpus_heic

SECONDS = 5.0
PIXELS = 20_000_000
"""What the decoder may take, and decode, as settings of the server say."""

INTO: tuple[RenditionFormat, ...] = ("JPEG", "PNG", "WEBP", "AVIF")
CAUSES = frozenset({"PIXELS", "SECONDS", "MEMORY", "CORRUPT", "UNSUPPORTED", "CRASH"})


class Decoding:
    def __init__(self, loop: asyncio.AbstractEventLoop, decoder: VipsDecoder, folder: Path) -> None:
        self._loop = loop
        self._decoder = decoder
        self._image = folder / "image"
        self._made = folder / "made"

    def __call__(self, data: bytes) -> None:
        choice, image = data[:1], data[1:]
        if image[:8] == b"\x89PNG\r\n\x1a\n":
            image = mended(image)
        try:
            header = probe(image)
        except ImageError:
            return  # It would not have been stored.
        if header.width * header.height > PIXELS:
            return  # It would not be decoded.
        self._image.write_bytes(image)
        self._made.unlink(missing_ok=True)
        try:
            self._loop.run_until_complete(self._decode(choice[0], header.format))
        except NoPreview as refused:
            cause = refused.facts["cause"]
        else:
            return
        if cause not in CAUSES:
            raise Complaint(f"cause-{cause}", "no such cause is documented")
        if cause == "CRASH":
            raise Complaint(f"worker-died-{header.format}", f"task {choice[0]}")

    async def _decode(self, choice: int, format: ImageFormat) -> None:
        turn = await self._decoder.turn()
        match choice % 6:
            case 0:
                made = await turn.preview(self._image, format=format, side=64)
                assert made[:3] == b"\xff\xd8\xff"
            case 1:
                facts = await turn.describe(self._image, format=format)
                assert facts is not None
            case number:
                recipe = Recipe(
                    width=40,
                    height=30,
                    fit=("INSIDE", "COVER", "CONTAIN")[choice // 6 % 3],
                    format=INTO[number - 2],
                    quality=0 if INTO[number - 2] == "PNG" else 40,
                    animated=INTO[number - 2] == "WEBP" and choice > 127,
                    keep_profile=choice & 64 > 0,
                )
                rendered = await turn.render(self._image, self._made, format=format, recipe=recipe)
                assert probe(self._made.read_bytes()).width == rendered.width


@contextmanager
def opened() -> Iterator[Check]:
    loop = asyncio.new_event_loop()
    decoder = VipsDecoder(
        workers=1, decode_pixels=PIXELS, decode_seconds=SECONDS, decode_memory=256 << 20, ready=1
    )
    with tempfile.TemporaryDirectory(prefix="conexiones-fuzz-") as folder:
        loop.run_until_complete(decoder.open())
        try:
            yield Decoding(loop, decoder, Path(folder))
        finally:
            loop.run_until_complete(decoder.close())
            loop.close()


def seeds() -> Sequence[bytes]:
    images = [*corpus.images().values(), *(sample.data for sample in samples()), animated_avif()]
    images += [corpus_heic.encoded(name) for name in corpus_heic.NAMES]
    return [
        bytes((task,)) + data for data in images if len(data) < MAX_BYTES // 4 for task in (0, 1, 2, 131, 200)
    ]


TARGET = Target(
    name="renditions",
    seeds=seeds,
    opened=opened,
    seconds=SECONDS + 3,
    clock=time.perf_counter,
    guided=False,
    words=(
        b"\xff\xda",
        b"\xff\xd9",
        b"\xff\xdd\0\4\0\1",
        b"IDAT",
        b"fdAT",
        b"iCCP",
        b"\x2c",
        b"VP8 ",
        b"ALPH",
    ),
)
