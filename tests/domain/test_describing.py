"""Facts, on the real store and with real decoders: what stops when nobody waits, and what goes first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from conexiones.adapters.blobs.local.blobs import LocalBlobs
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain.decoding import JUDGE, is_large
from conexiones.domain.describing import Describing, is_busy
from conexiones.domain.formats import ImageHeader
from conexiones.domain.ids import now
from conexiones.domain.images import Images
from conexiones.errors import NoPreview
from conexiones.ports.decoder import Turn
from conexiones.ports.records import Facts, ImageRecord
from conexiones.principals import EVERYBODY
from conexiones.shares import Caller
from tests.adapters.decoder.workers import Pool, encoded, pool
from tests.domain.conftest import LIMITS
from tests.domain.formats.test_refused_formats import camera
from tests.support import corpus_heic
from tests.support.orientations import entry, exif, with_exif
from tests.support.waiting import DEADLINE, idle, until

ANA, BEA = Caller("ana", "1"), Caller("bea", "1")


class Gallery:
    """A store, the facts of its images, and the decoders that find them."""

    def __init__(self, catalog: SqliteCatalog, images: Images, store: LocalStore, prompt: Pool, quiet: Pool):
        self.catalog = catalog
        self.images = images
        self._staging, self._blobs = store.staging, store.blobs
        self.prompt = prompt
        self.describing = Describing(catalog, catalog, store.blobs, prompt=prompt, quiet=quiet, limits=LIMITS)

    async def small(self, shade: int) -> ImageRecord:
        return await self.images.add(encoded(Image.new("RGB", (20, 20), (shade, 0, 0)), "PNG"), by=EVERYBODY)

    async def delete(self, image: ImageRecord) -> None:
        async with self._blobs.removing(image.digest):
            await self.catalog.delete_image(image.id, now=now())

    async def large(self, shade: int) -> ImageRecord:
        black = pyvips.Image.black(5000, 5000)
        image = await self.images.add(
            (black + shade).cast("uchar").pngsave_buffer(compression=1), by=EVERYBODY
        )
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

    async def as_read_earlier(self, data: bytes, header: ImageHeader) -> ImageRecord:
        """An image of which an earlier version said that, without facts. This one need not accept it."""
        staged = self._staging.stage()
        await staged.write(data)

        async def add(digest: bytes) -> ImageRecord:
            image = self.images.record(digest, len(data), header, owner="", user=None)
            await self.catalog.add_image(image)
            return image

        image = await staged.publish(add)
        await staged.settle()
        return image

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


async def test_one_that_is_too_large_for_a_local_file_keeps_nobody_from_being_described(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = await gallery.small(1), await gallery.large(1)
    monkeypatch.setattr(LocalBlobs, "largest_local", small.size)
    async with gallery.running():
        assert {*await gallery.described(2)} == {small.id, large.id}
    facts = await gallery.describing.known([small, large])
    assert [facts[image.digest].problem for image in (small, large)] == ["", "MEMORY"]
    assert (await gallery.describing.of(large, caller=ANA)).problem == "MEMORY"
    with pytest.raises(NoPreview):
        await gallery.images.preview(large, caller=ANA)


async def test_what_was_found_does_not_wait_for_what_takes_long(gallery: Gallery) -> None:
    long, other = await gallery.small(1), await gallery.small(2)
    with contextlib.closing(await gallery.prompt.turn()) as turn:
        call = asyncio.create_task(gallery.describing.of(long, caller=ANA))  # waits for that turn
        await idle()
        async with gallery.running():
            assert await gallery.described(1) == [other.id]
            assert not call.done()
            turn.close()
            assert await gallery.described(2) == [other.id, long.id]
    assert (await call).problem == ""


async def test_a_call_gets_at_once_what_waits_to_be_recorded(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conexiones.domain.describing.GROUP_SECONDS", DEADLINE)
    long, other = await gallery.small(1), await gallery.small(2)
    with contextlib.closing(await gallery.prompt.turn()):
        call = asyncio.create_task(gallery.describing.of(long, caller=ANA))  # waits for that turn
        await idle()
        async with gallery.running():
            await until(lambda: other.digest in gallery.describing._held)
            assert await gallery.describing.known([other]) == {}
            facts = await gallery.describing.of(other, caller=BEA)
            assert await gallery.describing.known([other]) == {other.digest: facts}
            assert not call.done()
    await call
    assert await gallery.described(2) == [other.id, long.id]


async def test_a_group_is_recorded_at_once(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conexiones.domain.describing.GROUP_SECONDS", DEADLINE)
    images = [await gallery.small(shade) for shade in range(5)]
    seen = set[int]()
    async with gallery.running():
        while len(known := await gallery.describing.known(images)) < 5:
            seen.add(len(known))
    assert seen == {0}, "facts of some were there before those of others"
    assert await gallery.described(5) == [image.id for image in reversed(images)]


def test_the_work_of_other_servers_makes_none_busy() -> None:
    # Each image is two events: it was stored, and described. All keep up with what comes.
    for servers in (1, 2, 4, 16):
        assert not is_busy(2 * 10 * servers, 10, 1 / servers)
        assert is_busy(5 * 10 * servers, 10, 1 / servers)


async def test_large_images_of_one_do_not_keep_the_small_ones_of_others(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conexiones.domain.describing.GROUP_SECONDS", 0.0)  # each is recorded by itself
    large = [(await gallery.large(shade)).id for shade in range(5)]
    async with gallery.running():
        await gallery.described(1)
        small = await gallery.small(1)
        order = await gallery.described(6)
    assert set(order) == {*large, small.id}
    events = [(event.kind, event.image_id) for event in await gallery.catalog.events(after=0, limit=100)]
    came = events.index(("STORED", small.id))
    before = sum(kind == "DESCRIBED" for kind, _ in events[:came])
    # When the small one came, one was being described, and another may have been begun before it was seen.
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
        heic = await gallery.images.add(corpus_heic.encoded("plain"), by=EVERYBODY)
        unknown = await gallery.images.add(
            corpus_heic.sequence(*[corpus_heic.picture().data] * 2), by=EVERYBODY
        )
        assert await gallery.described(2)
    await gallery.catalog.put_facts(heic, Facts(problem="UNSUPPORTED"), judge=JUDGE, now=0)
    async with gallery.running():
        small = await gallery.small(1)
        # Of what is still not decoded there is no event: it has the facts that it had.
        order = await gallery.described(5)
        assert sorted(order) == sorted([heic.id, heic.id, heic.id, unknown.id, small.id])
    known = await gallery.describing.known([heic, unknown])
    assert known[heic.digest].problem == ""
    assert known[unknown.digest].problem == "UNSUPPORTED"


CORRUPT = Facts(problem="CORRUPT")
TURNED = with_exif("JPEG", Image.new("RGB", (60, 40), "red"), b"Exif\0\0" + exif(">", entry(">", 4, 6)))
"""A JPEG that is turned by a LONG, which makes it 40 × 60."""
AS_STORED = ImageHeader(format="JPEG", width=60, height=40)


async def test_what_an_earlier_version_said_is_corrected(gallery: Gallery) -> None:
    turned = await gallery.as_read_earlier(TURNED, AS_STORED)
    twin = await gallery.as_read_earlier(TURNED, AS_STORED)
    right = await gallery.small(1)
    async with gallery.running():
        await gallery.described(3)
    facts = (await gallery.describing.known([right]))[right.digest]
    await gallery.catalog.put_facts(turned, CORRUPT, judge=JUDGE - 1, now=0)
    await gallery.catalog.put_facts(right, facts, judge=JUDGE - 1, now=0)
    _, before = await gallery.catalog.event_range()
    async with gallery.running(), asyncio.timeout(DEADLINE):
        await gallery.catalog.changed(before)
    # The newest is judged first, and has no event as nothing of it changed.
    events = await gallery.catalog.events(after=before, limit=100)
    assert [(event.kind, event.image_id) for event in events] == [
        ("DESCRIBED", turned.id),
        ("DESCRIBED", twin.id),
    ]
    for image in (turned, twin):
        assert await gallery.catalog.get_image(image.id) == replace(image, width=40, height=60)
    known = await gallery.describing.known([turned, right])
    assert known[turned.digest].color_space == "RGB"
    assert known[right.digest] == facts
    assert await gallery.catalog.judged_before(JUDGE, before=None, limit=1) == []


async def test_what_an_earlier_version_had_not_described_is_corrected(gallery: Gallery) -> None:
    image = await gallery.as_read_earlier(TURNED, AS_STORED)
    async with gallery.running():
        await gallery.described(1)
    assert await gallery.catalog.get_image(image.id) == replace(image, width=40, height=60)


async def test_what_is_new_is_described_before_anything_is_judged_again(gallery: Gallery) -> None:
    old = [await gallery.small(shade) for shade in range(5)]
    for image in old:
        await gallery.catalog.put_facts(image, CORRUPT, judge=JUDGE - 1, now=0)
    large, small = await gallery.large(1), await gallery.small(9)
    async with gallery.running():
        order = await gallery.described(12)
    assert {*order[5:7]} == {small.id, large.id}  # at the same time
    assert order[7:] == [image.id for image in reversed(old)]


async def test_new_bytes_that_were_known_are_judged_by_this_version(gallery: Gallery) -> None:
    old = await gallery.as_read_earlier(TURNED, AS_STORED)
    await gallery.catalog.put_facts(old, CORRUPT, judge=JUDGE - 1, now=0)
    image = await gallery.images.add(TURNED, by=EVERYBODY)
    assert (await gallery.describing.of(image, caller=ANA)).problem == ""
    assert await gallery.catalog.get_image(old.id) == replace(old, width=40, height=60)


@pytest.mark.parametrize("quietly", [False, True], ids=["promptly", "quietly"])
async def test_bytes_that_come_again_whole_are_described_again(gallery: Gallery, quietly: bool) -> None:
    """What was stored of them was damaged when they were described."""
    old = await gallery.small(1)
    await gallery.catalog.put_facts(old, CORRUPT, judge=JUDGE, now=0)
    if quietly:
        async with gallery.running():
            other = await gallery.small(2)
            await gallery.described(2)  # it has begun
            again = await gallery.small(1)
            assert await gallery.described(4) == [old.id, other.id, old.id, again.id]
    else:
        await gallery.describing.of(await gallery.small(1), caller=ANA)
    assert (await gallery.describing.known([old]))[old.digest].problem == ""


@pytest.mark.parametrize("quietly", [False, True], ids=["promptly", "quietly"])
async def test_bytes_that_come_again_when_they_were_just_deleted_are_not_corrupt(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, quietly: bool
) -> None:
    """They were not there when their first image was described."""
    again: list[ImageRecord] = []
    describe = Describing._describe

    async def between(self: Describing, image: ImageRecord, turn: Turn) -> Facts:
        if again:
            return await describe(self, image, turn)
        await gallery.delete(image)
        facts = await describe(self, image, turn)
        assert facts == CORRUPT
        again.append(await gallery.small(1))
        return facts

    monkeypatch.setattr(Describing, "_describe", between)
    image = await gallery.small(1)
    if quietly:
        async with gallery.running():
            assert await gallery.described(1) == [again[0].id]
    else:
        await gallery.describing.of(image)
    assert again[0].digest == image.digest
    assert (await gallery.describing.of(again[0])).problem == ""
    assert (await gallery.describing.known(again))[image.digest].problem == ""


async def test_raw_images_that_were_taken_for_tiff_are_unsupported(gallery: Gallery) -> None:
    raw = await gallery.as_read_earlier(camera(b"NIKON\0"), ImageHeader(format="TIFF", width=8, height=8))
    await gallery.catalog.put_facts(raw, Facts(color_space="RGB"), judge=JUDGE - 1, now=0)
    async with gallery.running():
        await gallery.described(2)
    assert await gallery.describing.known([raw]) == {raw.digest: Facts(problem="UNSUPPORTED")}
    assert await gallery.catalog.get_image(raw.id) == raw
