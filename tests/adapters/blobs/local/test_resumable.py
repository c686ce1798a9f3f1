"""Resumable uploads: how they lie on the disk, what is synced, and full and failing disks."""

import errno
import hashlib
import os
import random
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.errors import StorageFull, StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.blobs.contents import MIB, counted, everything, tell_nobody, whole
from tests.adapters.blobs.local.disk import open_files, tree, tree_with_checksums

Make = Callable[..., ImageRecord]


async def test_a_resumable_upload_is_laid_out_as_documented(
    tmp_path: Path, catalog: Catalog, upload: Callable[..., UploadRecord]
) -> None:
    root = tmp_path / "files"
    await catalog.create_upload(upload("a"))
    left = ("a", "a.copy", "b", "b.copy", "b.crc32c", "a.crc32c.new", "not a name")
    for name in left:
        (root / "uploads").mkdir(parents=True, exist_ok=True)
        (root / "uploads" / name).write_bytes(b"123")
    store = LocalStore(root, catalog, small=0)
    await store.open()
    assert tree_with_checksums(root) == ["uploads/a"]
    staged = await store.staging.resume("a", 3)
    digest = (await staged.publish(tell_nobody)).hex()
    blob, marker, *_ = names = tree_with_checksums(root)
    assert names == [f"blobs/{digest[:2]}/{digest}", marker, "uploads/a", "uploads/a.crc32c"]
    assert marker.startswith(f"incoming/{digest}.")
    assert (root / blob).samefile(root / "uploads/a")
    assert (root / marker).samefile(root / "uploads/a")
    await staged.settle()
    assert tree_with_checksums(root) == [blob]
    new = await store.staging.resume("new", 0)
    for name in ("new", "new.crc32c"):
        assert (root / "uploads" / name).stat().st_mode & 0o777 == 0o600
    await new.discard()
    assert tree_with_checksums(root) == [blob]
    assert open_files(root) == []
    await store.close()


async def test_a_commit_syncs_the_name_and_the_bytes(tmp_path: Path, catalog: Catalog) -> None:
    """Only a power cut would show that it does not. So the calls of the store's threads are watched."""
    calls: list[str] = []
    watched = (os.pwritev, os.fsync, os.fdatasync, os.link, os.rename, os.replace)

    def watch(_frame: object, event: str, function: object) -> None:
        if event == "c_call" and function in watched:
            calls.append(function.__name__)

    store = LocalStore(tmp_path / "files", catalog, small=0)
    threading.setprofile(watch)
    try:
        await store.open()
        calls.clear()
        staged = await store.staging.resume("a", 0)
        assert calls == ["pwritev", "fsync"]  # the head of the checksums, and the folder
        for _ in range(2):
            calls.clear()
            await staged.write(b"1")
            await staged.commit(counted)
            await staged.commit(counted)
            assert calls == ["pwritev", "pwritev", "fdatasync"]  # bytes, checksums (at once durable), bytes
        twin = store.staging.stage()  # keeps the blob, so that the file has two names
        await twin.write(b"11")
        await twin.publish(tell_nobody)
        calls.clear()
        await staged.publish(tell_nobody)
        # The marker and its folder, the bytes, the blob in place of the twin's, and its folder.
        assert calls == ["link", "fsync", "fsync", "link", "link", "replace", "fsync"]
        await staged.release()
        calls.clear()
        staged = await store.staging.resume("a", 2)
        assert calls == ["fsync", "replace", "fsync"]  # a copy, its name, the folder
        calls.clear()
        await staged.release()
        await twin.discard()
        staged = await store.staging.resume("a", 2)
        assert calls == ["fsync"]  # the folder of the blob that is gone: no copy any more
        await staged.discard()
    finally:
        threading.setprofile(None)
        await store.close()


@pytest.mark.parametrize("failing", ["fdatasync", "pwritev"])
async def test_after_a_sync_or_a_write_that_failed_nothing_is_acknowledged(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    staged = await store.staging.resume("a", 0)
    await staged.write(b"123")
    assert await staged.commit(counted) == 3

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        await staged.write(b"456")
        with pytest.raises(StorageUnavailable):
            await staged.commit(counted)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await staged.commit(counted)
    with pytest.raises(StorageUnavailable):
        await staged.publish(tell_nobody)
    await staged.release()
    staged = await store.staging.resume("a", 3)
    await staged.write(b"456")
    assert await staged.commit(counted) == 6
    assert await staged.inspect(everything) == b"123456"
    await staged.discard()


async def test_a_copy_that_fails_leaves_the_upload_as_it_was(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = await store.staging.resume("a", 0)
    await staged.write(b"123")
    await staged.commit(counted)
    twin = store.staging.stage()
    await twin.write(b"123")
    digest = await twin.publish(tell_nobody)
    await staged.publish(tell_nobody)
    await staged.release()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, "sendfile", fail)
        with pytest.raises(StorageFull):
            await store.staging.resume("a", 3)
    assert await whole(store, digest) == b"123"
    staged = await store.staging.resume("a", 3)
    assert await staged.inspect(everything) == b"123"
    await staged.discard()
    await twin.discard()
    assert tree(tmp_path / "files") == []
    assert open_files(tmp_path / "files") == []


async def test_a_full_disk_keeps_what_a_resumable_upload_has_committed(
    small_disk: Path, fill_disk: Callable[[Path], None], catalog: Catalog
) -> None:
    store = LocalStore(small_disk / "files", catalog)
    await store.open()
    data = random.Random(0).randbytes(3 * MIB)
    staged = await store.staging.resume("a", 0)
    await staged.write(data[:MIB])
    assert await staged.commit(counted) == MIB
    fill_disk(small_disk / "filler")
    await staged.write(data[MIB : 2 * MIB - 1])  # less than a batch: it fails in commit
    for error in (StorageFull, (StorageFull, StorageUnavailable)):
        with pytest.raises(error):
            await staged.commit(counted)
    await staged.release()
    (small_disk / "filler").unlink()
    staged = await store.staging.resume("a", MIB)
    await staged.write(data[MIB:])
    assert await staged.commit(counted) == 3 * MIB
    assert await staged.publish(tell_nobody) == hashlib.sha256(data).digest()
    await staged.settle()
    await store.close()


async def test_memory_stays_bounded_when_a_big_upload_is_finished(store: LocalStore) -> None:
    staged = await store.staging.resume("a", 0)
    for _ in range(100):
        await staged.write(bytes(MIB))
    await staged.commit(counted)
    await staged.release()
    staged = await store.staging.resume("a", 100 * MIB)
    tracemalloc.start()
    await staged.publish(tell_nobody)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await staged.discard()
    assert peak < 4 * MIB
