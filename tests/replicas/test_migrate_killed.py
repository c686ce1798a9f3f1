"""A move that is killed at any step is gone on with, and no server starts over what is not complete."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from tests.replicas.houses import House, everything_in, house_in, ran, raw
from tests.upkeep.folders import MIB, SMALL, content, everything, filled, findings

INTO_DATABASE = [
    ("adapters.blobs.s3.moving", "BlobsIn.there", 1),  # the tables are there
    ("adapters.blobs.s3.objects", "Objects.get", 1),  # an object that no row names
    ("adapters.blobs.s3.moving", "BlobsIn.add_small", 2),  # one pack with its row
    ("adapters.blobs.s3.moving", "BlobsIn.add_large", 1),
    ("adapters.blobs.s3.moving", "sums_of", 2),  # bytes of a large image
    ("adapters.blobs.s3.moving", "BlobsIn.forget_uploads", 1),  # all images
    ("adapters.blobs.s3.moving", "_add_extents", 1),
    ("adapters.catalog.postgres.moving", "_add_rows", 1),  # all bytes
    ("adapters.catalog.postgres.moving", "_add_rows", 4),  # some rows
    ("adapters.catalog.postgres.moving", "end_moving", 1),  # all rows, but for the commit
]
INTO_FOLDER = [
    ("upkeep.house_folder", "NewBlobs", 1),  # the mark is there
    ("upkeep.new_blobs", "NewLarge.complete", 1),
    ("upkeep.new_blobs", "NewLarge.complete", 2),  # one is there
    # Behind these, as large ones may come meanwhile.
    ("upkeep.new_blobs", "NewBlobs.add_small", 2),
    ("upkeep.new_blobs", "NewBlobs.finish", 1),  # all large ones, and no small one
    ("upkeep.new_blobs", "NewUpload.complete", 1),
    ("upkeep.house_folder", "NewCatalog", 1),  # all bytes
    ("adapters.catalog.sqlite.new_catalog", "NewCatalog.add", 3),  # some rows
    ("adapters.catalog.sqlite.new_catalog", "NewCatalog.complete", 1),  # all rows, but for the commit
    ("upkeep.house_folder", "write_identity", 1),
    ("upkeep.new_folder", "NewFolder.complete", 1),
    ("upkeep.new_folder", "sync_folder", 4),  # the mark is gone, and the catalog has not got its name
]


class Killer:
    """Runs `conexiones migrate`, and kills it."""

    def __init__(self, *arguments: str) -> None:
        command = (sys.executable, "-m", "tests.replicas.kill_at", "migrate", *arguments)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Killer":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    async def kill(self, module: str, name: str, number: int) -> None:
        line = await asyncio.to_thread(self._ask, f"{module} {name} {number}\n")
        assert line == f"{-signal.SIGKILL}\n", (name, line)

    def _ask(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(line)
        self._process.stdin.flush()
        return self._process.stdout.readline()


async def test_at_every_step(tmp_path: Path, house: House) -> None:
    data = await filled(tmp_path / "data")
    (tmp_path / "data" / "lock").touch()  # as a server would
    before = raw(tmp_path / "data")
    there = ("--from", str(tmp_path / "data"), "--to", *house.places, *house.options)
    with Killer(*there) as killer:
        for step in INTO_DATABASE:
            await killer.kill(*step)
            with pytest.raises(ValueError, match="not complete"):
                await PostgresCatalog(house.database).open()
    said = await asyncio.to_thread(ran, *there)
    assert (said["complete"], said["new_contents"]) == (True, 0), "each was moved once"
    assert raw(tmp_path / "data") == before
    async with house_in(house, tmp_path / "copies") as (catalog, store):
        assert await everything_in(catalog, store) == data

    back = ("--from", *house.places, "--to", str(tmp_path / "back"), *house.options)
    with Killer(*back) as killer:
        for step in INTO_FOLDER:
            await killer.kill(*step)
            new = LocalStore(tmp_path / "back", SqliteCatalog(tmp_path / "back" / "catalog.sqlite3"))
            with pytest.raises(ValueError, match=r"not complete|no catalog"):
                new.refuse_without(tmp_path / "back" / "catalog.sqlite3")
    assert (await asyncio.to_thread(ran, *back))["complete"]
    assert await asyncio.to_thread(findings, tmp_path / "back") == (0, [])
    assert await everything(tmp_path / "back") == data

    # The upload goes on where it was, with the state of its SHA-256.
    begun, rest = content(MIB + 77, "upload"), content(SMALL, "rest")
    async with house_in(house, tmp_path / "copies") as (_, store):
        staged = await store.staging.resume("upload", len(begun))
        await staged.write(rest)
        assert await staged.publish(_same) == hashlib.sha256(begun + rest).digest()
        await staged.settle()


async def _same(digest: bytes) -> bytes:
    return digest
