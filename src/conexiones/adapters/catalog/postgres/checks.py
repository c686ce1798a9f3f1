"""What has to be true of a database before anything is stored in it."""

import logging
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from conexiones.adapters.catalog.postgres.address import Address, in_words
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect, in_time
from conexiones.adapters.catalog.postgres.house import MOVING, unfinished
from conexiones.adapters.catalog.postgres.migrating import newest, version

OLDEST = 14
"""The oldest major version of PostgreSQL that has what the catalog needs."""

_FACTS = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
    current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes
"""

log = logging.getLogger(__name__)

T = TypeVar("T")


async def check_server(connection: Connection, address: Address) -> None:
    """ValueError, whose one line says what to do, if the server would not keep what it is given."""
    for setting in await _check(connection, address):
        log.warning("%s has %s = off: a power failure may lose everything in it", address, setting)


async def _check(connection: Connection, address: Address) -> list[str]:
    """The settings that are off with which a power failure may lose everything."""
    facts = await connection.fetchrow(_FACTS)
    if facts["version"] < OLDEST * 10_000:
        raise ValueError(
            f"{address} is PostgreSQL {facts['version'] // 10_000}: the catalog needs {OLDEST} or newer."
        )
    if facts["encoding"] != "UTF8":
        raise ValueError(
            f"{address} has the encoding {facts['encoding']}: CREATE DATABASE with ENCODING 'UTF8' is needed."
        )
    if facts["commit"] == "off":
        raise ValueError(
            f"{address} has synchronous_commit = off, so a crash would lose what was acknowledged: ALTER"
            " DATABASE … SET synchronous_commit = on."
        )
    return [setting for setting in ("fsync", "full_page_writes") if facts[setting] == "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a database says of itself. `version` is PostgreSQL's, `commit` its synchronous_commit, `schema`
    the number of the tables' schema, 0 if there are none, and `newest` the one that this program makes.
    `forbidden` are tables that the user may not read or write; `creates` is whether it may make tables.
    `off` are settings that are off with which a power failure may lose everything. `ahead` is by how many
    seconds its clock is before that of this machine, and `latency` how many a question takes, of the median
    of a few."""

    version: str
    commit: str
    schema: int
    newest: int
    forbidden: list[str]
    creates: bool
    connections: int
    off: list[str]
    ahead: float
    latency: float


_LOOK = """
SELECT current_setting('server_version') AS version, current_setting('synchronous_commit') AS commit,
    current_setting('max_connections')::int AS connections,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS creates,
    array(
        SELECT relname::text FROM pg_class
        WHERE relkind = 'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
            AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
        ORDER BY relname
    ) AS forbidden
"""
_QUESTIONS = 5


async def look(url: str, *, pooled: bool = False, patience: Patience | None = None) -> Looked:
    """Asks a database, and changes nothing in it. ValueError, whose one line says what to do, if it cannot be
    reached or used."""
    return await ask(url, _looked, pooled=pooled, patience=patience)


async def ask(
    url: str,
    question: Callable[[Connection, Address], Awaitable[T]],
    *,
    pooled: bool = False,
    patience: Patience | None = None,
) -> T:
    """What a function finds out by a connection of its own. ValueError as above."""
    patience = patience or Patience()
    address = Address(url, pooled=pooled)
    with in_words(address):
        connection = await connect(address, seconds=patience.connect)
        try:
            async with in_time(connection, patience.read):
                return await question(connection, address)
        finally:
            connection.terminate()


async def _looked(connection: Connection, address: Address) -> Looked:
    off = await _check(connection, address)
    schema = await version(connection)
    if schema == MOVING:
        raise unfinished(address)
    found = await connection.fetchrow(_LOOK)
    took, ahead = [], 0.0
    for _ in range(_QUESTIONS):
        begun, asked = time.time(), time.perf_counter()
        theirs = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        took.append(time.perf_counter() - asked)
        ahead = theirs - begun - took[-1] / 2
    return Looked(
        **found,
        schema=schema,
        newest=newest(),
        off=off,
        ahead=ahead,
        latency=statistics.median(took),
    )
