"""Measures how many images the catalog in PostgreSQL adds, beside bare transactions of the same database."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial

import asyncpg  # type: ignore[import-untyped]  # the driver has types, but does not say so

from bench.measures import Wrong, interleave
from bench.rows import Bench
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain.ids import Ids, now
from conexiones.ports.records import ImageRecord
from tests.support.postgres import running

ROW = "rows of images in PostgreSQL, 64 callers"
OURS = "ours"
EMBEDDED = "ours in SQLite"
EACH = "each image a transaction, 16 connections"
LIMIT = "limit: 64 rows and their events, one statement"

CALLERS = 64
CONNECTIONS = 16

_TABLES = """
CREATE TABLE rows (LIKE images INCLUDING ALL);
CREATE TABLE told (sequence bigint PRIMARY KEY, image_id text NOT NULL, time bigint NOT NULL);
CREATE TABLE head (sequence bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO head VALUES (0);
"""
_ADD = """
WITH added AS (
    INSERT INTO rows (id, digest, size, format, width, height, frames, create_time, owner)
    SELECT *, 10000, 'PNG', 100, 100, 1, $3, '' FROM unnest($1::text[], $2::bytea[])
    RETURNING id, create_time
), counted AS (UPDATE head SET sequence = sequence + cardinality($1) RETURNING sequence)
INSERT INTO told SELECT sequence - cardinality($1) + row_number() OVER (), id, create_time FROM added, counted
"""

_ids = Ids()


def run(bench: Bench) -> None:
    """Images per second whose rows, and events without gaps, are durable."""
    count = bench.size(12_800, 640)
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        disk = folder / "postgres"
        disk.mkdir()
        for parent in (bench.root, folder):
            parent.chmod(0o711)  # PostgreSQL runs as another user than root
        engine = stack.enter_context(running(fsync=True, disk=disk))
        url = engine.schema()
        contenders = {
            OURS: partial(_add_by_catalog, lambda: PostgresCatalog(url)),
            EMBEDDED: partial(_add_by_catalog, lambda: SqliteCatalog(folder / "catalog.sqlite3")),
            EACH: partial(add_bare, url, CONNECTIONS, 1),
            LIMIT: partial(add_bare, url, 1, CALLERS),
        }
        asyncio.run(prepare(url))
        rates: dict[str, Callable[[int], float]] = {
            # One by one is slow.
            name: partial(_rate, add, count // 8 if name == EACH else count)
            for name, add in contenders.items()
        }
        interleave(bench.results, ROW, rates, unit="images/s", warm=True)


def _rate(add: Callable[[int], Awaitable[float]], count: int, _: int) -> float:
    async def seconds() -> float:
        return await add(count)

    return count / asyncio.run(seconds())


def record(digest: bytes, size: int = 10_000) -> ImageRecord:
    """A new image with these bytes."""
    return ImageRecord(
        id=_ids.new(),
        digest=digest,
        size=size,
        format="PNG",
        width=100,
        height=100,
        frames=1,
        user=None,
        create_time=now(),
    )


async def prepare(url: str) -> None:
    """Makes the tables of a catalog, and those for `add_bare`, in an empty database or schema."""
    catalog = PostgresCatalog(url)
    await catalog.open()
    await catalog.close()
    connection = await asyncpg.connect(url)
    await connection.execute(_TABLES)
    await connection.close()


async def _add_by_catalog(make: Callable[[], PostgresCatalog | SqliteCatalog], count: int) -> float:
    catalog = make()
    await catalog.open()
    before = (await catalog.event_range())[1]
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await catalog.add_image(record(secrets.token_bytes(32)))

    begin = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    took = time.perf_counter() - begin
    if (await catalog.event_range())[1] != before + count:
        raise Wrong("events are missing")
    await catalog.close()
    return took


async def add_bare(url: str, connections: int, rows: int, count: int) -> float:
    """The seconds that statements with so many rows each take, on so many connections."""
    pool = [await asyncpg.connect(url) for _ in range(connections)]
    left = iter(range(count // rows))

    async def caller(connection: asyncpg.Connection) -> None:
        for _ in left:
            ids = [_ids.new() for _ in range(rows)]
            await connection.execute(_ADD, ids, [secrets.token_bytes(32) for _ in ids], now())

    begin = time.perf_counter()
    await asyncio.gather(*map(caller, pool))
    took = time.perf_counter() - begin
    for connection in pool:
        await connection.close()
    return took
