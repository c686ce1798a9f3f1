"""What every store of blobs promises: a Staging, in which blobs are made, and a Blobs, which has them."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from conexiones.adapters.blobs.local.blobs import PIECE
from conexiones.errors import BlobCorrupt, NotAnImage, StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord
from conexiones.ports.staging import Content, Staged
from tests.adapters.blobs.contents import (
    MIB,
    Store,
    content,
    everything,
    fill,
    gone,
    sha,
    stored,
    tell_nobody,
    whole,
)

Make = Callable[..., ImageRecord]
SIZES = [1, 2, 70_000, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 17]


@pytest.mark.parametrize("size", SIZES)
async def test_bytes_come_back_as_they_were(store: Store, size: int) -> None:
    data = content(size)
    staged = await fill(store.staging.stage(), data)
    assert staged.size == size
    digest = await staged.publish(tell_nobody)
    assert digest == hashlib.sha256(data).digest()
    await staged.settle()
    for offset in {0, 1, size // 2, size - 1, size}:
        assert await whole(store, digest, offset) == data[offset:]
    async with store.blobs.local(digest) as path:
        assert path.read_bytes() == data


@pytest.mark.parametrize("size", SIZES)
async def test_blobs_are_inspected(store: Store, size: int) -> None:
    data = content(size)
    staged = await fill(store.staging.stage(), data)
    digest = await staged.publish(tell_nobody)
    await staged.settle()

    def judge(found: Content) -> tuple[int, int, bytes]:
        return len(found), found[size // 2], found[:]

    assert await store.blobs.inspect(digest, judge) == (size, data[size // 2], data)

    def refuse(found: Content) -> None:
        raise NotAnImage

    with pytest.raises(NotAnImage):
        await store.blobs.inspect(digest, refuse)
    with pytest.raises(BlobCorrupt):
        await store.blobs.inspect(bytes(32), judge)


async def test_what_was_read_ahead_is_what_was_stored(store: Store, catalog: Catalog, image: Make) -> None:
    datas = [content(size, seed) for seed, size in enumerate((3000, 4000, 5000, 70_000, 2 * MIB))]
    images = [image(f"{number}", digest=sha(data)) for number, data in enumerate(datas)]
    await asyncio.gather(*(stored(store, catalog, *one) for one in zip(images, datas, strict=True)))
    await store.blobs.read_ahead([*map(sha, datas), sha(b"nobody has it")])
    for data in datas:
        async with store.blobs.local(sha(data)) as path:
            assert path.read_bytes() == data
        assert await store.blobs.inspect(sha(data), everything) == data
    with pytest.raises(BlobCorrupt):
        async with store.blobs.local(sha(b"nobody has it")):
            pass


async def test_one_fragment_may_be_any_size(store: Store) -> None:
    data = content(20 * MIB)
    staged = store.staging.stage()
    await staged.write(b"")
    await staged.write(data)
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    assert digest == hashlib.sha256(data).digest()
    assert await whole(store, digest) == data


async def test_what_is_not_there_is_corrupt(store: Store) -> None:
    with pytest.raises(BlobCorrupt):
        await whole(store, bytes(32))
    with pytest.raises(BlobCorrupt):
        async with store.blobs.local(bytes(32)):
            pass
    staged = await fill(store.staging.stage(), b"123")
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    with pytest.raises(BlobCorrupt):
        await whole(store, digest, 4)


async def test_a_reader_may_leave_early(store: Store) -> None:
    staged = await fill(store.staging.stage(), content(3 * MIB))
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    reader: Any = store.blobs.read(digest)  # a generator, which can be closed
    assert await anext(reader) == content(3 * MIB)[:PIECE]
    await reader.aclose()


async def test_nothing_is_visible_before_publish(store: Store) -> None:
    data = content(2 * MIB)
    staged = await fill(store.staging.stage(), data)
    assert await gone(store, hashlib.sha256(data).digest())
    await staged.inspect(len)
    assert await gone(store, hashlib.sha256(data).digest())
    await staged.discard()


async def test_an_empty_blob_is_refused(store: Store) -> None:
    staged = store.staging.stage()
    await staged.write(b"")
    with pytest.raises(ValueError, match="empty"):
        await staged.publish(tell_nobody)
    await staged.discard()


@pytest.mark.parametrize("size", [1, 70_000, MIB, 3 * MIB + 5])
async def test_inspect_shows_what_was_written_and_more_may_follow(store: Store, size: int) -> None:
    staged = await fill(store.staging.stage(), content(size))
    assert await staged.inspect(everything) == content(size)
    await fill(staged, content(size, "more"))
    assert await staged.inspect(everything) == content(size) + content(size, "more")
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    assert await whole(store, digest) == content(size) + content(size, "more")


async def test_what_the_judge_raises_comes_out_of_inspect(store: Store) -> None:
    def judge(content: Content) -> None:
        raise NotAnImage

    staged = await fill(store.staging.stage(), content(MIB))
    with pytest.raises(NotAnImage):
        await staged.inspect(judge)
    await staged.discard()


async def test_discard_is_safe_at_any_time_and_twice(store: Store) -> None:
    for size in (0, 10, 3 * MIB):
        staged = await fill(store.staging.stage(), content(size))
        await staged.discard()
        await staged.discard()
    staged = await fill(store.staging.stage(), content(10))
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    await staged.discard()
    assert await whole(store, digest) == content(10)


@pytest.mark.parametrize("size", [10, 3 * MIB])
async def test_discard_after_publish_removes_what_the_catalog_does_not_have(
    store: Store, catalog: Catalog, image: Make, size: int
) -> None:
    staged = await fill(store.staging.stage(), content(size))
    digest = await staged.publish(tell_nobody)
    await staged.discard()
    assert await gone(store, digest)

    staged = await fill(store.staging.stage(), content(size))
    await catalog.add_image(image("1", digest=await staged.publish(tell_nobody)))
    await staged.discard()  # as when the caller is cancelled between the two
    assert await whole(store, digest) == content(size)


@pytest.mark.parametrize("order", ["settle discard", "discard settle", "both at once", "discard last"])
async def test_a_discarded_twin_takes_nothing_away(
    store: Store, catalog: Catalog, image: Make, order: str
) -> None:
    kept, dropped = [await fill(store.staging.stage(), content(70_000)) for _ in range(2)]
    digest = await kept.publish(tell_nobody)
    if order != "discard last":
        assert await dropped.publish(tell_nobody) == digest
    if order == "discard settle":
        await dropped.discard()
    await catalog.add_image(image("1", digest=digest))
    if order == "both at once":
        await asyncio.gather(kept.settle(), dropped.discard())
    await kept.settle() if order in ("settle discard", "discard settle", "discard last") else None
    if order == "discard last":
        assert await dropped.publish(tell_nobody) == digest
    await dropped.discard()
    assert await whole(store, digest) == content(70_000)


async def test_the_last_of_many_twins_to_be_discarded_takes_the_blob(store: Store) -> None:
    twins = [await fill(store.staging.stage(), content(70_000)) for _ in range(12)]
    digests = set(await asyncio.gather(*(twin.publish(tell_nobody) for twin in twins)))
    assert len(digests) == 1
    await asyncio.gather(*(twin.discard() for twin in twins))
    assert await gone(store, digests.pop())


async def test_twins_that_come_and_go_at_once_lose_nothing(
    store: Store, catalog: Catalog, image: Make
) -> None:
    """Some twins are discarded while others publish, are added and settle: an added one must stay."""
    rng = random.Random(1)
    for lap in range(40):
        data = content(5000, lap)
        added: list[bytes] = []

        async def upload(
            i: int, keep: bool, pause: int, lap: int = lap, data: bytes = data, added: list[bytes] = added
        ) -> None:
            staged = await fill(store.staging.stage(), data)
            for _ in range(pause):
                await asyncio.sleep(0)
            digest = await staged.publish(tell_nobody)
            if keep:
                await catalog.add_image(image(f"{lap}.{i}", digest=digest))
                added.append(digest)
                await staged.settle()
            await staged.discard()

        await asyncio.gather(*(upload(i, rng.random() < 0.2, rng.randrange(200)) for i in range(6)))
        if added:
            assert await whole(store, added[0]) == data
        else:
            assert await gone(store, hashlib.sha256(data).digest())


async def test_64_uploads_at_once(store: Store, catalog: Catalog, image: Make) -> None:
    async def upload(i: int) -> None:
        data = content(1 + i * 12_000, i % 50)
        staged = await fill(store.staging.stage(), data, fragment=30_000)
        digest = await staged.publish(tell_nobody)
        await catalog.add_image(image(f"{i}", digest=digest))
        await staged.settle()
        assert await whole(store, digest) == data

    await asyncio.gather(*(upload(i) for i in range(64)))


async def test_a_restart_keeps_what_the_catalog_has_and_no_more(
    new_store: Callable[[], Store], catalog: Catalog, image: Make
) -> None:
    async def publish(data: bytes) -> tuple[Staged, bytes]:
        staged = await fill(store.staging.stage(), data)
        return staged, await staged.publish(tell_nobody)

    store = new_store()
    await store.open()
    settled, digest = await publish(b"settled")
    await catalog.add_image(image("1", digest=digest))
    await settled.settle()
    await publish(b"settled")  # a twin that a crash cuts short
    _, added = await publish(b"added, but not settled")
    await catalog.add_image(image("2", digest=added))
    _, orphan = await publish(b"never added")
    await (await fill(store.staging.stage(), content(2 * MIB))).inspect(len)
    await store.close()
    for _ in range(2):
        store = new_store()
        await store.open()
        assert await whole(store, digest) == b"settled"
        assert await whole(store, added) == b"added, but not settled"
        assert await gone(store, orphan)
        await store.close()


async def test_a_closed_store_is_unavailable(new_store: Callable[[], Store], catalog: Catalog) -> None:
    store = new_store()
    staged = store.staging.stage()
    with pytest.raises(StorageUnavailable):
        await (await fill(staged, b"1")).publish(tell_nobody)
    await store.open()
    staged = await fill(store.staging.stage(), b"1")
    await store.close()
    await store.close()
    with pytest.raises(StorageUnavailable):
        await staged.publish(tell_nobody)
    await staged.discard()
    with pytest.raises(StorageUnavailable):
        await whole(store, bytes(32))


async def test_a_cancelled_write_is_never_published_with_a_hole(store: Store) -> None:
    data = content(8 * MIB)
    holes = 0
    for turns in range(40):
        staged = store.staging.stage()
        writing = asyncio.ensure_future(staged.write(data))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait((writing,))
        if staged.size:
            try:
                assert await staged.publish(tell_nobody) == hashlib.sha256(data).digest()
            except StorageUnavailable:
                holes += 1
        await staged.discard()
    assert holes


async def test_a_crash_after_the_catalog_has_deleted_leaves_no_blob(
    new_store: Callable[[], Store], catalog: Catalog, image: Make
) -> None:
    store = new_store()
    await store.open()
    staged = await fill(store.staging.stage(), b"content")
    digest = await staged.publish(tell_nobody)
    for name in ("1", "2"):
        await catalog.add_image(image(name, digest=digest))
    await staged.settle()
    for name, kept in (("1", True), ("2", False)):
        removing = store.blobs.removing(digest)
        await removing.__aenter__()
        await catalog.delete_image(name, now=1)
        await store.close()  # and the rest never happens
        store = new_store()
        await store.open()
        assert await gone(store, digest) is not kept
        with pytest.raises(StorageUnavailable):
            await removing.__aexit__(None, None, None)
    await store.close()


async def test_check_reads_all_bytes_and_notices_what_is_not_there(
    store: Store, catalog: Catalog, image: Make
) -> None:
    for size in (1, 3000, 2 * MIB + 5):
        data = content(size)
        digest = await stored(store, catalog, image(f"{size}", digest=sha(data)), data)
        counts = [count async for count in store.blobs.check(digest)]
        assert sum(counts) == size
        assert all(0 < count <= MIB for count in counts)
    with pytest.raises(BlobCorrupt):
        _ = [count async for count in store.blobs.check(sha(b"nobody has it"))]
