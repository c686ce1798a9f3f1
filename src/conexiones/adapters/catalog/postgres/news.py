"""Hears of what other servers commit: events, and changes of credentials."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from conexiones.adapters.catalog.postgres.address import Address, in_words
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.failures import ConnectionLost, ends_connection
from conexiones.adapters.catalog.postgres.measures import Measures
from conexiones.adapters.catalog.postgres.transaction import CHANNEL

POLL_SECONDS = 1.0
"""Time between two looks at the counters. They are what is believed: a notification, which a lost
connection or a pooler may swallow, only makes the next look come at once."""

LOOKS = 10
"""Looks by way of the pooler, where the database itself cannot be reached, until that is tried again."""

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
        with in_words(direct):
            async with in_time(other, patience.read):
                await other.add_listener(channel, lambda *_: told.set())
                theirs = await other.fetchval(_SCHEMA)
        with in_words(address):
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


async def refuse_another(
    connection: Connection, address: Address, direct: Address, patience: Patience
) -> None:
    """The same, but for a `direct` that cannot be reached at the moment: `follow` looks again, and does
    without it meanwhile."""
    try:
        await check_direct(connection, address, direct, patience)
    except ValueError as error:
        if error.__cause__ is None or not ends_connection(error.__cause__):
            raise


class Heard:
    """What is known to be committed: the sequence of the newest `event`, and the number of the newest
    `change` of credentials. Belongs to one event loop."""

    def __init__(self) -> None:
        self.event = 0
        self.change = 0
        self._news = asyncio.Event()  # set when there is a newer one; then a fresh one takes its place
        self._was_taken_back = False

    def told(self, event: int, change: int = 0) -> None:
        """Wakes those who wait, if there is a newer one."""
        if event > self.event or change > self.change:
            self.event = max(event, self.event)
            self.change = max(change, self.change)
            self.wake()

    def taken_back(self, event: int, change: int) -> None:
        """What is known is not there any more. Whoever waits for a newer one goes on waiting, rather than to
        look for it again and again."""
        if not self._was_taken_back:
            log.error(
                "The database has taken back what it had committed, as after a failover to a standby that was"
                " behind: restart all servers"
            )
        self._was_taken_back = True
        self.event, self.change = event, change

    def wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def news(self) -> None:
        """Waits until somebody is woken."""
        await self._news.wait()


async def follow(
    address: Address, pooled: Address, patience: Patience, heard: Heard, measures: Measures
) -> None:
    """Tells of what is committed, until it is cancelled. It is listened to at `address`. While that cannot be
    reached, or is not the database at `pooled` any more, that one is asked, where all is stored: a credential
    that was revoked must not be good for as long as only a way to the database is away."""
    reachable = True

    async def listen() -> None:
        nonlocal reachable
        try:
            if pooled is not address:
                async with _connected(pooled, patience, measures) as storing:
                    await check_direct(storing, pooled, address, patience)
            async with _connected(address, patience, measures) as connection:
                told = asyncio.Event()
                async with in_time(connection, patience.read):
                    await connection.add_listener(CHANNEL, lambda *_: told.set())
                while True:
                    told.clear()
                    await _look(connection, patience, heard)
                    measures.listening = reachable = True
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL_SECONDS):
                            await told.wait()
        except Exception as error:
            if reachable:
                why = str(error) or type(error).__name__
                log.warning("What other servers commit is not heard of: %s", why)
            reachable = False
        finally:
            measures.listening = False

    async def ask() -> None:
        with suppress(Exception):
            async with _connected(pooled, patience, measures) as connection:
                for _ in range(LOOKS):
                    await _look(connection, patience, heard)
                    await asyncio.sleep(POLL_SECONDS)

    while True:
        await listen()
        if pooled is not address:
            await ask()
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _connected(address: Address, patience: Patience, measures: Measures) -> AsyncIterator[Connection]:
    async with measures.connecting():
        connection = await connect(address, seconds=patience.connect)
    try:
        yield connection
    except ConnectionLost:
        measures.lost.value += 1
        raise
    finally:
        connection.terminate()


async def _look(connection: Connection, patience: Patience, heard: Heard) -> None:
    known = heard.event, heard.change  # before it is asked
    async with in_time(connection, patience.read):
        event, change = await connection.fetchrow(_NEWEST)
    if event < known[0] or change < known[1]:
        heard.taken_back(event, change)
    else:
        heard.told(event, change)
