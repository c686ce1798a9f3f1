"""Blobs in files: the folder, full and failing disks, and cancellation."""

import asyncio
import errno
import hashlib
import os
import random
import resource
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conexiones.adapters.blobs.local.staged import FileStaged
from conexiones.adapters.blobs.local.store import FileBlobs
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.errors import BlobCorrupt, StorageFull, StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.stored import Foreign, everything, stored_blobs
from tests.support.processes import writers

Make = Callable[..., ImageRecord]
MIB = 1 << 20


@pytest.fixture
async def files(tmp_path: Path, catalog: Catalog) -> AsyncIterator[FileBlobs]:
    """Every blob is a file here; of segments see test_segments.py."""
    files = FileBlobs(tmp_path / "files", small=0)
    await files.open(catalog)
    yield files
    await files.close()


def tree(root: Path) -> list[str]:
    """The files but for the segments."""
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] != "segments")


def open_files(root: Path) -> list[str]:
    """The files below root that this process has open, but for the segments."""
    targets = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
    ours = [target for target in targets if target.startswith(str(root))]
    return [target for target in ours if not target.startswith(str(root / "segments"))]


async def whole(files: FileBlobs, digest: bytes) -> bytes:
    return b"".join([piece async for piece in files.read(digest)])


async def stored(files: FileBlobs, data: bytes) -> bytes:
    staged = files.stage()
    await staged.write(data)
    digest = await staged.publish()
    await staged.settle()
    return digest


async def test_the_folder_is_private_and_laid_out_as_documented(tmp_path: Path, catalog: Catalog) -> None:
    root = tmp_path / "a" / "files"
    files = FileBlobs(root)
    assert not root.exists(), "construction is without I/O"
    await files.open(catalog)
    small, large, other = files.stage(), files.stage(), files.stage()
    await small.write(b"small")
    await small.publish()
    assert tree(root) == [], "it is in a segment"
    assert {path.name for path in (root / "segments").iterdir()} >= {"00000000", "index.sqlite3"}
    await other.write(bytes(MIB + 1))
    await other.inspect(len)
    (random_name,) = tree(root)
    assert random_name.startswith("incoming/")
    await large.write(bytes(MIB))
    digest = (await large.publish()).hex()
    blob = f"blobs/{digest[:2]}/{digest}"
    (marker,) = {*tree(root)} - {blob, random_name}
    assert marker.startswith(f"incoming/{digest}.")
    assert (root / blob).samefile(root / marker)
    assert {path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in [root, *root.rglob("*")] if path.is_dir()} == {0o700}
    await large.settle()
    await small.settle()
    await other.discard()
    assert tree(root) == [blob]
    assert len(list((root / "blobs").iterdir())) == 256
    await files.close()


async def test_the_same_bytes_are_kept_once(files: FileBlobs, tmp_path: Path) -> None:
    digests = await asyncio.gather(*(stored(files, bytes(2 * MIB)) for _ in range(16)))
    assert len(set(digests)) == 1
    assert len(tree(tmp_path / "files")) == 1


async def test_where_it_cannot_be_opened_it_says_so(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "file").touch()
    for catalog_or_another in (catalog, Foreign(catalog)):
        files = FileBlobs(tmp_path / "file" / "files")
        with pytest.raises(StorageUnavailable):
            await files.open(catalog_or_another)
    assert len(writers(os.getpid())) == 1, "the catalog's"


async def test_publish_syncs_the_file_before_its_link_and_the_folder_after(
    tmp_path: Path, catalog: Catalog
) -> None:
    """Only a power cut would show that it does not: so the calls of the store's threads are watched."""
    calls: list[str] = []

    def watch(_frame: object, event: str, function: object) -> None:
        if event == "c_call" and function in (os.fsync, os.link, os.rename):
            calls.append(function.__name__)

    files = FileBlobs(tmp_path / "files", small=0)
    threading.setprofile(watch)
    try:
        await files.open(catalog)
        # blobs with its folders, the root, and the folder that has it; the segments' in another process.
        assert calls == ["fsync"] * 3
        for size in (10, 2 * MIB):
            for twin in ([], ["fsync"]):  # of a twin the bytes that are there are synced once more
                calls.clear()
                await stored(files, bytes(size))
                assert calls == ["rename", "fsync", "link", *twin, "fsync"]
    finally:
        threading.setprofile(None)
        await files.close()


fragments = st.one_of(
    st.integers(1, 16), st.integers(1, 70_000), st.integers(MIB - 2, MIB + 2), st.integers(1, 4 * MIB)
)


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(fragments, min_size=1, max_size=6), locals_after=st.sets(st.integers(0, 5)))
def test_fragments_of_any_size_make_the_same_blob(sizes: list[int], locals_after: set[int]) -> None:
    async def check(root: Path) -> None:
        catalog, files = SqliteCatalog(root / "catalog.db"), FileBlobs(root)
        await catalog.open()
        await files.open(catalog)
        staged = files.stage()
        data = memoryview(random.Random(len(sizes)).randbytes(sum(sizes)))
        for i, size in enumerate(sizes):
            start = staged.size
            await staged.write(bytes(data[start : start + size]))
            if i in locals_after:
                assert await staged.inspect(everything) == data[: staged.size]
        digest = await staged.publish()
        await staged.settle()
        assert digest == hashlib.sha256(data).digest()
        assert await whole(files, digest) == data
        await files.close()
        await catalog.close()

    with TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


async def test_memory_stays_bounded_however_big_the_image(files: FileBlobs) -> None:
    fragment = random.randbytes(10_000)
    staged = files.stage()
    tracemalloc.start()
    for _ in range(10_000):
        await staged.write(fragment)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await staged.discard()
    assert peak < 5 * MIB, "three batches, and what bytearray reserves to grow"


async def test_a_damaged_blob_is_never_given_whole_and_is_healed_by_an_upload(
    files: FileBlobs, tmp_path: Path
) -> None:
    data = random.Random(0).randbytes(2 * MIB + 5)
    digest = await stored(files, data)
    blob = tmp_path / "files" / "blobs" / digest.hex()[:2] / digest.hex()
    for damaged in (data[:-1], data[:MIB], b"", data[:-1] + b"?", data + b"?"):
        blob.write_bytes(damaged)
        given = b""
        if damaged:
            with pytest.raises(BlobCorrupt):  # noqa: PT012 (what was given before counts too)
                async for piece in files.read(digest):
                    given += piece
        assert len(given) < len(data)
        if len(damaged) != len(data):
            assert await stored(files, data) == digest
            assert await whole(files, digest) == data
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
    files = FileBlobs(root)
    await files.open(catalog)
    assert tree(root) == []
    await files.close()


async def test_without_the_catalogs_word_the_blob_is_left_to_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog, files = SqliteCatalog(tmp_path / "catalog.db"), FileBlobs(tmp_path / "files", small=0)
    await catalog.open()
    await files.open(catalog)
    staged = files.stage()
    await staged.write(b"1")
    digest = await staged.publish()
    await catalog.close()
    await staged.discard()
    assert "left to the next start" in caplog.text
    assert await whole(files, digest) == b"1"
    await files.close()
    await catalog.open()
    await files.open(catalog)
    assert tree(tmp_path / "files") == []
    await files.close()
    await catalog.close()


async def test_cancellation_at_any_moment_leaves_nothing_behind(
    files: FileBlobs, tmp_path: Path, catalog: Catalog, image: Make
) -> None:
    """The three steps as the domain does them, cut short anywhere: blobs and catalog agree at once."""
    rng = random.Random(5)
    started: dict[str, bytes] = {}

    async def upload(id: str, size: int) -> None:
        data = random.Random(id).randbytes(size)
        started[id] = hashlib.sha256(data).digest()
        staged = files.stage()
        try:
            for start in range(0, size, 300_000):
                await staged.write(data[start : start + 300_000])
            await staged.inspect(len)
            await catalog.add_image(image(id, digest=await staged.publish()))
            await staged.settle()
        finally:
            await staged.discard()

    for lap in range(30):
        sizes = [rng.choice([3000, 200_000, 2 * MIB, 4 * MIB]) for _ in range(4)]
        tasks = [asyncio.ensure_future(upload(f"{lap}.{i}", size)) for i, size in enumerate(sizes)]
        for task in tasks:
            await asyncio.wait({task}, timeout=rng.uniform(0, 0.01))
            task.cancel()
        await asyncio.wait(tasks)
        assert list((tmp_path / "files" / "incoming").iterdir()) == []
    kept = {digest for name, digest in started.items() if await catalog.get_image(name)}
    assert 0 < len(kept) < len(started), "the moments must be spread over all steps"
    assert set(stored_blobs(tmp_path / "files")) == {digest.hex() for digest in kept}
    for digest in kept:
        assert hashlib.sha256(await whole(files, digest)).digest() == digest
    assert open_files(tmp_path / "files") == []


async def write(staged: FileStaged, size: int) -> bytes:
    for _ in range(0, size, 50_000):
        await staged.write(random.randbytes(50_000))
    return await staged.publish()


async def test_a_full_disk_refuses_uploads_and_goes_on_with_space(
    small_disk: Path, fill_disk: Callable[[Path], None], catalog: Catalog
) -> None:
    root = small_disk / "files"
    files = FileBlobs(root, small=0)
    await files.open(catalog)
    data = random.Random(0).randbytes(MIB + 1)
    acknowledged = await stored(files, data)
    for _ in range(3):
        uploads = [files.stage() for _ in range(4)]
        outcomes = await asyncio.gather(*(write(u, 5 * MIB) for u in uploads), return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, StorageFull)]
        assert len(refused) >= 3
        assert all(isinstance(error.__cause__, OSError) for error in refused)
        with pytest.raises((StorageFull, StorageUnavailable)):
            await uploads[outcomes.index(refused[0])].publish()
        await asyncio.gather(*(upload.discard() for upload in uploads))
        assert tree(root) == [f"blobs/{acknowledged.hex()[:2]}/{acknowledged.hex()}"]
        assert await whole(files, acknowledged) == data
        fits = files.stage()
        await write(fits, 4 * MIB)
        await fits.discard()
    # And a small one, whose only hop is publish.
    fill_disk(small_disk / "filler")
    small = files.stage()
    await small.write(b"small" * 1000)
    with pytest.raises(StorageFull):
        await small.publish()
    await small.discard()
    (small_disk / "filler").unlink()
    assert await whole(files, await stored(files, b"small" * 1000)) == b"small" * 1000
    await files.close()


async def test_a_file_over_the_limit_of_the_process_is_a_full_disk(files: FileBlobs, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    staged = files.stage()
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB // 2, hard))  # in the middle of a batch
    try:
        with pytest.raises(StorageFull):
            await write(staged, 6 * MIB)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await staged.discard()
    assert tree(tmp_path / "files") == []


async def test_a_folder_that_is_gone_is_unavailable(files: FileBlobs, tmp_path: Path) -> None:
    (tmp_path / "files" / "incoming").rmdir()
    for size in (1, 3 * MIB):
        staged = files.stage()
        with pytest.raises(StorageUnavailable) as error:
            await write(staged, size)
        assert isinstance(error.value.__cause__, OSError)
        await staged.discard()


async def test_a_named_upload_is_laid_out_as_documented(
    tmp_path: Path, catalog: Catalog, upload: Callable[..., UploadRecord]
) -> None:
    root = tmp_path / "files"
    await catalog.create_upload(upload("a"))
    for name in ("a", "a.copy", "b", "b.copy", "not a name"):
        (root / "uploads").mkdir(parents=True, exist_ok=True)
        (root / "uploads" / name).write_bytes(b"123")
    files = FileBlobs(root, small=0)
    await files.open(catalog)
    assert tree(root) == ["uploads/a"]
    staged = await files.resume("a", 3)
    digest = (await staged.publish()).hex()
    blob, marker, _ = names = tree(root)
    assert names == [f"blobs/{digest[:2]}/{digest}", marker, "uploads/a"]
    assert marker.startswith(f"incoming/{digest}.")
    assert (root / blob).samefile(root / "uploads/a")
    assert (root / marker).samefile(root / "uploads/a")
    await staged.settle()
    assert tree(root) == [blob]
    new = await files.resume("new", 0)
    assert (root / "uploads" / "new").stat().st_mode & 0o777 == 0o600
    await new.discard()
    assert tree(root) == [blob]
    assert open_files(root) == []
    await files.close()


async def test_a_commit_syncs_the_name_and_the_bytes(tmp_path: Path, catalog: Catalog) -> None:
    """Only a power cut would show that it does not: so the calls of the store's threads are watched."""
    calls: list[str] = []
    watched = (os.pwritev, os.fsync, os.fdatasync, os.link, os.rename, os.replace)

    def watch(_frame: object, event: str, function: object) -> None:
        if event == "c_call" and function in watched:
            calls.append(function.__name__)

    files = FileBlobs(tmp_path / "files", small=0)
    threading.setprofile(watch)
    try:
        await files.open(catalog)
        calls.clear()
        staged = await files.resume("a", 0)
        assert calls == ["fsync"]  # the folder
        for _ in range(2):
            calls.clear()
            await staged.write(b"1")
            await staged.commit()
            await staged.commit()
            assert calls == ["pwritev", "fdatasync"]
        calls.clear()
        await staged.publish()
        # The marker and its folder, the bytes, the blob and its folder.
        assert calls == ["link", "fsync", "fsync", "link", "fsync"]
        twin = files.stage()  # keeps the blob, so that the file has two names
        await twin.write(b"11")
        await twin.publish()
        await staged.release()
        calls.clear()
        staged = await files.resume("a", 2)
        assert calls == ["fsync", "replace", "fsync"]  # a copy, its name, the folder
        calls.clear()
        await staged.release()
        await twin.discard()
        staged = await files.resume("a", 2)
        assert calls == ["fsync"]  # the folder of the blob that is gone: no copy any more
        await staged.discard()
    finally:
        threading.setprofile(None)
        await files.close()


@pytest.mark.parametrize("failing", ["fdatasync", "pwritev"])
async def test_after_a_sync_or_a_write_that_failed_nothing_is_acknowledged(
    files: FileBlobs, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    staged = await files.resume("a", 0)
    await staged.write(b"123")
    assert await staged.commit() == 3

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        await staged.write(b"456")
        with pytest.raises(StorageUnavailable):
            await staged.commit()
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await staged.commit()
    with pytest.raises(StorageUnavailable):
        await staged.publish()
    await staged.release()
    staged = await files.resume("a", 3)
    await staged.write(b"456")
    assert await staged.commit() == 6
    assert await staged.inspect(everything) == b"123456"
    await staged.discard()


async def test_a_copy_that_fails_leaves_the_upload_as_it_was(
    files: FileBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = await files.resume("a", 0)
    await staged.write(b"123")
    twin = files.stage()
    await twin.write(b"123")
    await staged.publish()
    digest = await twin.publish()
    await staged.release()

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, "sendfile", fail)
        with pytest.raises(StorageFull):
            await files.resume("a", 3)
    assert await whole(files, digest) == b"123"
    staged = await files.resume("a", 3)
    assert await staged.inspect(everything) == b"123"
    await staged.discard()
    await twin.discard()
    assert tree(tmp_path / "files") == []
    assert open_files(tmp_path / "files") == []


async def test_a_full_disk_keeps_what_a_named_upload_has_committed(
    small_disk: Path, fill_disk: Callable[[Path], None], catalog: Catalog
) -> None:
    files = FileBlobs(small_disk / "files")
    await files.open(catalog)
    data = random.Random(0).randbytes(3 * MIB)
    staged = await files.resume("a", 0)
    await staged.write(data[:MIB])
    assert await staged.commit() == MIB
    fill_disk(small_disk / "filler")
    await staged.write(data[MIB : 2 * MIB - 1])  # less than a batch: it fails in commit
    for error in (StorageFull, (StorageFull, StorageUnavailable)):
        with pytest.raises(error):
            await staged.commit()
    await staged.release()
    (small_disk / "filler").unlink()
    staged = await files.resume("a", MIB)
    await staged.write(data[MIB:])
    assert await staged.commit() == 3 * MIB
    assert await staged.publish() == hashlib.sha256(data).digest()
    await staged.settle()
    await files.close()


async def test_memory_stays_bounded_when_a_big_upload_is_finished(files: FileBlobs) -> None:
    staged = await files.resume("a", 0)
    for _ in range(100):
        await staged.write(bytes(MIB))
    await staged.commit()
    await staged.release()
    staged = await files.resume("a", 100 * MIB)
    tracemalloc.start()
    await staged.publish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    await staged.discard()
    assert peak < 4 * MIB
