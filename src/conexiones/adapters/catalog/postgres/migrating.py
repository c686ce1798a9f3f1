"""How the tables come to be, and become those of this version: the files in migrations/, in order.

All steps of one start are one transaction under an advisory lock: of several servers that start at once one
takes them, the others wait for it, and a start that is killed leaves the tables as they were.
"""

import asyncio
import logging
import re
from functools import cache
from importlib import resources

import asyncpg  # type: ignore[import-untyped]  # see failures.py

from conexiones.adapters.catalog.postgres import migrations
from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.house import MOVING, unfinished

log = logging.getLogger(__name__)

LOCK = 0x436F6E65786D6967
"""The advisory lock, as the bytes of "Conexmig"."""

TABLE_SECONDS = 2.0
"""How long a step waits for a table that something holds: what servers ask of it waits behind the step."""

ATTEMPTS, PAUSE_SECONDS = 30, 2.0
"""Attempts to get all tables, and the time between two."""

IDLE_SECONDS = 60
"""The database ends the transaction of a start that stands still for so long: all others wait for it."""

_BEGIN = f"""
BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'
"""

_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (version int PRIMARY KEY, name text NOT NULL, time timestamptz NOT NULL)
"""


@cache
def steps() -> dict[int, tuple[str, str]]:
    """Version → the name of its file, and its statements."""
    found = {}
    for file in resources.files(migrations).iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found[int(match[1])] = (file.name, file.read_text())
    return dict(sorted(found.items()))


async def bring_up(connection: Connection, address: Address) -> None:
    """Creates the tables, or migrates those of an older version. ValueError, whose one line says what to do,
    if a newer version has made them."""
    found = await version(connection)
    _refuse_newer(found, address)
    if found == newest():
        return  # whoever only uses the tables needs no right to create any
    for attempt in range(ATTEMPTS):
        try:
            await _bring_up(connection, address)
        except asyncpg.LockNotAvailableError:
            if not attempt:
                log.warning("The tables are held by something, such as pg_dump: they are brought up after it")
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return
    raise ValueError(
        f"{address} has tables of an older version, which something holds, such as pg_dump: start this server"
        " again when that has ended."
    )


async def _bring_up(connection: Connection, address: Address) -> None:
    await connection.execute(_BEGIN)
    try:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(f"SET LOCAL lock_timeout = {round(1000 * TABLE_SECONDS)}")
        await connection.execute(_TABLE)
        found = await version(connection)
        _refuse_newer(found, address)
        await _take_steps(connection, found)
        await connection.execute("COMMIT")
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise


async def begin_moving(connection: Connection, address: Address, origin: str) -> bool:
    """Makes the tables of a house that is moved in from an origin, which no server uses before `end_moving`;
    or goes on with those of an earlier attempt. Gives whether they are new. ValueError, whose one line says
    what to do, if there are others."""
    await connection.execute("BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
    try:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        found = await check_new(connection, address, origin)
        await connection.execute(_TABLE)
        await _take_steps(connection, found or 0)
        if found is None:
            await connection.execute("INSERT INTO migrations VALUES ($1, $2, now())", MOVING, origin)
        await connection.execute("COMMIT")
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    return found is None


async def check_new(connection: Connection, address: Address, origin: str) -> int | None:
    """The number of the schema of a house that was moved in from that origin in part; None where there are no
    tables yet. ValueError, as above."""
    found = await version(connection)
    if not found:
        return None
    if found != MOVING:
        raise ValueError(
            f"{address} has a house already: give an empty database, or a schema of its own with"
            " ?search_path=NAME."
        )
    before = await connection.fetchval("SELECT name FROM migrations WHERE version = $1", MOVING)
    if before != origin:
        raise ValueError(
            f"{address} has a part of another house, which was moved there from {before}: go on with that, or"
            " give an empty database."
        )
    found = int(
        await connection.fetchval("SELECT max(version) FROM migrations WHERE version <> $1", MOVING) or 0
    )
    if found > newest():
        _refuse_newer(found, address)
    return found


async def refuse_other(connection: Connection, address: Address) -> None:
    """ValueError, whose one line says what to do, if the tables are not those that this program makes."""
    found = await version(connection)
    if found == MOVING:
        raise unfinished(address)
    if not found:
        raise ValueError(f"{address} has no house: no server has ever used it.")
    if found != newest():
        raise ValueError(
            f"{address} has schema version {found}, and this program {newest()}: use the newer one,"
            " or start a server of this one once, which brings the tables up."
        )


async def end_moving(connection: Connection) -> None:
    """Lets servers use the tables, once the transaction is committed."""
    await connection.execute("DELETE FROM migrations WHERE version = $1", MOVING)


async def _take_steps(connection: Connection, found: int) -> None:
    for number, (name, statements) in steps().items():
        if number > found:
            await connection.execute(statements)
            await connection.execute("INSERT INTO migrations VALUES ($1, $2, now())", number, name)


async def version(connection: Connection) -> int:
    """The number of the schema that there is, 0 for none."""
    if await connection.fetchval("SELECT to_regclass('migrations')") is None:
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM migrations"))


def newest() -> int:
    """The number of the schema that this program makes."""
    return max(steps())


def _refuse_newer(found: int, address: Address) -> None:
    if found == MOVING:
        raise unfinished(address)
    if found > newest():
        raise ValueError(
            f"{address} has schema version {found}, and this server knows {newest()} at most: start the"
            " newer server that wrote it."
        )
