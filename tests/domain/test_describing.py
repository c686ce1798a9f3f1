"""Facts, on the real store and with real decoders: what stops when nobody waits, and what goes first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain.decoding import is_large
from conexiones.domain.describing import Describing
from conexiones.domain.images import Images
from conexiones.ports.records import Facts, ImageRecord
from conexiones.shares import Caller
from tests.adapters.decoder.workers import Pool, encoded, pool
from tests.domain.conftest import LIMITS
from tests.support import corpus_heic
from tests.support.waiting import DEADLINE, idle

ANA, BEA = Caller("ana", "1"), Caller("bea", "1")


class Gallery:
    """A store, the facts of its images, and the decoders that find them."""

    def __init__(self, catalog: SqliteCatalog, images: Images, store: LocalStore, prompt: Pool, quiet: Pool):
        self.catalog = catalog
        self.images = images
        self.prompt = prompt
        self.describing = Describing(catalog, catalog, store.blobs, prompt=prompt, quiet=quiet, limits=LIMITS)

    async def small(self, shade: int) -> ImageRecord:
        return await self.images.add(encoded(Image.new("RGB", (20, 20), (shade, 0, 0)), "PNG"))

    async def large(self, shade: int) -> ImageRecord:
        black = pyvips.Image.black(5000, 5000)
        image = await self.images.add((black + shade).cast("uchar").pngsave_buffer(compression=1))
        assert is_large(image)
        return image

    async def described(self, count: int) -> list[str]:
        """The ids of the images that were described, in their order, once there are so many."""
        at, ids = 0, list[str]()
        async with asyncio.timeout(DEADLINE):
            while len(ids) < count:
                await self.catalog.changed(at)
                for event in await self.catalog.events(after=at, limit=100):
                    at = event.sequence
                    if event.kind == "DESCRIBED":
                        ids.append(event.image_id)
        return ids

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.describing.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def gallery(tmp_path: Path) -> AsyncIterator[Gallery]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    async with (
        pool(decode_pixels=10**8) as prompt,
        pool(decode_pixels=10**8, ready=0, within=True) as quiet,
    ):
        await catalog.open()
        await store.open()
        images = Images(catalog, store.staging, store.blobs, prompt, LIMITS)
        gallery = Gallery(catalog, images, store, prompt, quiet)
        yield gallery
        await gallery.describing.close()
        await store.close()
        await catalog.close()


async def test_what_nobody_waits_for_any_more_is_left_to_the_background(gallery: Gallery) -> None:
    image = await gallery.large(1)
    calls = [asyncio.create_task(gallery.describing.of(image, caller=caller)) for caller in (ANA, BEA)]
    await idle()
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert await gallery.describing.known([image]) == {}
    # The decoder is free at once, for large work, too.
    other = await gallery.large(2)
    assert (await gallery.describing.of(other, caller=BEA)).problem == ""
    assert await gallery.describing.known([image]) == {}
    async with gallery.running():
        assert await gallery.described(2) == [other.id, image.id]


async def test_the_facts_that_one_asks_for_are_found_once(gallery: Gallery) -> None:
    image = await gallery.large(1)
    async with gallery.running():
        facts = await asyncio.gather(
            *(gallery.describing.of(image, caller=caller) for caller in (ANA, BEA, ANA))
        )
        assert facts[0] == facts[1] == facts[2]
        other = await gallery.small(1)
        assert await gallery.described(2) == [image.id, other.id]


async def test_large_images_of_one_do_not_keep_the_small_ones_of_others(gallery: Gallery) -> None:
    large = [(await gallery.large(shade)).id for shade in range(5)]
    async with gallery.running():
        before = len(await gallery.described(1))
        small = await gallery.small(1)
        order = await gallery.described(6)
    assert set(order) == {*large, small.id}
    # One may have been described while the small one came, and another been begun.
    assert order.index(small.id) <= before + 2


async def test_large_images_that_find_no_place_in_memory_are_looked_up(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conexiones.domain.describing._LARGE_LEFT", 1)
    large = {(await gallery.large(shade)).id for shade in range(4)}
    async with gallery.running():
        assert set(await gallery.described(4)) == large


async def test_what_another_version_could_not_decode_is_described_again(gallery: Gallery) -> None:
    async with gallery.running():
        heic = await gallery.images.add(corpus_heic.encoded("plain"))
        unknown = await gallery.images.add(corpus_heic.sequence(*[corpus_heic.picture().data] * 2))
        assert await gallery.described(2)
    await gallery.catalog.put_facts(heic.digest, Facts(problem="UNSUPPORTED"), now=0)
    async with gallery.running():
        small = await gallery.small(1)
        # Of what is still not decoded there is no event: it has the facts that it had.
        order = await gallery.described(5)
        assert sorted(order) == sorted([heic.id, heic.id, heic.id, unknown.id, small.id])
    known = await gallery.describing.known([heic, unknown])
    assert known[heic.digest].problem == ""
    assert known[unknown.digest].problem == "UNSUPPORTED"
