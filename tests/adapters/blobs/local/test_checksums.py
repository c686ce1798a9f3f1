"""Damage on the disk: of the committed bytes of an upload, and of large blobs."""

import asyncio
import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local import checksum_log
from conexiones.adapters.blobs.local.checksum_log import ChecksumLog
from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums, crc32c
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.errors import BlobCorrupt
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import UploadRecord
from tests.adapters.blobs.contents import MIB, content, counted, everything, fill, sha, tell_nobody, whole
from tests.adapters.blobs.local.disk import open_files, tree_with_checksums
from tests.adapters.stored import checksums_of

SIZE = 3 * MIB + 5
DATA = content(SIZE)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        was = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([was ^ 1]))


def cut(path: Path, size: int) -> None:
    os.truncate(path, size)


@pytest.mark.parametrize("offset", [0, MIB - 1, MIB, 2 * MIB + 7, 3 * MIB, SIZE - 1])
@pytest.mark.parametrize("resumed", [False, True])
async def test_committed_bytes_that_change_are_never_published(
    store: LocalStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, offset: int, resumed: bool
) -> None:
    staged = await fill(await store.staging.resume("a", 0), DATA)
    await staged.commit(counted)
    if resumed:
        await staged.release()
    flip(tmp_path / "files" / "uploads" / "a", offset)
    if resumed:
        staged = await store.staging.resume("a", SIZE)
    with pytest.raises(BlobCorrupt):
        await staged.inspect(everything)
    with pytest.raises(BlobCorrupt):
        await staged.publish(tell_nobody)
    assert f"uploads/a is damaged in the MiB from byte {offset // MIB * MIB} on" in caplog.text
    await staged.discard()
    assert tree_with_checksums(tmp_path / "files") == []


async def test_damage_of_a_small_upload_is_noticed_too(tmp_path: Path, catalog: Catalog) -> None:
    store = LocalStore(tmp_path / "files", catalog)
    await store.open()
    staged = await fill(await store.staging.resume("a", 0), b"small")
    await staged.commit(counted)
    flip(tmp_path / "files" / "uploads" / "a", 2)
    with pytest.raises(BlobCorrupt):
        await staged.publish(tell_nobody)
    await staged.release()
    await store.close()


async def test_damage_between_two_writers_is_noticed_at_the_end(store: LocalStore, tmp_path: Path) -> None:
    staged = await fill(await store.staging.resume("a", 0), DATA)
    await staged.commit(counted)
    await staged.release()
    flip(tmp_path / "files" / "uploads" / "a", SIZE - 1)  # in a block that goes on
    staged = await store.staging.resume("a", SIZE)
    await staged.write(b"more")
    await staged.commit(counted)
    with pytest.raises(BlobCorrupt):
        await staged.publish(tell_nobody)
    await staged.discard()


@pytest.mark.parametrize("left", range(0, 60, 5))
async def test_without_their_checksums_committed_bytes_are_not_trusted(
    store: LocalStore, tmp_path: Path, left: int
) -> None:
    staged = await fill(await store.staging.resume("a", 0), DATA)
    await staged.commit(counted)
    await staged.release()
    log = tmp_path / "files" / "uploads" / "a.crc32c"
    log.write_bytes(log.read_bytes()[:left])
    with pytest.raises(BlobCorrupt):
        await store.staging.resume("a", SIZE)
    assert open_files(tmp_path / "files") == []


async def test_what_an_earlier_version_began_goes_on(
    store: LocalStore, tmp_path: Path, catalog: Catalog, upload: Callable[..., UploadRecord]
) -> None:
    path = tmp_path / "files" / "uploads" / "a"
    path.write_bytes(DATA)  # no checksums
    for more in (b"", b"more", b"and more"):
        size = path.stat().st_size
        staged = await store.staging.resume("a", size)
        await staged.write(more)
        await staged.commit(counted)
        await staged.release()
    data = DATA + b"moreand more"
    flip(path, SIZE + 1)
    staged = await store.staging.resume("a", len(data))
    with pytest.raises(BlobCorrupt):
        await staged.publish(tell_nobody)
    await staged.release()
    flip(path, SIZE + 1)
    staged = await store.staging.resume("a", len(data))
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    assert digest == sha(data)
    blob = tmp_path / "files" / "blobs" / digest.hex()[:2] / digest.hex()
    assert blob.with_name(f"{digest.hex()}.crc32c").read_bytes() == checksums_of(data)


async def stored(store: LocalStore, data: bytes = DATA) -> bytes:
    staged = await fill(store.staging.stage(), data)
    digest = await staged.publish(tell_nobody)
    await staged.settle()
    return digest


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    """Where the file of DATA is."""
    return tmp_path / "files" / "blobs" / sha(DATA).hex()[:2] / sha(DATA).hex()


@pytest.mark.parametrize("number", range(4))
async def test_no_range_gives_a_byte_of_a_damaged_block(store: LocalStore, blob: Path, number: int) -> None:
    digest = await stored(store)
    flip(blob, number * MIB + 3)
    for offset in (0, 1, MIB, MIB + 1, 2 * MIB + 500, 3 * MIB, SIZE - 1):
        given = b""
        ends_before = offset >= (number + 1) * MIB
        try:
            async for piece in store.blobs.read(digest, offset):
                given += piece
            assert ends_before
        except BlobCorrupt:
            assert not ends_before
        until = SIZE if ends_before else max(offset, number * MIB)
        assert given == DATA[offset:until]


async def test_whoever_inspects_a_blob_sees_no_damaged_block(store: LocalStore, blob: Path) -> None:
    digest = await stored(store)
    flip(blob, 2 * MIB + 3)
    assert await store.blobs.inspect(digest, lambda found: found[: 2 * MIB]) == DATA[: 2 * MIB]
    with pytest.raises(BlobCorrupt):
        await store.blobs.inspect(digest, lambda found: found[2 * MIB])


@pytest.mark.parametrize("size", [2, MIB])
async def test_a_range_of_a_blob_of_one_block_is_checked_by_its_digest(
    store: LocalStore, tmp_path: Path, size: int
) -> None:
    digest = await stored(store, content(size))
    assert len(tree_with_checksums(tmp_path / "files")) == 1
    blob = tmp_path / "files" / "blobs" / digest.hex()[:2] / digest.hex()
    assert await whole(store, digest, 1) == content(size)[1:]
    flip(blob, 0)
    with pytest.raises(BlobCorrupt):
        await whole(store, digest, 1)


@pytest.mark.parametrize("size", [MIB, SIZE])
async def test_damage_is_noticed_in_a_blob_that_was_read_whole_before(
    store: LocalStore, tmp_path: Path, size: int
) -> None:
    data = content(size)
    digest = await stored(store, data)
    for _ in range(3):
        assert await whole(store, digest) == data
    path = tmp_path / "files" / "blobs" / digest.hex()[:2] / digest.hex()
    flip(path, size - 1)
    for offset in (0, size - 1):
        with pytest.raises(BlobCorrupt):
            await whole(store, digest, offset)
    flip(path, size - 1)
    assert await whole(store, digest) == data


async def test_another_file_with_checksums_of_its_own_is_not_the_blob_that_was_read_before(
    store: LocalStore, blob: Path
) -> None:
    digest = await stored(store)
    assert await whole(store, digest) == DATA
    other = content(SIZE, seed=2)
    for path, data in ((blob, other), (blob.with_name(f"{blob.name}.crc32c"), checksums_of(other))):
        fresh = path.with_name("fresh")
        fresh.write_bytes(data)
        fresh.replace(path)
    with pytest.raises(BlobCorrupt):
        await whole(store, digest)


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_read_that_is_cancelled_leaves_no_file_open(
    store: LocalStore, tmp_path: Path, deleted: bool
) -> None:
    for steps in range(25):
        data = content(SIZE, seed=steps)
        digest = await stored(store, data)
        reading = asyncio.create_task(whole(store, digest))
        for _ in range(steps):
            await asyncio.sleep(0)
        if deleted:
            await store.blobs.delete(digest)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert open_files(tmp_path / "files") == []


async def test_a_blob_that_was_cut_is_noticed_from_any_offset(store: LocalStore, blob: Path) -> None:
    digest = await stored(store)
    cut(blob, 2 * MIB)
    for offset in (0, MIB, 2 * MIB, 3 * MIB):
        with pytest.raises(BlobCorrupt):
            await whole(store, digest, offset)


@pytest.mark.parametrize("was", ["missing", "damaged", "empty"])
async def test_missing_checksums_are_made_by_the_first_whole_read(
    store: LocalStore, blob: Path, was: str
) -> None:
    digest = await stored(store)
    checksums = blob.with_name(f"{blob.name}.crc32c")
    right = checksums.read_bytes()
    if was == "missing":
        checksums.unlink()
    else:
        checksums.write_bytes(right[:-1] + b"?" if was == "damaged" else b"")
    assert await whole(store, digest, MIB) == DATA[MIB:]
    assert not checksums.exists() or checksums.read_bytes() != right
    keep = store.staging.stage()  # while an upload refers to the blob, it is not deleted
    await fill(keep, DATA)
    await keep.publish(tell_nobody)
    checksums.unlink()
    assert await whole(store, digest) == DATA
    assert checksums.read_bytes() == right
    await keep.discard()
    assert not checksums.exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.EUCLEAN])
async def test_what_the_disk_has_lost_is_damage_and_checksums_are_made_anew(
    store: LocalStore, blob: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    lost = blob.with_name(f"{blob.name}.crc32c")
    read_bytes, open_ = Path.read_bytes, os.open

    def read(path: Path) -> bytes:
        if path == lost:
            raise OSError(number, os.strerror(number))
        return read_bytes(path)

    def fails(path: Path, flags: int, mode: int = 0o777) -> int:
        if path == blob:
            raise OSError(number, os.strerror(number))
        return open_(path, flags, mode)

    digest = await stored(store)
    keep = await fill(store.staging.stage(), DATA)  # a reference, as no catalog has the image
    await keep.publish(tell_nobody)
    kept = lost.read_bytes()
    lost.write_bytes(b"lost")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read)
        assert sum([count async for count in store.blobs.check(digest)]) == SIZE
    assert lost.read_bytes() == kept
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(BlobCorrupt):
            _ = [count async for count in store.blobs.check(digest)]
    await keep.discard()


async def test_a_damaged_blob_gets_no_checksums(store: LocalStore, blob: Path) -> None:
    digest = await stored(store)
    checksums = blob.with_name(f"{blob.name}.crc32c")
    checksums.unlink()
    flip(blob, SIZE - 1)
    with pytest.raises(BlobCorrupt):
        await whole(store, digest)
    assert not checksums.exists()


async def test_deleting_a_blob_deletes_its_checksums(store: LocalStore, tmp_path: Path) -> None:
    digest = await stored(store)
    assert len(tree_with_checksums(tmp_path / "files")) == 2
    await store.blobs.delete(digest)
    assert tree_with_checksums(tmp_path / "files") == []


def made(log: Path, data: bytes, sizes: list[int]) -> list[int]:
    """Logs those sizes, one commit each; gives the length of the log after each."""
    checksums, lengths = Checksums(), []
    logged = ChecksumLog(log)
    logged.create(checksums)
    for size in sizes:
        checksums.add(data[checksums.size : size])
        logged.append(checksums)
        lengths.append(log.stat().st_size)
    logged.close()
    return lengths


def test_a_torn_tail_of_the_log_costs_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    upload = tmp_path / "a"
    upload.write_bytes(DATA)
    sizes = [5, 900_000, MIB, MIB + 1, 3 * MIB - 1, 3 * MIB + 1, SIZE]
    lengths = made(tmp_path / "log", DATA, sizes)
    log = (tmp_path / "log").read_bytes()
    rng = random.Random(1)
    for known, length in zip(sizes, lengths, strict=True):
        for cut in range(length, min(length + 50, len(log) + 1)):
            (tmp_path / "log").write_bytes(log[:cut] + rng.choice([b"", bytes(40), rng.randbytes(40)]))
            again = ChecksumLog(tmp_path / "log")
            with upload.open("rb") as file:
                checksums = again.open(known, file.fileno())
            assert (tmp_path / "log").stat().st_size == length
            assert list(checksums.blocks) == [
                crc32c(DATA[start : start + MIB]) for start in range(0, known - MIB + 1, MIB)
            ]
            assert checksums.tail == crc32c(DATA[known - known % MIB : known])
            again.close()


def test_a_log_of_many_small_commits_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum_log, "SPARE", 100)
    upload = tmp_path / "a"
    upload.write_bytes(DATA)
    sizes = [*range(1, 3000), BLOCK_BYTES + 1, *range(BLOCK_BYTES + 2, BLOCK_BYTES + 1000)]
    lengths = made(tmp_path / "log", DATA, sizes)
    assert max(lengths) < 20 + 16 * (checksum_log.RECENT + 100 + 5)
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == []
    for known in sizes[-checksum_log.RECENT :]:
        kept = (tmp_path / "log").read_bytes()
        again = ChecksumLog(tmp_path / "log")
        with upload.open("rb") as file:
            checksums = again.open(known, file.fileno())
        assert (list(checksums.blocks), checksums.tail) == ([crc32c(DATA[:MIB])], crc32c(DATA[MIB:known]))
        again.close()
        (tmp_path / "log").write_bytes(kept)
