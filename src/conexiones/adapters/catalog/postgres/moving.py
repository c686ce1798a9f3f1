"""The rows of a house that moves out of a database, or into one, while no server uses it.

Moving out changes nothing: one transaction for reading has the house to itself, and all is read in it. Moving
in, all rows come with one transaction at the end. What was put into the object store before is known by its
own rows from the beginning (adapters/blobs/s3/moving.py), so that an interrupted move is gone on with.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped]  # see failures.py

from conexiones.adapters.catalog.folding import folded
from conexiones.adapters.catalog.postgres import images, scrub_log
from conexiones.adapters.catalog.postgres.address import Address, in_words
from conexiones.adapters.catalog.postgres.checks import check_server
from conexiones.adapters.catalog.postgres.columns import quoted
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.failures import ConnectionLost
from conexiones.adapters.catalog.postgres.house import MOVING, refuse_served, take
from conexiones.adapters.catalog.postgres.migrating import (
    begin_moving,
    check_new,
    end_moving,
    refuse_other,
    version,
)
from conexiones.adapters.catalog.tables import FLAGS, TABLES
from conexiones.ports.verifying import ScrubState

ROWS = 5000
"""Rows that are in memory at a time."""

QUICK_SECONDS = 60.0
SLOW_SECONDS = 6 * 3600.0
"""How long a statement may take, of a few rows and of all."""

ASK_ATTEMPTS, ASK_SECONDS = 30, 1.0
"""Attempts to find out what became of the last commit, and the time between two."""

_BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED {mode}; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0
"""
_TOTALS = """
SELECT (SELECT count(*) FROM images) AS images, count(*) AS contents, coalesce(sum(size), 0)::bigint AS bytes
FROM (SELECT max(size) AS size FROM images GROUP BY digest) AS contents
"""
_CONTENTS = """
SELECT digest, max(size) AS size, count(*) AS images FROM images GROUP BY digest ORDER BY min(id)
"""
_OPEN = "SELECT id, committed_size FROM uploads WHERE state = 'OPEN' ORDER BY id"
_IDS = "SELECT id FROM images WHERE digest = $1 ORDER BY id LIMIT $2"
_HEAD = "SELECT sequence FROM event_head"

P = ParamSpec("P")
T = TypeVar("T")


class Held:
    """A database with the tables of one house, which is held while this is open.

    Methods raise ValueError, whose one line says what to do, if the database cannot be used, or any more.
    """

    def __init__(self, url: str, *, patience: Patience | None = None) -> None:
        """ValueError, whose sentence says what a URL looks like, if it is none."""
        self.address = Address(url)
        self._patience = patience or Patience()
        self._connection: Connection | None = None
        self._asking = asyncio.Lock()

    async def open(self) -> None:
        """Waits a moment for a transaction of a server to end, and holds the house."""
        with told(self.address):
            connection = self._connection = await connect(self.address, seconds=self._patience.connect)
            async with in_time(connection, QUICK_SECONDS):
                await check_server(connection, self.address)
                await connection.execute(_BEGIN.format(mode=self._mode()))
                await take(connection, self.address)
                await self._look(connection)

    def close(self) -> None:
        """Lets the house go. May be called more than once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def ask(
        self, work: Callable[Concatenate[Connection, P], Awaitable[T]], *given: P.args, **named: P.kwargs
    ) -> T:
        """What a function gives that reads, in the transaction that holds the house."""
        with told(self.address):
            async with self._asking:
                connection = self._held()
                async with in_time(connection, SLOW_SECONDS):
                    return await work(connection, *given, **named)

    async def check(self) -> None:
        """Whether the house is still held."""
        await self.ask(_nothing)

    def _held(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            raise ConnectionLost
        return self._connection

    def _mode(self) -> str:
        raise NotImplementedError

    async def _look(self, connection: Connection) -> None:
        """What else has to be true, before anything is done."""


class MovingOut(Held):
    """The house that is left. Nothing of it is changed."""

    def _mode(self) -> str:
        return "READ ONLY"

    async def _look(self, connection: Connection) -> None:
        await refuse_other(connection, self.address)
        await refuse_served(connection, self.address)

    async def totals(self) -> tuple[int, int, int]:
        """How many images there are, how many different contents they have, and the bytes of the contents."""
        row = await self.ask(_row, _TOTALS)
        return row["images"], row["contents"], row["bytes"]

    async def contents(self) -> AsyncIterator[list[tuple[bytes, int, int]]]:
        """The digest and the size of each content, and how many images have it."""
        async for rows in self._pages(_CONTENTS, ROWS // 5):
            yield [(row["digest"], row["size"], row["images"]) for row in rows]

    async def images_of(self, digest: bytes, limit: int) -> list[str]:
        """The ids of images that have a content, at most so many."""
        return [row["id"] for row in await self.ask(_rows, _IDS, digest, limit)]

    async def open_uploads(self) -> list[tuple[str, int]]:
        """The id and the committed size of each upload under way."""
        return [(row["id"], row["committed_size"]) for row in await self.ask(_rows, _OPEN)]

    async def rows(self, table: str) -> AsyncIterator[list[tuple[Any, ...]]]:
        """All rows of a table, with the columns of TABLES, some at a time."""
        async for rows in self._pages(f"SELECT {quoted(TABLES[table])} FROM {table} ORDER BY 1", ROWS):  # noqa: S608 (our own names)
            yield [tuple(row) for row in rows]

    async def row_count(self) -> int:
        """The rows of all tables together."""
        counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)  # noqa: S608 (our own names)
        return int((await self.ask(_row, f"SELECT {counts} AS rows"))["rows"])

    async def identity(self) -> int:
        return await self.ask(images.identity)

    async def newest_event(self) -> int:
        return int((await self.ask(_row, _HEAD))["sequence"])

    async def scrub(self) -> ScrubState:
        return await self.ask(scrub_log.load)

    async def _pages(self, query: str, limit: int) -> AsyncIterator[list[Any]]:
        cursor = await self.ask(_cursor, query)
        while rows := await self.ask(_fetched, cursor, limit):
            yield rows


class MovingIn(Held):
    """The house that is moved into, which no server uses before `commit`."""

    def __init__(self, url: str, *, patience: Patience | None = None) -> None:
        super().__init__(url, patience=patience)
        self._worker: Connection | None = None
        self._working = asyncio.Lock()

    def _mode(self) -> str:
        return "READ WRITE"

    def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.terminate()
        super().close()

    async def check(self) -> None:
        await super().check()
        await self.write(_nothing)

    async def look(self, origin: str) -> bool:
        """Whether nothing was moved in from that origin yet. ValueError if there is something else."""
        return await self.ask(check_new, self.address, origin) is None

    async def begin(self, origin: str) -> None:
        """Makes the tables, unless an earlier attempt has."""
        with told(self.address):
            worker = self._worker = await connect(self.address, seconds=self._patience.connect)
            async with in_time(worker, SLOW_SECONDS):
                await begin_moving(worker, self.address, origin)

    async def write(
        self, work: Callable[Concatenate[Connection, P], Awaitable[T]], *given: P.args, **named: P.kwargs
    ) -> T:
        """What a function gives whose statements are one transaction, durably."""
        with told(self.address):
            async with self._working:
                return await self._write(QUICK_SECONDS, work, *given, **named)

    async def fill(
        self,
        tables: Mapping[str, AsyncIterator[list[tuple[Any, ...]]]],
        *,
        identity: int,
        newest_event: int,
        scrub: ScrubState,
        last: Callable[[Connection], Awaitable[None]],
        on_rows: Callable[[int], None],
    ) -> None:
        """Adds all rows, and lets servers use them: one transaction, of which `last` is the last step, which
        raises what is in the way. `on_rows` is called with the number of rows that were added."""

        async def add(connection: Connection) -> None:
            for table, pages in tables.items():
                await _add_rows(connection, table, pages, on_rows)
            await connection.execute("UPDATE event_head SET sequence = $1", newest_event)
            await connection.execute("INSERT INTO about (identity) VALUES ($1)", identity)
            if scrub != ScrubState():
                await connection.execute("INSERT INTO scrub (state) VALUES ($1)", json.dumps(asdict(scrub)))
            await last(connection)
            await end_moving(connection)

        with told(self.address):
            async with self._working:
                await self._write(SLOW_SECONDS, add)

    async def _write(
        self,
        seconds: float,
        work: Callable[Concatenate[Connection, P], Awaitable[T]],
        *given: P.args,
        **named: P.kwargs,
    ) -> T:
        worker = self._worker
        if worker is None or worker.is_closed():
            raise ConnectionLost
        self._held()  # without the lock, another one may be at work
        async with in_time(worker, seconds):
            await worker.execute(_BEGIN.format(mode="READ WRITE"))
            try:
                done = await work(worker, *given, **named)
            except Exception:
                if not worker.is_closed():
                    await worker.execute("ROLLBACK")
                raise
            await worker.execute("COMMIT")
        return done

    @property
    def is_lost(self) -> bool:
        """Whether a connection was lost, so that what it was to commit may be there or not."""
        return any(one is None or one.is_closed() for one in (self._connection, self._worker))

    async def is_complete(self) -> bool | None:
        """Whether the house is complete, where the connection was lost: asks again for half a minute. None if
        the database does not answer."""
        for _ in range(ASK_ATTEMPTS):
            with suppress(Exception):
                connection = await connect(self.address, seconds=self._patience.connect)
                try:
                    async with in_time(connection, self._patience.read):
                        return await version(connection) != MOVING
                finally:
                    connection.terminate()
            await asyncio.sleep(ASK_SECONDS)
        return None


async def _add_rows(
    connection: Connection,
    table: str,
    pages: AsyncIterator[list[tuple[Any, ...]]],
    on_rows: Callable[[int], None],
) -> None:
    columns = TABLES[table]
    flags = [at for at, name in enumerate(columns) if name in FLAGS]
    names = (*columns, "folded_name") if table == "images" else columns
    count = 0
    async for rows in pages:
        found = [_as_kept(row, flags) for row in rows] if flags else rows
        if table == "images":
            at = columns.index("name")
            found = [(*row, row[at] and folded(row[at])) for row in found]
        await connection.copy_records_to_table(table, records=found, columns=names)  # type: ignore[attr-defined]  # needed nowhere else
        count += len(rows)
        on_rows(len(rows))
    there = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 (our own name)
    if there != count:
        raise ValueError(
            f"The table {table} has {there} rows, of which {count} were added: something writes."
        )


def _as_kept(row: Sequence[Any], flags: Sequence[int]) -> tuple[Any, ...]:
    """The row with what is true or false as such."""
    return tuple(bool(value) if at in flags else value for at, value in enumerate(row))


@contextmanager
def told(address: Address) -> Iterator[None]:
    """Whatever the database refuses is a ValueError, whose one line says what it was."""
    try:
        with in_words(address):
            yield
    except asyncpg.PostgresError as error:
        raise ValueError(f"{address} refuses what it is asked: {' '.join(str(error).split())}.") from error


async def _nothing(connection: Connection) -> None:
    await connection.execute("SELECT 1")


async def _row(connection: Connection, query: str) -> Any:
    return await connection.fetchrow(query)


async def _rows(connection: Connection, query: str, *given: object) -> list[Any]:
    return await connection.fetch(query, *given)


async def _cursor(connection: Connection, query: str) -> Any:
    return await connection.cursor(query)  # type: ignore[attr-defined]  # needed nowhere else


async def _fetched(connection: Connection, cursor: Any, limit: int) -> list[Any]:
    rows: list[Any] = await cursor.fetch(limit)
    return rows
