"""kill -9: what was acknowledged is whole, and after the next start nothing else is there.

A power cut is not tried here: a process that is killed loses nothing that it wrote, synced or not.
"""

import asyncio
import hashlib
import random
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from tests.adapters.blobs.contents import counted, everything, tell_nobody
from tests.adapters.blobs.local.crash_worker import RESUMED, bytes_of
from tests.adapters.stored import stored_blobs
from tests.support.lengths import EVERY_STEP, examples, stride
from tests.support.paths import ROOT

WORKER = ("-m", "tests.adapters.blobs.local.crash_worker")
ROUNDS = examples(8, long=12)
RESUMABLE_ROUNDS = examples(10, long=15)
STRIDE = 5
"""One of so many changes is tried at a time; `make faults` tries all of them."""


async def recover(root: Path, acknowledged: dict[str, str], read: set[str] | None = None) -> set[str]:
    """Opens what a crash left, checks all of it, and returns the digests that are stored.

    Only the blobs in `read` are read, which takes a while; of the others the size is checked.
    """
    catalog = SqliteCatalog(root / "catalog.db")
    store = LocalStore(root, catalog, writer=catalog.writer)
    await catalog.open()
    await store.open()
    with closing(sqlite3.connect(root / "catalog.db")) as connection:
        rows = connection.execute("SELECT id, lower(hex(digest)), size FROM images").fetchall()
    assert acknowledged.items() <= {(name, digest) for name, digest, _ in rows}
    assert list((root / "incoming").iterdir()) == []
    on_disk = stored_blobs(root)
    assert on_disk == {digest: size for _, digest, size in rows}
    for digest in on_disk if read is None else read:
        sha = hashlib.sha256()
        async for piece in store.blobs.read(bytes.fromhex(digest)):
            sha.update(piece)
        assert sha.hexdigest() == digest
    await store.close()
    await catalog.close()
    return set(on_disk)


async def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(9)
    acknowledged: dict[str, str] = {}
    fruitful = 0
    for seed in range(ROUNDS):
        arguments = ("flood", str(tmp_path), str(seed), str(6 << 20 if seed % 3 == 0 else 50_000))
        # Some are killed while they recover from the one before, most when they have acknowledged something.
        moments = ("opening", 0) if seed % 5 == 4 else ("open", 8)
        lines = [line.split() for line in await kill_at_random(rng, moments, *arguments)]
        fresh = dict(lines)
        fruitful += bool(fresh)
        acknowledged |= fresh
        if seed % 2:  # else the next worker recovers
            await recover(tmp_path, acknowledged, set(fresh.values()))
    await recover(tmp_path, acknowledged)
    assert fruitful > ROUNDS / 4, "many rounds must get to acknowledge something, on a busy machine too"
    for folder in ("blobs", "segments", "uploads"):  # pytest keeps the folders of three runs
        shutil.rmtree(tmp_path / folder)


async def kill_at_random(rng: random.Random, moments: tuple[str, int], *arguments: str) -> list[str]:
    """Starts a worker, kills it a moment after it has said a word and at most so many lines, and gives all
    else that it said."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, *WORKER, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    word, most = moments
    said: list[str] = []

    async def hear() -> None:
        said.append((await worker.stdout.readline()).decode().strip())
        assert said[-1], "the worker ended by itself"

    while word not in said:
        await hear()
    for _ in range(rng.randint(0, most)):
        await hear()
    output = asyncio.ensure_future(worker.stdout.read())
    with pytest.raises(TimeoutError):  # it may be anywhere between two lines
        await asyncio.wait_for(asyncio.shield(worker.wait()), rng.uniform(0, 0.03))
    worker.kill()
    await worker.wait()
    said += (await output).decode().splitlines()
    return [line for line in said if line not in ("opening", "open")]


async def recover_uploads(
    root: Path, sizes: dict[str, int], ended: dict[str, str], read: set[str] | None = None
) -> int:
    """Opens what a crash left and checks all of it; gives the number of open uploads that have bytes.

    Only the images of the uploads in `read` are read. `ended` says how an upload ended: `=` READY, `x`
    cancelled, `-` READY with an image that is deleted, or was about to be.
    """
    catalog = SqliteCatalog(root / "catalog.db")
    store = LocalStore(root, catalog, writer=catalog.writer)
    await catalog.open()
    await store.open()
    open_with_bytes = 0
    states = {}
    for name, size in sizes.items():
        upload = await catalog.get_upload(name)
        states[name] = upload.state
        data = bytes_of(name)
        assert upload.committed_size >= size
        if upload.state == "OPEN" and upload.committed_size:
            open_with_bytes += 1
            staged = await store.staging.resume(name, upload.committed_size)
            assert await staged.inspect(everything) == data[: upload.committed_size]
            await staged.release()
        ready = upload.image_id if upload.state == "READY" else None
        image = await catalog.get_image(ready) if ready else None
        assert image or upload.state != "READY" or ended[name] == "-"
        if image:
            assert image.digest == hashlib.sha256(data).digest()
            if read is None or name in read:
                assert b"".join([piece async for piece in store.blobs.read(image.digest)]) == data
    expected = {"=": "READY", "-": "READY"}
    for name, end in ended.items():
        # A cancelled one's row is ended before it is said.
        assert states[name] == expected.get(end, "CANCELLED")
    with closing(sqlite3.connect(root / "catalog.db")) as connection:
        rows = connection.execute("SELECT lower(hex(digest)) FROM images").fetchall()
        names = connection.execute("SELECT id FROM uploads WHERE state = 'OPEN'").fetchall()
        sequences = connection.execute("SELECT sequence FROM events ORDER BY 1").fetchall()
    assert [sequence for (sequence,) in sequences] == list(range(1, len(sequences) + 1))
    assert list((root / "incoming").iterdir()) == []
    left = {path.name.removesuffix(".crc32c") for path in (root / "uploads").iterdir()}
    assert left <= {name for (name,) in names}
    on_disk = set(stored_blobs(root))
    digests = {digest for (digest,) in rows}
    assert on_disk == digests
    await store.close()
    await catalog.close()
    return open_with_bytes


async def test_kill_9_of_resumable_uploads_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(10)
    sizes: dict[str, int] = {}
    ended: dict[str, str] = {}
    unfinished = 0
    for seed in range(RESUMABLE_ROUNDS):
        moments = ("opening", 0) if seed % 5 == 4 else ("open", 100)
        lines = await kill_at_random(rng, moments, "resume", str(tmp_path), str(seed))
        for line in lines:
            mark, name, *size = line.split()
            if size:
                assert int(size[0]) >= sizes.get(name, 0)
                sizes[name] = int(size[0])
            else:
                ended[name] = mark
                sizes.setdefault(name, 0)  # what it had may have been committed by one that was killed
        if seed % 2:  # else the next worker recovers
            touched = {line.split()[1] for line in lines}
            unfinished += await recover_uploads(tmp_path, sizes, ended, touched)
    await recover_uploads(tmp_path, sizes, ended)
    assert unfinished > RESUMABLE_ROUNDS / 2, "most rounds must leave some that go on"
    assert set(ended.values()) == {"=", "-", "x"}
    for folder in ("blobs", "segments", "uploads"):  # pytest keeps the folders of three runs
        shutil.rmtree(tmp_path / folder)


async def test_kill_9_before_every_change_to_the_folder(tmp_path: Path) -> None:
    arguments = ("steps", str(tmp_path), *map(str, stride(STRIDE)))
    worker = await asyncio.create_subprocess_exec(
        sys.executable, *WORKER, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    output, _ = await worker.communicate()
    assert worker.returncode == 0
    acknowledged: list[dict[str, str]] = []
    who = []
    for line in output.decode().splitlines():
        if line.startswith("step "):
            acknowledged.append({})
            who.append(line.split()[1])
        else:
            name, digest = line.rsplit(" ", 1)
            acknowledged[-1][name] = digest
    assert min(who.count("server"), who.count("writer")) >= (10 if EVERY_STEP else 10 // STRIDE)
    assert len(acknowledged[-1]) == 5, "the last step is one that was not killed"
    for step, images in enumerate(acknowledged):
        await recover(tmp_path / str(step), images)


async def test_kill_9_before_every_change_to_a_resumable_upload(tmp_path: Path) -> None:
    arguments = ("uploads", str(tmp_path), *map(str, stride(STRIDE)))
    worker = await asyncio.create_subprocess_exec(
        sys.executable, *WORKER, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    output, _ = await worker.communicate()
    assert worker.returncode == 0
    said: list[list[str]] = []
    for line in output.decode().splitlines():
        if line.startswith("step "):
            said.append([])
        else:
            said[-1].append(line)
    assert len(said) > (30 if EVERY_STEP else 30 // STRIDE)
    assert said[-1][-1] == "= resumed", "the last step is one that was not killed"
    for step, lines in enumerate(said):
        await go_on_after_kill(tmp_path / str(step), lines)
        shutil.rmtree(tmp_path / str(step))  # pytest keeps the folders of three runs


async def go_on_after_kill(root: Path, said: list[str]) -> None:
    """Checks what the killed worker had acknowledged, and finishes its upload from there."""
    catalog = SqliteCatalog(root / "catalog.db")
    store = LocalStore(root, catalog, writer=catalog.writer)
    await catalog.open()
    await store.open()
    upload = await catalog.get_upload("resumed")
    assert upload is not None or not said
    if upload and upload.state == "OPEN":
        assert "= resumed" not in said
        size = upload.committed_size
        assert size >= int(said[-1].split()[2] if said else 0)
        staged = await store.staging.resume("resumed", size)
        if size:
            assert await staged.inspect(everything) == RESUMED[:size]
        await staged.write(RESUMED[size:])
        assert await staged.commit(counted) == len(RESUMED)
        assert await staged.publish(tell_nobody) == hashlib.sha256(RESUMED).digest()
        await staged.release()
    elif upload:
        assert b"".join([p async for p in store.blobs.read(hashlib.sha256(RESUMED).digest())]) == RESUMED
        assert list((root / "uploads").iterdir()) == []
    stored_blobs(root)
    assert list((root / "incoming").iterdir()) == []
    await store.close()
    await catalog.close()
