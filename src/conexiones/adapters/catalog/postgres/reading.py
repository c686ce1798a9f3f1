"""The connections that read, and turns at them."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped]  # see failures.py

from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.failures import ConnectionLost, as_storage_error
from conexiones.adapters.catalog.postgres.measures import Measures
from conexiones.errors import StorageUnavailable
from conexiones.shares import Turns

READERS = 8
"""Connections that read at most. One of them is always left to other clients."""

IDLE_SECONDS = 60.0
"""A connection that nobody used for so long is not used again: a firewall may have forgotten it without a
word, and then nobody would answer. Of many that a burst needed, those are left that are needed."""

P = ParamSpec("P")
T = TypeVar("T")


class Readers:
    """Belongs to one event loop. Connections are made when they are needed. Before `open`, and after `close`,
    every call raises StorageUnavailable."""

    def __init__(self, address: Address, patience: Patience, measures: Measures) -> None:
        self._address = address
        self._patience = patience
        self._measures = measures
        self.turns = Turns(READERS, each=READERS - 1)
        self._idle: list[tuple[float, Connection]] = []  # since when; the one that was used last is the last
        self._using = 0  # connections
        self._open = False
        measures.observe_connections("read", lambda: self._using + len(self._idle))

    def open(self) -> None:
        self._open = True

    def close(self) -> None:
        """Cuts the connections that are idle. Reads that are under way go on."""
        self._open = False
        self._drop()

    async def read(
        self, work: Callable[Concatenate[Connection, P], Awaitable[T]], *given: P.args, **_: P.kwargs
    ) -> T:
        """What the function gives, which may be called twice. A read whose caller is cancelled is broken off:
        a search may take seconds."""
        if not self._open:
            raise StorageUnavailable
        end = asyncio.get_running_loop().time() + self._patience.read
        try:
            async with asyncio.timeout_at(end):
                await self.turns.__aenter__()
        except TimeoutError as error:
            raise StorageUnavailable from error
        try:
            return await self._read(end, partial(_asked, work, given))
        except Exception as error:
            found = as_storage_error(error)
            if found is error:
                raise
            raise found from error
        finally:
            await self.turns.__aexit__()

    async def _read(self, end: float, ask: Callable[[Connection], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        self._drop(unused_since=loop.time() - IDLE_SECONDS)
        if self._idle:
            _, connection = self._idle.pop()
            try:
                return await self._with(connection, end, ask)
            except ConnectionLost:
                # It was lost while it was idle, and the others probably, too.
                self._drop()
                if loop.time() >= end:
                    raise
        left = min(self._patience.connect, end - loop.time())
        async with self._measures.connecting():
            made = await connect(self._address, seconds=left)
        return await self._with(made, end, ask)

    async def _with(self, connection: Connection, end: float, ask: Callable[[Connection], Awaitable[T]]) -> T:
        begun = asyncio.get_running_loop().time()
        self._using += 1
        try:
            async with in_time(connection, end - begun):
                found = await ask(connection)
            self._measures.reads.record(asyncio.get_running_loop().time() - begun)
            return found
        except ConnectionLost:
            self._measures.lost.value += 1
            raise
        except asyncpg.PostgresError:
            raise
        except Exception:  # a defect: whatever state the connection is in
            connection.terminate()
            raise
        finally:
            self._using -= 1
            if self._open and not connection.is_closed():
                self._idle.append((asyncio.get_running_loop().time(), connection))
            else:
                connection.terminate()

    def _drop(self, *, unused_since: float = math.inf) -> None:
        """Cuts those that are idle, or of these the ones that were not used since then."""
        while self._idle and self._idle[0][0] < unused_since:
            _, connection = self._idle.pop(0)
            connection.terminate()


async def _asked(work: Callable[..., Awaitable[T]], given: tuple[object, ...], connection: Connection) -> T:
    return await work(connection, *given)
