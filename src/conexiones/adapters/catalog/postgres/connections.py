"""Connections to PostgreSQL, each with an end to every wait.

The driver ends a query that takes too long by a request on another connection, which waits in its turn if the
server is frozen. So time is kept here: when it is over, the connection is cut, and whoever waits for it hears
ConnectionLost at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]  # see failures.py

from conexiones.adapters.catalog.postgres.address import NOT_UNDERSTOOD, Address
from conexiones.adapters.catalog.postgres.columns import decoded, encoded
from conexiones.adapters.catalog.postgres.failures import ConnectionLost, ends_connection

LOOK_SECONDS = 1
"""The server looks so often, while it works, whether the client is still there: a search that nobody waits
for ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds.

    connect: for a connection.
    read: for a read in all, with its turn and its connection.
    write: for a write, from when it is asked for, until nothing more is tried.
    transaction: for all statements of a transaction, and once more for its commit.
    lock: for a lock that another transaction holds.
    idle: until the server ends a transaction whose client has gone away.
    """

    connect: float = 3.0
    read: float = 10.0
    write: float = 10.0
    transaction: float = 8.0
    lock: float = 5.0  # longer than idle: a server that froze in a transaction holds nobody up for good
    idle: float = 3.0


class Connection(Protocol):
    """What is used of asyncpg.Connection."""

    async def execute(self, query: str, /, *args: object) -> str: ...
    async def fetch(self, query: str, /, *args: object) -> list[Any]: ...
    async def fetchrow(self, query: str, /, *args: object) -> Any: ...
    async def fetchval(self, query: str, /, *args: object) -> Any: ...
    async def executemany(self, query: str, args: Sequence[Sequence[object]], /) -> None: ...
    async def add_listener(self, channel: str, callback: Callable[..., None], /) -> None: ...
    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...


async def connect(address: Address, *, seconds: float, writes: bool = True) -> Connection:
    """A connection to a server that takes writes: of several hosts, to the first that does. Without `writes`
    the user may be one who only reads, and the server is no standby all the same. Raises what the driver
    does; TimeoutError in time. ValueError if the URL is not understood."""
    attempts = [_connect(url, address.pooled, seconds, writes=writes) for url in address.hosts]
    return await attempts[0] if len(attempts) == 1 else await _first(attempts)


async def _first(attempts: list[Coroutine[None, None, Connection]]) -> Connection:
    """The first connection of attempts at once. Whatever else comes of them is closed."""
    tasks = [asyncio.create_task(attempt) for attempt in attempts]
    waiting, first = set(tasks), None
    try:
        while waiting and first is None:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            first = next((task for task in done if not task.exception()), None)
        return (first or tasks[-1]).result()
    finally:
        for task in tasks:
            task.cancel()
        for task, made in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if task is not first and not isinstance(made, BaseException):
                made.terminate()


async def _connect(url: str, pooled: bool, seconds: float, *, writes: bool) -> Connection:
    settings = {"application_name": "conexiones"}
    if not pooled:
        settings["client_connection_check_interval"] = f"{LOOK_SECONDS}s"
    async with asyncio.timeout(seconds):
        try:
            connection: Connection = await asyncpg.connect(
                url,
                timeout=seconds,
                server_settings=settings,
                target_session_attrs="read-write" if writes else "primary",
                # Behind a pooler, what one transaction has prepared the next one does not find.
                statement_cache_size=0 if pooled else 512,
            )
        except ValueError as error:
            if isinstance(error, asyncpg.InterfaceError):
                raise  # in words of its own
            # It quotes what it does not understand, which may be a part of a password.
            raise ValueError(NOT_UNDERSTOOD) from None
        try:
            await connection.set_type_codec(  # type: ignore[attr-defined]  # not needed elsewhere
                "text", schema="pg_catalog", encoder=encoded, decoder=decoded, format="binary"
            )
        except BaseException:
            connection.terminate()
            raise
    return connection


@asynccontextmanager
async def in_time(connection: Connection, seconds: float) -> AsyncIterator[None]:
    """Cuts the connection when the time is over. Whatever comes of a lost connection is ConnectionLost."""
    end = asyncio.get_running_loop().call_later(max(0.0, seconds), connection.terminate)
    try:
        yield
    except Exception as error:
        if ends_connection(error) or connection.is_closed():
            connection.terminate()
            raise ConnectionLost from error
        raise
    except BaseException:
        connection.terminate()  # a statement may still be under way
        raise
    finally:
        end.cancel()
