"""Hears of what other servers commit: events, and changes of credentials."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from conexiones.adapters.catalog.postgres.address import Address, in_words, refusal
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.failures import ConnectionLost
from conexiones.adapters.catalog.postgres.measures import Measures
from conexiones.adapters.catalog.postgres.transaction import CHANNEL

POLL_SECONDS = 1.0
"""Time between two looks at the counters. They are what is believed: a notification, which a lost
connection or a pooler may swallow, only makes the next look come at once."""

_SCHEMA = "SELECT current_schema()"
_NEWEST = "SELECT (SELECT sequence FROM event_head), (SELECT number FROM access_head)"

log = logging.getLogger(__name__)


async def check_direct(connection: Connection, address: Address, direct: Address, patience: Patience) -> None:
    """ValueError, whose one line says what to do, if what commits at `address`, of which there is a
    connection, cannot be heard of at `direct`: its numbers would be those of other events, and a credential
    that was revoked would still be good."""
    channel = f"conexiones_{secrets.token_hex(8)}"
    told = asyncio.Event()
    with in_words(direct):
        other = await connect(direct, seconds=patience.connect)
        try:
            async with in_time(other, patience.read):
                await other.add_listener(channel, lambda *_: told.set())
                theirs = await other.fetchval(_SCHEMA)
            async with in_time(connection, patience.read):
                await connection.execute(f"NOTIFY {channel}")
                same = await connection.fetchval(_SCHEMA) == theirs
            with suppress(TimeoutError):
                async with asyncio.timeout(patience.read if same else 0):
                    await told.wait()
        finally:
            other.terminate()
    if not told.is_set() or not same:
        raise ValueError(
            f"{direct} is not the database at {address}, or a pooler stands before it, too: correct"
            " --database-direct."
        )


async def follow(
    address: Address,
    patience: Patience,
    on_newest: Callable[[int, int], None],
    measures: Measures,
    ask: Callable[[], Awaitable[tuple[int, int]]],
) -> None:
    """Calls `on_newest` with the sequence of the newest event and the number of the newest change of
    credentials, again and again, until it is cancelled. While there is no connection to the address, `ask` is
    asked for them."""
    heard = True

    def hear(newest: int, change: int) -> None:
        nonlocal heard
        heard = True
        on_newest(newest, change)

    while True:
        try:
            await _follow(address, patience, hear, measures)
        except Exception as error:
            if heard:
                said = refusal(error, address) or repr(error)
                log.warning("What other servers commit is heard of late, or not: %s", said)
            heard = False
            with suppress(Exception):
                on_newest(*await ask())
        await asyncio.sleep(POLL_SECONDS)


async def _follow(
    address: Address, patience: Patience, on_newest: Callable[[int, int], None], measures: Measures
) -> None:
    async with measures.connecting():
        connection = await connect(address, seconds=patience.connect)
    measures.listening = True
    try:
        told = asyncio.Event()
        if not address.pooled:
            async with in_time(connection, patience.read):
                await connection.add_listener(CHANNEL, lambda *_: told.set())
        while True:
            told.clear()
            await _look(connection, patience, on_newest)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await told.wait()
    except ConnectionLost:
        measures.lost.value += 1
        raise
    finally:
        measures.listening = False
        connection.terminate()


async def _look(connection: Connection, patience: Patience, on_newest: Callable[[int, int], None]) -> None:
    async with in_time(connection, patience.read):
        newest, change = await newest_of(connection)
    on_newest(newest, change)


async def newest_of(connection: Connection) -> tuple[int, int]:
    """The sequence of the newest event, and the number of the newest change of credentials."""
    newest, change = await connection.fetchrow(_NEWEST)
    return newest, change
