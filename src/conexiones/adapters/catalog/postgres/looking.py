"""A database that servers use, as whoever looks at all of it reads it beside them, for hours.

Each question is a short transaction of its own that can only read: nothing that servers do waits for it, no
old row has to stay for it, and a user who may only SELECT is enough. A connection that is lost is made again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped]  # see failures.py

from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.failures import ConnectionLost
from conexiones.adapters.catalog.postgres.migrating import refuse_other
from conexiones.adapters.catalog.postgres.moving import told

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt at a question, where the connection is lost: a database that fails over
is there again by then."""

ASK_SECONDS = 3600.0
"""How long a question may take: one that adds up all rows is among them."""

_BEGIN = """
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0
"""

P = ParamSpec("P")
T = TypeVar("T")


class Unreadable(Exception):
    """The database finds that what it has itself is damaged. The text is what it says of that."""


class Looking:
    """Belongs to one event loop. Methods raise ValueError, whose one line says what to do, if the database
    cannot be used, or any more."""

    def __init__(self, url: str, *, patience: Patience | None = None) -> None:
        """ValueError, whose sentence says what a URL looks like, if it is none."""
        # A pooler may stand before it, such as the one that servers use.
        self.address = Address(url, pooled=True)
        self._patience = patience or Patience()
        self._connection: Connection | None = None
        self._asking = asyncio.Lock()

    async def open(self) -> None:
        """Looks whether there are the tables of this version."""
        with told(self.address):
            await self._ask(refuse_other, self.address)

    def close(self) -> None:
        """May be called more than once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def ask(
        self, work: Callable[Concatenate[Connection, P], Awaitable[T]], *given: P.args, **named: P.kwargs
    ) -> T:
        """What a function gives that reads, and sees all as at one moment; it may be called again. Raises
        Unreadable, too."""
        with told(self.address):
            for seconds in WAITS:
                with suppress(ConnectionLost):
                    return await self._ask(work, *given, **named)
                await asyncio.sleep(seconds)
            return await self._ask(work, *given, **named)

    async def _ask(
        self, work: Callable[Concatenate[Connection, P], Awaitable[T]], *given: P.args, **named: P.kwargs
    ) -> T:
        """Raises ConnectionLost where the same question may be answered in a moment."""
        async with self._asking:
            connection = self._connection
            if connection is None or connection.is_closed():
                connection = self._connection = await self._connected()
            try:
                async with in_time(connection, ASK_SECONDS):
                    return await _in_transaction(connection, work, *given, **named)
            except asyncpg.InsufficientPrivilegeError as error:
                raise ValueError(
                    f"The user of {self.address} may not read all that is to be verified: {_line(error)}."
                    " GRANT SELECT ON ALL TABLES IN SCHEMA lets it."
                ) from None
            except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
                raise Unreadable(_line(error)) from None

    async def _connected(self) -> Connection:
        try:
            return await connect(self.address, seconds=self._patience.connect, writes=False)
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
            raise ConnectionLost from error


async def _in_transaction(
    connection: Connection,
    work: Callable[Concatenate[Connection, P], Awaitable[T]],
    *given: P.args,
    **named: P.kwargs,
) -> T:
    await connection.execute(_BEGIN)
    try:
        done = await work(connection, *given, **named)
    except Exception:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    return done


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
