"""What every store of blobs promises of resumable uploads, and of deletion."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from conexiones.adapters.blobs.local.buffers import BATCH, OUTSTANDING, UNIT, Buffers
from conexiones.errors import BlobCorrupt, StorageUnavailable, WriterFenced
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UploadRecord
from conexiones.ports.staging import Content, Staged
from conexiones.shares import Caller
from tests.adapters.blobs.contents import (
    MIB,
    Store,
    content,
    counted,
    everything,
    fill,
    gone,
    sha,
    stored,
    tell_nobody,
    whole,
)
from tests.support.lengths import examples

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]
NAME = "0190b2a4-0000-7000-8000-00000000000a"


async def committed(store: Store, name: str, data: bytes) -> None:
    staged = await fill(await store.staging.resume(name, 0), data)
    assert await staged.commit(counted) == len(data)
    await staged.release()


@pytest.fixture
async def restart(
    new_store: Callable[[], Store], catalog: Catalog
) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Opens a store as after a restart, having closed the one before."""
    opened: list[Store] = []

    async def again() -> Store:
        if opened:
            await opened[-1].close()
        opened.append(new_store())
        await opened[-1].open()
        return opened[-1]

    yield again
    await opened[-1].close()


@pytest.mark.parametrize("parts", [[1], [10, 0, 70_000], [3 * MIB + 5, 1, 2 * MIB], [MIB, MIB]])
@pytest.mark.parametrize("between", ["nothing", "release", "restart"])
async def test_what_is_committed_goes_on(
    restart: Callable[[], Awaitable[Store]],
    catalog: Catalog,
    upload: Upload,
    parts: list[int],
    between: str,
) -> None:
    await catalog.create_upload(upload(NAME))
    store = await restart()
    staged = await store.staging.resume(NAME, 0)
    data = b""
    for i, part in enumerate(parts):
        assert staged.size == len(data)
        data += content(part, i)
        await fill(staged, content(part, i))
        assert await staged.commit(counted) == staged.size == len(data)
        assert await staged.inspect(everything) == data
        if between != "nothing":
            await staged.release()
            store = await restart() if between == "restart" else store
            staged = await store.staging.resume(NAME, len(data))
    digest = await staged.publish(tell_nobody)
    assert digest == sha(data)
    await staged.settle()
    assert await whole(store, digest) == data
    with pytest.raises(BlobCorrupt):
        await store.staging.resume(NAME, 1)


@pytest.mark.parametrize("size", [1, 2 * MIB])
async def test_a_slow_judge_leaves_the_event_loop_to_others(store: Store, size: int) -> None:
    def thread(_: Content) -> int:
        return threading.get_ident()

    staged = store.staging.stage()
    await staged.write(content(size))
    assert await staged.inspect(thread, slow=True) != threading.get_ident()
    await staged.discard()


async def test_what_was_not_committed_is_cut_off(store: Store) -> None:
    staged = await fill(await store.staging.resume(NAME, 0), content(2 * MIB))
    await staged.commit(counted)
    await fill(staged, b"never acknowledged" * 100_000)
    await staged.release()
    staged = await store.staging.resume(NAME, 2 * MIB)
    assert await staged.inspect(everything) == content(2 * MIB)
    await staged.release()
    staged = await store.staging.resume(NAME, MIB + 1)  # the catalog had not heard of the rest
    await staged.write(b"other")
    expected = content(2 * MIB)[: MIB + 1] + b"other"
    assert await staged.publish(tell_nobody) == sha(expected)
    await staged.settle()
    assert await whole(store, sha(expected)) == expected


async def test_bytes_that_are_missing_are_corrupt(store: Store) -> None:
    with pytest.raises(BlobCorrupt):
        await store.staging.resume(NAME, 1)
    await committed(store, NAME, b"123")
    with pytest.raises(BlobCorrupt):
        await store.staging.resume(NAME, 4)
    staged = await store.staging.resume(NAME, 3)  # it is not held by the attempt before
    assert await staged.inspect(everything) == b"123"
    await staged.release()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a.copy", "ñ", "x" * 65, "a\n", "a b", "\0"])
async def test_what_is_no_name_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="no id of an upload"):
        await store.staging.resume(name, 0)
    with pytest.raises(ValueError, match="no id of an upload"):
        await store.staging.drop(name)


async def test_one_at_a_time_holds_a_name(store: Store) -> None:
    staged = await fill(await store.staging.resume(NAME, 0), b"123")
    with pytest.raises(RuntimeError, match="held"):
        await store.staging.resume(NAME, 0)
    await store.staging.drop(NAME)  # held: nothing happens
    assert await staged.commit(counted) == 3
    await staged.release()
    await staged.release()
    with pytest.raises(RuntimeError, match="let go"):
        await staged.write(b"4")
    with pytest.raises(RuntimeError, match="let go"):
        await staged.commit(counted)
    with pytest.raises(RuntimeError, match="let go"):
        await staged.publish(tell_nobody)
    second = await store.staging.resume(NAME, 3)
    await staged.release()
    await staged.discard()  # of one that has let go: it takes nothing from the next
    with pytest.raises(RuntimeError, match="held"):
        await store.staging.resume(NAME, 3)
    assert await second.inspect(everything) == b"123"
    await second.release()
    await store.staging.drop(NAME)
    await store.staging.drop(NAME)
    with pytest.raises(BlobCorrupt):
        await store.staging.resume(NAME, 3)


async def test_discard_takes_all_and_release_keeps_what_is_committed(
    store: Store, catalog: Catalog, image: Make
) -> None:
    for published in (False, True):
        for ending in ("discard", "release"):
            await committed(store, NAME, content(MIB))
            staged = await store.staging.resume(NAME, MIB)
            await staged.write(b"more")
            if published:
                digest = await staged.publish(tell_nobody)
                with pytest.raises(RuntimeError, match="published"):
                    await staged.write(b"1")
                with pytest.raises(RuntimeError, match="published"):
                    await staged.commit(counted)
            await getattr(staged, ending)()
            await getattr(staged, ending)()
            assert not published or await gone(store, digest)
            if ending == "discard":
                with pytest.raises(BlobCorrupt):
                    await store.staging.resume(NAME, 1)
            else:
                staged = await store.staging.resume(NAME, MIB)
                assert await staged.inspect(everything) == content(MIB)
                await staged.discard()
    await committed(store, NAME, content(10))
    staged = await store.staging.resume(NAME, 10)
    await catalog.add_image(image("1", digest=await staged.publish(tell_nobody)))
    await staged.release()  # as when the caller could not learn that the catalog has it
    assert await whole(store, sha(content(10))) == content(10)


@pytest.mark.parametrize("size", [10, 2 * MIB])
async def test_an_upload_that_goes_on_never_touches_a_twin(
    store: Store, catalog: Catalog, image: Make, size: int
) -> None:
    """The catalog failed after publish, and meanwhile another image has the very same bytes."""
    data = content(size)
    await committed(store, NAME, data)
    staged = await store.staging.resume(NAME, size)
    digest = await staged.publish(tell_nobody)
    assert await stored(store, catalog, image("1", digest=sha(data)), data) == digest
    await staged.release()
    for length in (size, size - 1, 0):  # 0: as little as that may be what the catalog knows
        staged = await store.staging.resume(NAME, length)
        await fill(staged, b"x" * size)
        await staged.commit(counted)
        assert await staged.inspect(everything) == data[:length] + b"x" * size
        assert await whole(store, digest) == data
        await staged.release()
    staged = await store.staging.resume(NAME, size)
    await staged.discard()
    assert await whole(store, digest) == data


async def test_a_restart_after_publish_loses_nothing_committed(
    restart: Callable[[], Awaitable[Store]], catalog: Catalog, image: Make, upload: Upload
) -> None:
    data = content(2 * MIB + 1)
    for twin in (False, True):
        await catalog.create_upload(upload(NAME))
        store = await restart()
        await committed(store, NAME, data)
        staged = await store.staging.resume(NAME, len(data))
        digest = await staged.publish(tell_nobody)
        if twin:
            await stored(store, catalog, image("twin", digest=digest), data)
        store = await restart()
        assert await gone(store, digest) != twin
        staged = await store.staging.resume(NAME, len(data))
        await staged.write(b"1")
        await staged.commit(counted)
        assert not twin or await whole(store, digest) == data
        await staged.release()
        staged = await store.staging.resume(NAME, len(data))
        assert await staged.publish(tell_nobody) == digest
        record = image(f"{twin}", digest=digest)
        await catalog.end_upload(NAME, state="READY", image=record, failure=None, now=2)
        store = await restart()  # without settle
        assert await whole(store, digest) == data
        with pytest.raises((BlobCorrupt, WriterFenced)):
            await store.staging.resume(NAME, 1)
        await catalog.delete_image(record.id, now=3)
        await store.blobs.delete(digest)
        assert await gone(store, digest) != twin
        await catalog.forget_uploads(ended_before=100, limit=10)


async def test_a_restart_keeps_open_uploads_only(
    restart: Callable[[], Awaitable[Store]], catalog: Catalog, upload: Upload
) -> None:
    store = await restart()
    for name in ("open", "ended", "unknown"):
        await committed(store, name, b"123")
    await catalog.create_upload(upload("open"))
    await catalog.create_upload(upload("ended", state="CANCELLED"))
    store = await restart()
    await (await store.staging.resume("open", 3)).release()
    for name in ("ended", "unknown"):
        with pytest.raises((BlobCorrupt, WriterFenced)):
            await store.staging.resume(name, 3)


async def test_a_cancelled_write_is_never_committed_with_a_hole(store: Store) -> None:
    data = content(BATCH * (OUTSTANDING + 2) * UNIT)  # more than may be on its way
    holes = 0
    for turns in range(0, 40, 2):
        staged = await store.staging.resume(NAME, 0)
        writing = asyncio.ensure_future(staged.write(data))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait((writing,))
        size = 0
        try:
            size = await staged.commit(counted)
        except StorageUnavailable:
            holes += 1
        await staged.release()
        staged = await store.staging.resume(NAME, size)
        assert not size or await staged.inspect(everything) == data[:size]
        await staged.release()
    assert holes


async def test_a_cancelled_commit_can_be_asked_again(store: Store) -> None:
    for turns in range(20):
        staged = await fill(await store.staging.resume(NAME, 0), content(MIB + 7))
        committing = asyncio.ensure_future(staged.commit(counted))
        for _ in range(turns):
            await asyncio.sleep(0)
        committing.cancel()
        await asyncio.wait((committing,))
        await staged.write(b"1")
        assert await staged.commit(counted) == MIB + 8
        assert await staged.inspect(everything) == content(MIB + 7) + b"1"
        await staged.release()


async def test_many_uploads_commit_at_once(store: Store, catalog: Catalog, image: Make) -> None:
    async def one(i: int) -> None:
        data = content(300_000 + i)
        staged = await store.staging.resume(f"{i}", 0)
        for start in range(0, len(data), 50_000):
            await staged.write(data[start : start + 50_000])
            assert await staged.commit(counted) == min(start + 50_000, len(data))
        digest = await staged.publish(tell_nobody)
        await catalog.add_image(image(f"{i}", digest=digest))
        await staged.settle()
        assert await whole(store, digest) == data

    await asyncio.gather(*(one(i) for i in range(40)))


async def test_a_closed_store_resumes_nothing(new_store: Callable[[], Store], catalog: Catalog) -> None:
    store = new_store()
    with pytest.raises(StorageUnavailable):
        await store.staging.resume(NAME, 0)
    with pytest.raises(StorageUnavailable):
        await store.blobs.delete(bytes(32))
    await store.open()
    staged = await fill(await store.staging.resume(NAME, 0), b"1")
    await store.close()
    with pytest.raises(StorageUnavailable):
        await staged.commit(counted)
    await staged.release()


async def test_delete_leaves_what_the_catalog_has(store: Store, catalog: Catalog, image: Make) -> None:
    digest = await stored(store, catalog, image("1", digest=sha(b"1")), b"1")
    await catalog.add_image(image("2", digest=digest))
    await store.blobs.delete(digest)
    await catalog.delete_image("1", now=1)
    await store.blobs.delete(digest)
    assert await whole(store, digest) == b"1"
    await catalog.delete_image("2", now=1)
    await store.blobs.delete(digest)
    assert await gone(store, digest)
    await store.blobs.delete(digest)
    await store.blobs.delete(bytes(32))


@pytest.mark.parametrize("named", [False, True])
async def test_delete_leaves_what_is_published_and_who_settles_looks_after_it(
    store: Store, catalog: Catalog, image: Make, named: bool
) -> None:
    async def published() -> tuple[Staged, bytes]:
        staged = await store.staging.resume(NAME, 0) if named else store.staging.stage()
        await fill(staged, content(70_000))
        return staged, await staged.publish(tell_nobody)

    staged, digest = await published()
    await store.blobs.delete(digest)
    await catalog.add_image(image("1", digest=digest))
    await staged.settle()
    assert await whole(store, digest) == content(70_000)

    staged, digest = await published()  # a second image; both are deleted before it has settled
    await catalog.add_image(image("2", digest=digest))
    for name in ("1", "2"):
        await catalog.delete_image(name, now=1)
        await store.blobs.delete(digest)
    await staged.settle()
    assert await gone(store, digest)


async def test_deletes_and_uploads_of_the_same_bytes_at_once(
    store: Store, catalog: Catalog, image: Make
) -> None:
    """Whatever the order: with an image the blob is there, without one it is gone."""
    rng = random.Random(7)
    kept = lost = 0
    for lap in range(examples(50)):
        data = content(3000, lap)
        digest = sha(data)
        await stored(store, catalog, image(f"{lap}", digest=digest), data)

        async def pause() -> None:
            for _ in range(rng.randrange(60)):
                await asyncio.sleep(0)

        async def delete(name: str, digest: bytes = digest) -> None:
            await pause()
            await catalog.delete_image(name, now=1)
            await pause()
            await store.blobs.delete(digest)

        async def upload(name: str, ending: str, data: bytes = data, digest: bytes = digest) -> None:
            resumable = rng.random() < 0.5
            staging = store.staging
            staged = await staging.resume(name.replace(".", "-"), 0) if resumable else staging.stage()
            await staged.write(data)
            await pause()
            assert await staged.publish(tell_nobody) == digest
            await pause()
            if ending == "drop":
                await staged.discard()
                return
            await catalog.add_image(image(name, digest=digest))
            removal = asyncio.ensure_future(delete(name)) if ending == "delete" else None
            await pause()
            assert removal or await whole(store, digest) == data
            await staged.settle()
            if removal:
                await removal

        endings = rng.choices(["keep", "delete", "drop"], [1, 4, 2], k=rng.randint(1, 3))
        await asyncio.gather(
            delete(f"{lap}"), *(upload(f"{lap}.{i}", ending) for i, ending in enumerate(endings))
        )
        if await catalog.has_digest(digest):
            kept += 1
            assert await whole(store, digest) == data
        else:
            lost += 1
            assert await gone(store, digest)
    assert min(kept, lost) > 4


def test_buffers_are_given_back_after_the_last_upload() -> None:
    buffers = Buffers(1 << 18, memory=192 * MIB, uploads=100)
    buffers.users = 2

    clients = [Caller(str(number)) for number in range(64)]

    def all_units() -> list[memoryview]:
        return [unit for client in clients if (unit := buffers.take(client)) is not None]

    def give(units: list[memoryview]) -> None:
        for client, unit in zip(clients, units, strict=True):
            buffers.give(client, unit)

    units = all_units()
    assert len(units) == 64
    assert buffers.take(Caller("another")) is None
    for unit in units:
        unit[0] = 1
    give(units)
    del units, unit
    buffers.leave()
    units = all_units()
    assert all(unit[0] for unit in units)
    give(units)
    del units
    buffers.leave()
    units = all_units()
    assert len(units) == 64
    assert sum(unit[0] for unit in units) == BATCH * (OUTSTANDING + 1)  # the others are new
