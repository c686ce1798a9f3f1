"""One upload on several servers: whoever writes it, what was acknowledged stays, and nothing gets between."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from conexiones import errors
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.rows import extents_of
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.domain.ids import now
from conexiones.domain.images import Images, Limits
from conexiones.domain.uploads import Uploads, UploadWriter
from conexiones.ports.records import ImageRecord, UploadRecord
from conexiones.principals import EVERYBODY
from tests.support.bitmaps import bitmap
from tests.support.lengths import examples

CONTENT = b"".join(bitmap(40, 24))  # 2,934 bytes
SHA256 = hashlib.sha256(CONTENT).digest()
LIMITS = Limits(max_image_bytes=10_000, max_pixels=10_000, decode_pixels=10_000, decode_seconds=10)
OTHERS = (errors.WriterFenced, errors.OffsetMismatch, errors.StorageUnavailable)
"""What a writer hears when another one has the upload, or has written meanwhile."""


class Server(NamedTuple):
    uploads: Uploads
    store: S3Store
    images: Images
    catalog: PostgresCatalog

    async def ids(self) -> list[str]:
        """Those of all images."""
        listed = self.catalog.list_images(limit=100, before=None, user=None, start=None, end=None)
        return [image.id for image in await listed]

    async def delete(self, image: ImageRecord) -> None:
        async with self.store.blobs.removing(image.digest):
            await self.catalog.delete_image(image.id, now=now())


@pytest.fixture
async def servers(shared_settings: dict[str, str], tmp_path: Path) -> AsyncIterator[list[Server]]:
    """Three, of which each has nothing in common with the others but the database and the objects."""
    place = BlobPlace(url=shared_settings["blobs"], endpoint=shared_settings["s3_endpoint"])
    async with AsyncExitStack() as stack:
        yield [
            await _server(stack, shared_settings["database"], place, tmp_path / name)
            for name in ("one", "two", "three")
        ]


async def _server(stack: AsyncExitStack, url: str, place: BlobPlace, folder: Path) -> Server:
    catalog = PostgresCatalog(url)
    store = S3Store(place, catalog, folder=folder)
    await catalog.open()
    stack.push_async_callback(catalog.close)
    await store.open()
    stack.push_async_callback(store.close)
    # Never opened: uploading decodes nothing.
    decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
    images = Images(catalog, store.staging, store.blobs, decoder, LIMITS)
    uploads = Uploads(catalog, store.staging, images)
    stack.push_async_callback(uploads.close)
    return Server(uploads, store, images, catalog)


async def _begin(server: Server) -> str:
    return (await server.uploads.create("request", by=EVERYBODY, user="", size=None)).id


async def _finish(server: Server, id: str) -> UploadRecord:
    return await server.uploads.finish(id, size=len(CONTENT), sha256=SHA256, by=EVERYBODY)


async def _write_on(writer: UploadWriter, until: int = len(CONTENT)) -> int:
    await writer.write(writer.committed, CONTENT[writer.committed : until], None)
    return await writer.commit()


async def test_what_a_fenced_writer_has_on_its_way_is_dropped(servers: list[Server]) -> None:
    one, two, three = servers
    id = await _begin(one)
    async with one.uploads.writer(id, by=EVERYBODY) as old:
        assert await _write_on(old, 100) == 100
        await old.write(100, b"not what the image has here", None)
        async with two.uploads.writer(id, by=EVERYBODY) as new:
            assert new.committed == 100
            assert await _write_on(new, 2000) == 2000
        with pytest.raises(errors.WriterFenced):
            await old.commit()
    async with one.uploads.writer(id, by=EVERYBODY) as again:
        assert again.committed == 2000
        assert await _write_on(again) == len(CONTENT)
    upload = await _finish(three, id)
    assert upload.state == "READY"
    for server in servers:
        assert b"".join([piece async for piece in server.store.blobs.read(SHA256)]) == CONTENT
        assert (await _finish(server, id)).image_id == upload.image_id, "asked for again"


async def _in_extents(servers: list[Server], id: str) -> list[str]:
    """Writes to an upload, at the first server, so many small objects that the next one puts them together;
    gives their names."""
    for server in servers:
        server.store._backend.part = 1000
    async with servers[0].uploads.writer(id, by=EVERYBODY) as writer:
        for until in (300, 600, 900):
            await _write_on(writer, until)
    return [place.object for place in await servers[0].catalog.read(extents_of, id)]


async def test_a_server_that_stood_still_hears_of_another_writer_and_of_no_damage(
    servers: list[Server],
) -> None:
    """Meanwhile its objects were put together by the other one, and removed."""
    one, two, _ = servers
    id = await _begin(one)
    objects = await _in_extents(servers, id)
    async with one.uploads.writer(id, by=EVERYBODY) as old:
        await old.write(900, CONTENT[900:1300], None)
        async with two.uploads.writer(id, by=EVERYBODY) as new:
            assert await _write_on(new, 1300) == 1300
        await two.store._backend.objects.delete(objects)
        with pytest.raises(errors.WriterFenced):
            await old.commit()
    async with two.uploads.writer(id, by=EVERYBODY) as again:
        assert again.committed == 1300
        await _write_on(again)
    assert (await _finish(two, id)).state == "READY"


async def test_an_upload_whose_bytes_are_damaged_fails_as_soon_as_somebody_sees_it(
    servers: list[Server],
) -> None:
    """Rather than to fail each attempt to go on, until it expires."""
    one = servers[0]
    id = await _begin(one)
    objects = await _in_extents(servers, id)
    await one.store._backend.objects.delete(objects[:1])
    async with one.uploads.writer(id, by=EVERYBODY) as writer:
        with pytest.raises(errors.BlobCorrupt):
            await _write_on(writer, 1300)
    assert (await one.uploads.get(id, by=EVERYBODY)).state == "FAILED"


async def test_bytes_that_are_held_on_one_server_count_only_while_nobody_else_writes(
    servers: list[Server],
) -> None:
    one, two, _ = servers
    id = await _begin(one)
    async with one.uploads.writer(id, by=EVERYBODY) as writer:
        await _write_on(writer, 100)
        await writer.write(100, b"what nobody has acknowledged", None)
    async with two.uploads.writer(id, by=EVERYBODY):
        pass  # it has committed nothing, but may have acknowledged that there are 100 bytes
    async with one.uploads.writer(id, by=EVERYBODY) as writer:
        assert writer.committed == 100
        await _write_on(writer)
    assert (await _finish(one, id)).state == "READY"


async def test_a_writer_goes_on_at_another_server(servers: list[Server]) -> None:
    id = await _begin(servers[0])
    async with servers[0].uploads.writer(id, by=EVERYBODY) as writer:
        epoch = writer.epoch
    for lap in range(1, 7):
        async with servers[lap % 3].uploads.writer(id, epoch, by=EVERYBODY) as writer:
            assert writer.committed == 400 * (lap - 1)
            await _write_on(writer, 400 * lap)
    async with servers[1].uploads.writer(id, epoch, by=EVERYBODY) as writer:
        await _write_on(writer)
    assert (await _finish(servers[2], id)).state == "READY"


async def test_a_fenced_writer_rejects_nothing(servers: list[Server]) -> None:
    one, two, _ = servers
    id = await _begin(one)
    async with one.uploads.writer(id, by=EVERYBODY) as old, two.uploads.writer(id, by=EVERYBODY) as new:
        with pytest.raises(errors.WriterFenced):
            await old.write(0, b"<html>, which is no image" * 100, None)
        await _write_on(new)
    assert (await _finish(one, id)).state == "READY"


async def test_what_has_ended_at_one_server_has_ended_at_all(servers: list[Server]) -> None:
    one, two, _ = servers
    id = await _begin(one)
    async with one.uploads.writer(id, by=EVERYBODY) as writer:
        await _write_on(writer, 100)
        await two.uploads.cancel(id, by=EVERYBODY)
        await writer.write(100, CONTENT[100:200], None)
        with pytest.raises(errors.UploadEnded):
            await writer.commit()
    with pytest.raises(errors.UploadEnded):
        await _finish(one, id)
    await one.uploads.sweep()


@pytest.mark.parametrize("twin", [False, True])
async def test_whoever_finishes_at_once_gets_the_same_image(servers: list[Server], twin: bool) -> None:
    """Also where an image with the same bytes is there already."""
    if twin:
        await servers[1].images.add(CONTENT, by=EVERYBODY)
    before = await servers[0].ids()
    id = await _begin(servers[0])
    async with servers[0].uploads.writer(id, by=EVERYBODY) as writer:
        await _write_on(writer)
    said = await asyncio.gather(*(_finish(server, id) for server in servers), return_exceptions=True)
    done = [one for one in said if isinstance(one, UploadRecord)]
    assert done
    assert all(isinstance(one, (UploadRecord, *OTHERS)) for one in said), said
    assert {(one.state, one.image_id) for one in done} == {("READY", done[0].image_id)}
    assert await servers[2].ids() == [done[0].image_id, *before]


@pytest.mark.parametrize("finished_first", [True, False])
async def test_an_upload_is_finished_or_cancelled_and_never_both(
    servers: list[Server], finished_first: bool
) -> None:
    one, two, three = servers
    id = await _begin(one)
    async with one.uploads.writer(id, by=EVERYBODY) as writer:
        await _write_on(writer)
    ways = [_finish(one, id), two.uploads.cancel(id, by=EVERYBODY)]
    said = await asyncio.gather(*(ways if finished_first else ways[::-1]), return_exceptions=True)
    ended = await three.uploads.get(id, by=EVERYBODY)
    assert [one.state for one in said if isinstance(one, UploadRecord)] == [ended.state]
    assert sum(isinstance(one, errors.UploadEnded) for one in said) == 1
    assert await three.ids() == ([ended.image_id] if ended.state == "READY" else [])


async def test_a_writer_that_goes_on_while_another_server_finishes_is_fenced(servers: list[Server]) -> None:
    one, two, _ = servers
    id = await _begin(one)
    async with one.uploads.writer(id, by=EVERYBODY) as writer:
        await _write_on(writer)
        assert (await _finish(two, id)).state == "READY"
        await writer.write(len(CONTENT), b"more", None)
        with pytest.raises((errors.WriterFenced, errors.UploadEnded)):
            await writer.commit()
    assert (await _finish(one, id)).state == "READY"


@pytest.mark.parametrize("turns", range(0, 40 * examples(1), 10))
async def test_bytes_that_are_deleted_at_one_server_while_they_come_in_at_another_stay(
    servers: list[Server], turns: int
) -> None:
    one, two, three = servers
    old = await one.images.add(CONTENT, by=EVERYBODY)

    async def delete() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        await one.delete(old)

    new, _ = await asyncio.gather(two.images.add(CONTENT, by=EVERYBODY), delete())
    assert await three.ids() == [new.id]
    await three.store.sweep()
    assert b"".join([piece async for piece in three.store.blobs.read(SHA256)]) == CONTENT


@pytest.mark.parametrize("seed", range(examples(3)))
async def test_writers_at_random(servers: list[Server], seed: int) -> None:
    """Three writers at once, each on whichever server: what was acknowledged is never taken back."""
    chance = random.Random(seed)
    id = await _begin(servers[0])
    acknowledged = [0]
    epochs = [0]

    async def write() -> None:
        for _ in range(6):
            server, epoch = chance.choice(servers), chance.choice([0, max(epochs)])
            before = acknowledged[-1]
            try:
                async with server.uploads.writer(id, epoch, by=EVERYBODY) as writer:
                    assert writer.committed >= before
                    epochs.append(writer.epoch)
                    for _ in range(chance.randrange(3)):
                        before = acknowledged[-1]
                        await writer.write(
                            writer.committed, CONTENT[writer.committed :][: chance.randrange(300)], None
                        )
                        if chance.random() < 0.7:
                            committed = await writer.commit()
                            assert committed >= before
                            acknowledged.append(max(committed, acknowledged[-1]))
            except OTHERS:
                pass

    await asyncio.gather(*(write() for _ in range(3)))
    async with chance.choice(servers).uploads.writer(id, by=EVERYBODY) as writer:
        assert writer.committed >= acknowledged[-1]
        await _write_on(writer)
    assert (await _finish(chance.choice(servers), id)).state == "READY"
