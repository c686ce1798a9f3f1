"""Blobs in files: how they lie on the disk, what is synced, full and failing disks, and cancellation."""

import asyncio
import hashlib
import os
import random
import resource
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.errors import BlobCorrupt, ImageNotFound, StorageFull, StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord
from conexiones.ports.staging import Staged
from tests.adapters.blobs.contents import MIB, content, everything, fill, gone, tell_nobody, whole
from tests.adapters.blobs.local.disk import open_files, tree, tree_with_checksums
from tests.adapters.stored import stored_blobs
from tests.support.lengths import examples
from tests.support.processes import own_writers

Make = Callable[..., ImageRecord]


async def stored(store: LocalStore, data: bytes) -> bytes:
    staged = store.staging.stage()
    await staged.write(data)
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    return digest


async def test_the_folder_is_private_and_laid_out_as_documented(tmp_path: Path, catalog: Catalog) -> None:
    root = tmp_path / "a" / "files"
    store = LocalStore(root, catalog)
    assert not root.exists(), "construction is without I/O"
    await store.open()
    small, large, other = store.staging.stage(), store.staging.stage(), store.staging.stage()
    await small.write(b"small")
    await small.publish(tell_nobody)
    assert tree(root) == [], "it is in a segment"
    assert {path.name for path in (root / "segments").iterdir()} >= {"00000000", "index.sqlite3"}
    await other.write(bytes(MIB + 1))
    await other.inspect(len)
    (random_name,) = tree(root)
    assert random_name.startswith("incoming/")
    await large.write(bytes(MIB + 1))
    digest = (await large.publish(tell_nobody)).hex()
    blob = f"blobs/{digest[:2]}/{digest}"
    (marker,) = {*tree_with_checksums(root)} - {blob, f"{blob}.crc32c", random_name}
    assert marker.startswith(f"incoming/{digest}.")
    assert (root / blob).samefile(root / marker)
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")] if path.is_dir()} == {0o700}
    await large.settle()
    await small.settle()
    await other.discard()
    assert tree_with_checksums(root) == [blob, f"{blob}.crc32c"]
    assert len([path for path in (root / "blobs").iterdir() if path.is_dir()]) == 256
    await store.close()


async def test_the_same_bytes_are_kept_once(store: LocalStore, tmp_path: Path) -> None:
    digests = await asyncio.gather(*(stored(store, bytes(2 * MIB)) for _ in range(16)))
    assert len(set(digests)) == 1
    assert len(tree(tmp_path / "files")) == 1


async def test_a_blob_whose_deletion_was_cut_goes_with_the_next_start(
    tmp_path: Path, catalog: Catalog, image: Make
) -> None:
    """The row may have been deleted, or not: whoever was cancelled does not know."""
    root = tmp_path / "files"
    for deleted in (True, False):
        store = LocalStore(root, catalog)
        await store.open()
        digest = await stored(store, bytes(MIB + 1))
        await catalog.add_image(image("1", digest=digest))

        async def cut(error: BaseException, deleted: bool) -> None:
            async with store.blobs.removing(digest):  # noqa: B023 (called in this round)
                if deleted:
                    await catalog.delete_image("1", now=1)
                raise error

        with pytest.raises(asyncio.CancelledError):
            await cut(asyncio.CancelledError(), deleted)
        await store.close()
        await store.open()
        assert set(stored_blobs(root)) == (set() if deleted else {digest.hex()})
        assert list((root / "incoming").iterdir()) == []
        with pytest.raises(ImageNotFound):
            await cut(ImageNotFound(field="id"), False)
        assert list((root / "incoming").iterdir()) == []
        await store.close()


async def test_where_it_cannot_be_opened_it_says_so(tmp_path: Path, catalog: SqliteCatalog) -> None:
    (tmp_path / "file").touch()
    for writer in (catalog.writer, None):
        store = LocalStore(tmp_path / "file" / "files", catalog, writer=writer)
        with pytest.raises(StorageUnavailable):
            await store.open()
    assert len(own_writers()) == 1, "the catalog's"


async def test_publish_syncs_the_file_before_its_link_and_the_folder_after(
    tmp_path: Path, catalog: Catalog
) -> None:
    """Only a power cut would show that it does not. So the calls of the store's threads are watched."""
    calls: list[str] = []

    def watch(_frame: object, event: str, function: object) -> None:
        if event == "c_call" and function in (os.fsync, os.link, os.rename):
            calls.append(function.__name__)

    store = LocalStore(tmp_path / "files", catalog, small=0)
    threading.setprofile(watch)
    try:
        await store.open()
        # blobs with its folders, the root, and the folder that has it; the segments' in another process. At
        # last, blobs with the identity.
        assert calls == ["fsync"] * 4
        for size in (10, 2 * MIB):
            for twin in ([], ["link"]):  # a twin takes the place of the bytes that are there
                calls.clear()
                await stored(store, bytes(size))
                assert calls == ["rename", "fsync", "link", *twin, "fsync"]
    finally:
        threading.setprofile(None)
        await store.close()


fragments = st.one_of(
    st.integers(1, 16), st.integers(1, 70_000), st.integers(MIB - 2, MIB + 2), st.integers(1, 4 * MIB)
)


@settings(max_examples=examples(8), deadline=None)
@given(sizes=st.lists(fragments, min_size=1, max_size=6), locals_after=st.sets(st.integers(0, 5)))
def test_fragments_of_any_size_make_the_same_blob(sizes: list[int], locals_after: set[int]) -> None:
    async def check(root: Path) -> None:
        catalog = SqliteCatalog(root / "catalog.db")
        store = LocalStore(root, catalog, writer=catalog.writer)
        await catalog.open()
        await store.open()
        staged = store.staging.stage()
        data = memoryview(random.Random(len(sizes)).randbytes(sum(sizes)))
        for i, size in enumerate(sizes):
            start = staged.size
            await staged.write(bytes(data[start : start + size]))
            if i in locals_after:
                assert await staged.inspect(everything) == data[: staged.size]
        digest = await staged.publish(tell_nobody)
        await staged.settle()
        assert digest == hashlib.sha256(data).digest()
        assert await whole(store, digest) == data
        await store.close()
        await catalog.close()

    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


async def test_memory_stays_bounded_however_big_the_image(store: LocalStore) -> None:
    fragment = random.randbytes(10_000)
    staged = store.staging.stage()
    tracemalloc.start()
    for _ in range(10_000):
        await staged.write(fragment)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await staged.discard()
    assert peak < 5 * MIB, "three batches, and what bytearray reserves to grow"


async def test_a_damaged_blob_is_never_given_whole_and_is_healed_by_an_upload(
    store: LocalStore, tmp_path: Path
) -> None:
    data = random.Random(0).randbytes(2 * MIB + 5)
    digest = await stored(store, data)
    blob = tmp_path / "files" / "blobs" / digest.hex()[:2] / digest.hex()
    for damaged in (data[:-1], data[:MIB], b"", data[:-1] + b"?", data + b"?"):
        blob.write_bytes(damaged)
        given = b""
        if damaged:
            with pytest.raises(BlobCorrupt):  # noqa: PT012 (what was given before counts too)
                async for piece in store.blobs.read(digest):
                    given += piece
        assert len(given) < len(data)
        assert await stored(store, data) == digest
        assert await whole(store, digest) == data
    assert tree(tmp_path / "files") == [str(blob.relative_to(tmp_path / "files"))]


async def test_what_no_crash_of_ours_leaves_is_swept_too(
    tmp_path: Path, catalog: Catalog, image: Make
) -> None:
    root = tmp_path / "files"
    incoming = root / "incoming"
    incoming.mkdir(parents=True)
    unknown, missing = "12" * 32, "34" * 32
    for name in ("x", f"{unknown}.a", f"{unknown}.b", f"{missing}.a", f"{missing[:-1]}.a"):
        (incoming / name).touch()
    (root / "blobs" / "12").mkdir(parents=True)
    (root / "blobs" / "12" / unknown).touch()
    await catalog.add_image(image("1"))  # a catalog with no image at all would be refused beside a blob
    store = LocalStore(root, catalog)
    await store.open()
    assert tree(root) == []
    await store.close()


async def test_without_the_catalogs_word_the_blob_is_left_to_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    store = LocalStore(tmp_path / "files", catalog, writer=catalog.writer, small=0)
    await catalog.open()
    await store.open()
    staged = store.staging.stage()
    await staged.write(b"1")
    digest = await staged.publish(tell_nobody)
    await catalog.close()
    await staged.discard()
    assert "left to the next start" in caplog.text
    assert await whole(store, digest) == b"1"
    await store.close()
    await catalog.open()
    await store.open()
    assert tree(tmp_path / "files") == []
    await store.close()
    await catalog.close()


async def test_cancellation_at_any_moment_leaves_nothing_behind(
    store: LocalStore, tmp_path: Path, catalog: Catalog, image: Make
) -> None:
    """The steps as the domain does them, cut short anywhere. Blobs and catalog agree right afterwards."""
    rng = random.Random(5)
    started: dict[str, bytes] = {}
    clock = asyncio.get_running_loop().time

    async def upload(id: str, size: int) -> None:
        data = random.Random(id).randbytes(size)
        started[id] = hashlib.sha256(data).digest()
        staged = store.staging.stage()
        try:
            for start in range(0, size, 300_000):
                await staged.write(data[start : start + 300_000])
            await staged.inspect(len)
            await catalog.add_image(image(id, digest=await staged.publish(tell_nobody)))
            await staged.settle()
        finally:
            await staged.discard()

    begin = clock()
    await upload("whole", 2 * MIB)
    pace = clock() - begin  # of this machine, as busy as it is
    for lap in range(30):
        sizes = [rng.choice([3000, 200_000, 2 * MIB, 4 * MIB]) for _ in range(4)]
        tasks = [asyncio.ensure_future(upload(f"{lap}.{i}", size)) for i, size in enumerate(sizes)]
        for task in tasks:
            await asyncio.wait({task}, timeout=rng.uniform(0, pace))
            task.cancel()
        await asyncio.wait(tasks)
        assert list((tmp_path / "files" / "incoming").iterdir()) == []
    kept = {digest for name, digest in started.items() if await catalog.get_image(name)}
    assert 0 < len(kept) < len(started), "the moments must be spread over all steps"
    assert set(stored_blobs(tmp_path / "files")) == {digest.hex() for digest in kept}
    for digest in kept:
        assert hashlib.sha256(await whole(store, digest)).digest() == digest
    assert open_files(tmp_path / "files") == []


async def write(staged: Staged, size: int) -> bytes:
    for _ in range(0, size, 50_000):
        await staged.write(random.randbytes(50_000))
    return await staged.publish(tell_nobody)


async def test_a_full_disk_refuses_uploads_and_goes_on_with_space(
    small_disk: Path, fill_disk: Callable[[Path], None], catalog: Catalog
) -> None:
    root = small_disk / "files"
    store = LocalStore(root, catalog, small=0)
    await store.open()
    data = random.Random(0).randbytes(MIB + 1)
    acknowledged = await stored(store, data)
    for _ in range(3):
        uploads = [store.staging.stage() for _ in range(4)]
        outcomes = await asyncio.gather(*(write(u, 5 * MIB) for u in uploads), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, StorageFull)]
        assert len(refused) >= 3
        assert all(isinstance(error.__cause__, OSError) for error in refused)
        with pytest.raises((StorageFull, StorageUnavailable)):
            await uploads[outcomes.index(refused[0])].publish(tell_nobody)
        await asyncio.gather(*(upload.discard() for upload in uploads))
        assert tree(root) == [f"blobs/{acknowledged.hex()[:2]}/{acknowledged.hex()}"]
        assert await whole(store, acknowledged) == data
        fits = store.staging.stage()
        await write(fits, 4 * MIB)
        await fits.discard()
    # And a small one, whose only hop is publish.
    fill_disk(small_disk / "filler")
    small = store.staging.stage()
    await small.write(b"small" * 1000)
    with pytest.raises(StorageFull):
        await small.publish(tell_nobody)
    await small.discard()
    (small_disk / "filler").unlink()
    assert await whole(store, await stored(store, b"small" * 1000)) == b"small" * 1000
    await store.close()


async def test_a_file_over_the_limit_of_the_process_is_a_full_disk(store: LocalStore, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    staged = store.staging.stage()
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB // 2, hard))  # in the middle of a batch
    try:
        with pytest.raises(StorageFull):
            await write(staged, 6 * MIB)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await staged.discard()
    assert tree(tmp_path / "files") == []


async def test_a_folder_that_is_gone_is_unavailable(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "files" / "incoming").rmdir()
    for size in (1, 3 * MIB):
        staged = store.staging.stage()
        with pytest.raises(StorageUnavailable) as error:
            await write(staged, size)
        assert isinstance(error.value.__cause__, OSError)
        await staged.discard()


async def test_a_blob_stays_until_those_are_settled_who_published_it(
    store: LocalStore, catalog: Catalog, image: Make
) -> None:
    staged = await fill(store.staging.stage(), content(70_000))
    digest = await staged.publish(tell_nobody)
    await catalog.add_image(image("1", digest=digest))
    await catalog.delete_image("1", now=1)
    await store.blobs.delete(digest)
    assert await whole(store, digest) == content(70_000)
    await staged.settle()
    assert await gone(store, digest)
