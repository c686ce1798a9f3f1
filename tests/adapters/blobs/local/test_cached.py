"""Small blobs that were read of late are in memory, for as long as they are stored."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.system.memory_cache import LARGEST, MemoryCache
from conexiones.errors import BlobCorrupt
from conexiones.metrics import Metrics
from tests.adapters.blobs.contents import content, fill, tell_nobody, whole
from tests.support.figures import figures


@pytest.fixture
async def store(tmp_path: Path, catalog: SqliteCatalog) -> AsyncIterator[LocalStore]:
    store = LocalStore(tmp_path / "files", catalog, writer=catalog.writer, cache=MemoryCache(1 << 20))
    await store.open()
    yield store
    await store.close()


async def stored(store: LocalStore, data: bytes) -> bytes:
    staged = await fill(store.staging.stage(), data)
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    return digest


@pytest.mark.parametrize("size", [1, LARGEST, LARGEST + 1])
async def test_a_small_blob_is_in_memory_once_it_was_read(store: LocalStore, size: int) -> None:
    data = content(size)
    digest = await stored(store, data)
    assert store.blobs.cached(digest) is None
    for _ in range(2):
        assert await whole(store, digest) == data
        assert await whole(store, digest, size - 1) == data[-1:]
        assert store.blobs.cached(digest) == (data if size <= LARGEST else None)
    with pytest.raises(BlobCorrupt):
        await whole(store, digest, size + 1)


async def test_a_miss_is_counted_once_by_those_who_look_before_they_read(
    tmp_path: Path, catalog: SqliteCatalog
) -> None:
    metrics = Metrics()
    cache: MemoryCache[bytes] = MemoryCache(1 << 20, metrics=metrics)
    store = LocalStore(tmp_path / "files", catalog, writer=catalog.writer, cache=cache)
    await store.open()
    digest = await stored(store, content(1000))
    for _ in range(3):
        if store.blobs.cached(digest) is None:
            await whole(store, digest)
    await store.close()
    assert figures(metrics, "conexiones.cache.lookups") == {("memory", "hit"): 2, ("memory", "miss"): 1}


async def test_a_blob_that_is_deleted_does_not_stay_in_memory(store: LocalStore) -> None:
    for number in range(20):
        digest = await stored(store, content(1000 + number))
        reading = [asyncio.create_task(whole(store, digest)) for _ in range(4)]
        if number % 2:
            await whole(store, digest)
        await store.blobs.delete(digest)
        await asyncio.gather(*reading, return_exceptions=True)
        assert store.blobs.cached(digest) is None
        with pytest.raises(BlobCorrupt):
            await whole(store, digest)


async def test_damaged_bytes_are_never_in_memory(store: LocalStore, tmp_path: Path) -> None:
    data = content(5000)
    digest = await stored(store, data)
    segment = next(path for path in (tmp_path / "files" / "segments").iterdir() if not path.suffix)
    with segment.open("r+b") as file:
        file.seek(segment.read_bytes().index(data) + 7)
        file.write(bytes([data[7] ^ 1]))
    with pytest.raises(BlobCorrupt):
        await whole(store, digest)
    assert store.blobs.cached(digest) is None
