"""Houses in a database and a bucket, for the tests that move them."""

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.cli import main
from conexiones.errors import BlobCorrupt
from tests.support.postgres import Engine


@dataclass(frozen=True)
class House:
    """Where one is, or is to be."""

    database: str
    blobs: str
    endpoint: str

    @property
    def places(self) -> tuple[str, str]:
        return self.database, self.blobs

    @property
    def options(self) -> tuple[str, str]:
        return "--s3-endpoint", self.endpoint


@asynccontextmanager
async def house_in(house: House, folder: Path) -> AsyncIterator[tuple[PostgresCatalog, S3Store]]:
    """What a server has of it."""
    catalog = PostgresCatalog(house.database)
    place = BlobPlace(url=house.blobs, endpoint=house.endpoint)
    store = S3Store(place, catalog, folder=folder)
    await catalog.open()
    try:
        await store.open()
        try:
            yield catalog, store
        finally:
            await store.close()
    finally:
        await catalog.close()


async def everything_in(catalog: PostgresCatalog, store: S3Store) -> dict[str, bytes | None]:
    """The bytes of all images; None for those that are damaged."""
    found: dict[str, bytes | None] = {}
    for image in await catalog.list_images(limit=100, before=None, user=None, start=None, end=None):
        try:
            found[image.id] = b"".join([piece async for piece in store.blobs.read(image.digest)])
        except BlobCorrupt:
            found[image.id] = None
    return found


def run(*arguments: object, **environ: str) -> Result:
    """Runs `conexiones migrate` in this process, in a thread, as it has an event loop of its own."""
    given = ["migrate", *map(str, arguments)]
    env = {"CONEXIONES_DATA_DIR": "", **environ}
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, main, given, env=env).result()


def ran(*arguments: object, **environ: str) -> dict[str, Any]:
    """What it says at its end. It has to succeed."""
    result = run(*arguments, "--json", **environ)
    assert result.exit_code == 0, (result.output, result.exc_info)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def refused(*arguments: object, **environ: str) -> str:
    """The one line with which it ends without a complete house."""
    result = run(*arguments, **environ)
    assert result.exit_code == 2, (result.output, result.exc_info)
    assert result.output.count("\n") == 1, result.output
    return result.output


def raw(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for the memory that processes share with SQLite."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


def rows(engine: Engine, url: str) -> str:
    """All rows of all tables."""
    asked = (
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
        " current_schema()::regnamespace ORDER BY relname"
    )
    tables = engine.sql(asked, url=url).split()[1:]
    every = " UNION ALL ".join(f"SELECT '{table} ' || t::text AS row FROM {table} AS t" for table in tables)
    return engine.sql(f"SELECT row FROM ({every}) AS rows ORDER BY row", url=url)
