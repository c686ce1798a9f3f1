"""kill -9: what was acknowledged is whole, and after the next start nothing else is there.

A power cut is not tried here: what fsync is for cannot be seen by a process that is killed.
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

from conexiones.adapters.files import FileBlobs
from conexiones.adapters.sqlite import SqliteCatalog

WORKER = Path(__file__).with_name("crash_worker.py")
ROUNDS = 25


async def recover(root: Path, acknowledged: dict[str, str], read: set[str] | None = None) -> set[str]:
    """Opens what a crash left, checks all of it, and returns the digests that are stored.

    Only the blobs in `read` are read, which takes a while; of the others the size is checked.
    """
    catalog, blobs = SqliteCatalog(root / "catalog.db"), FileBlobs(root)
    await catalog.open()
    await blobs.open(catalog)
    with closing(sqlite3.connect(root / "catalog.db")) as connection:
        rows = connection.execute("SELECT id, lower(hex(digest)), size FROM images").fetchall()
    assert acknowledged.items() <= {(name, digest) for name, digest, _ in rows}
    assert list((root / "incoming").iterdir()) == []
    on_disk = {path.name: path.stat().st_size for path in (root / "blobs").rglob("*") if path.is_file()}
    assert on_disk == {digest: size for _, digest, size in rows}
    for digest in on_disk if read is None else read:
        sha = hashlib.sha256()
        async for piece in blobs.read(bytes.fromhex(digest)):
            sha.update(piece)
        assert sha.hexdigest() == digest
    await blobs.close()
    await catalog.close()
    return set(on_disk)


async def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(9)
    acknowledged: dict[str, str] = {}
    fruitful = 0
    for seed in range(ROUNDS):
        arguments = ("flood", str(tmp_path), str(seed), str(6 << 20 if seed % 3 == 0 else 50_000))
        worker = await asyncio.create_subprocess_exec(
            sys.executable, str(WORKER), *arguments, stdout=asyncio.subprocess.PIPE
        )
        # Some are killed while they recover from the one before.
        moments = ("opening", 0.03) if seed % 5 == 4 else ("open", 0.2)
        while (line := await worker.stdout.readline()).decode().strip() != moments[0]:
            assert line, "the worker ended by itself"
        output = asyncio.ensure_future(worker.stdout.read())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(worker.wait()), rng.uniform(0, moments[1]))
        worker.kill()
        await worker.wait()
        lines = [line.split() for line in (await output).decode().splitlines() if line != "open"]
        fresh = dict(lines)
        fruitful += bool(fresh)
        acknowledged |= fresh
        if seed % 2:  # else the next worker recovers
            await recover(tmp_path, acknowledged, set(fresh.values()))
    await recover(tmp_path, acknowledged)
    assert fruitful > ROUNDS / 2, "most rounds must get to acknowledge something"
    shutil.rmtree(tmp_path / "blobs")  # pytest keeps the folders of three runs


async def test_kill_9_before_every_change_to_the_folder(tmp_path: Path) -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), "steps", str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await worker.communicate()
    assert worker.returncode == 0
    acknowledged: list[dict[str, str]] = []
    for line in output.decode().splitlines():
        if line.startswith("step "):
            acknowledged.append({})
        else:
            name, digest = line.rsplit(" ", 1)
            acknowledged[-1][name] = digest
    assert len(acknowledged) > 25
    assert len(acknowledged[-1]) == 5, "the last step is the one that was not killed"
    for step, images in enumerate(acknowledged):
        await recover(tmp_path / str(step), images)
