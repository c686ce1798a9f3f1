"""Data folders for the tests of upkeep, made by the store and the catalog themselves."""

import hashlib
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.cli import main
from conexiones.errors import BlobCorrupt
from conexiones.ports.records import ImageRecord, UploadRecord
from conexiones.upkeep.repository import sha256_of
from tests.adapters.blobs.contents import counted

MIB = 1 << 20
SMALL = 3000
LARGE = 2 * MIB + 12345
MIDDLE = 300_000
"""Bytes of a file of its own, of a single block."""


def content(size: int, seed: object) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def image(id: str, data: bytes, **fields: Any) -> ImageRecord:
    values: dict[str, Any] = {
        "format": "PNG",
        "width": 3,
        "height": 4,
        "frames": 1,
        "user": None,
        "create_time": 5,
        "name": f"{id}.png",
    }
    digest = hashlib.sha256(data).digest()
    return ImageRecord(**{"id": id, "digest": digest, "size": len(data), **values, **fields})


class Folder:
    """An open data folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalog = SqliteCatalog(root / "catalog.sqlite3")
        self.store = LocalStore(root, self.catalog, writer=self.catalog.writer)

    async def add(self, id: str, data: bytes, **fields: Any) -> None:
        staged = self.store.staging.stage()
        await staged.write(data)
        await staged.publish(lambda _: self.catalog.add_image(image(id, data, **fields)))
        await staged.settle()

    async def delete(self, id: str) -> None:
        found = await self.catalog.get_image(id)
        assert found
        async with self.store.blobs.removing(found.digest):
            await self.catalog.delete_image(id, now=9)

    async def begin_upload(self, id: str, data: bytes) -> None:
        """An upload of which all bytes so far are acknowledged."""
        record = UploadRecord(
            id=id,
            request_id=f"request {id}",
            state="OPEN",
            committed_size=0,
            declared_size=None,
            writer_epoch=0,
            client="",
            user=None,
            image_id=None,
            failure=None,
            create_time=1,
            update_time=1,
        )
        await self.catalog.create_upload(record)
        staged = await self.store.staging.resume(id, 0)
        await staged.write(data)
        size = await staged.commit(counted)
        await self.catalog.advance_upload(id, epoch=0, size=size, now=2)
        await staged.release()

    async def read(self, digest: bytes) -> bytes | None:
        """None if the store says that it is damaged."""
        try:
            return b"".join([piece async for piece in self.store.blobs.read(digest)])
        except BlobCorrupt:
            return None


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[Folder]:
    folder = Folder(root)
    await folder.catalog.open()
    try:
        await folder.store.open()
        try:
            yield folder
        finally:
            await folder.store.close()
    finally:
        await folder.catalog.close()


def contents() -> dict[str, bytes]:
    """By the id of the image."""
    return {
        "1": content(SMALL, 1),
        "2": content(SMALL, 2),
        "3": content(LARGE, 3),
        "4": content(MIDDLE, 4),
    }


async def filled(root: Path) -> dict[str, bytes]:
    """Makes a folder with an image of each kind, and an upload under way. Gives the images' bytes."""
    found = contents()
    async with opened(root) as folder:
        for id, data in found.items():
            await folder.add(id, data)
        await folder.begin_upload("upload", content(MIB + 77, "upload"))
    return found


async def everything(root: Path) -> dict[str, bytes | None]:
    """The bytes of all images of a folder; None for those that are damaged."""
    async with opened(root) as folder:
        found = await folder.catalog.list_images(limit=100, before=None, user=None, start=None, end=None)
        return {one.id: await folder.read(one.digest) for one in found}


def run(*arguments: object) -> Result:
    """Runs `conexiones` with arguments in this process, in a thread, as it has an event loop of its own."""
    given = [str(one) for one in arguments]
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, main, given, env={"CONEXIONES_DATA_DIR": ""}).result()


def findings(root: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status of `conexiones verify --json`, and its lines about findings."""
    result = run("verify", "--data-dir", root, "--json", *options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, [line for line in lines if "kind" in line]


def backed_up(root: Path, dest: Path, *options: object) -> dict[str, Any]:
    """What `conexiones backup --json` says at its end. It has to succeed."""
    result = run("backup", dest, "--data-dir", root, "--json", *options)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def restored(dest: Path, root: Path, *options: object) -> dict[str, Any]:
    """What `conexiones restore --json` says at its end. It has to succeed."""
    result = run("restore", dest, "--data-dir", root, "--json", *options)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def asked(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


def files(root: Path) -> Iterator[Path]:
    """All files of a folder that are not empty."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.stat().st_size:
            yield path


@contextmanager
def changed(backup: Path, **fields: object) -> Iterator[sqlite3.Connection]:
    """The catalog of a backup, to be changed. Its manifest then agrees to it, with these fields, too, and
    without those that are None, as whoever can write to the folder may have it."""
    catalog, manifest = backup / "catalog.sqlite3", backup / "manifest.json"
    with closing(sqlite3.connect(catalog)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        yield connection
        connection.commit()
    said = json.loads(manifest.read_text())
    said |= {"catalog_sha256": sha256_of(catalog), "catalog_bytes": catalog.stat().st_size, **fields}
    said = {name: value for name, value in said.items() if name != "sha256" and value is not None}
    said["sha256"] = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    manifest.write_text(json.dumps(said))


def blob(root: Path, data: bytes) -> Path:
    """Where the file of a large image is, in a data folder and in a folder of backups."""
    digest = hashlib.sha256(data).hexdigest()
    return root / "blobs" / digest[:2] / digest


def damage(path: Path, offset: int = 100) -> None:
    """Flips the bits of a byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0xFF]))
