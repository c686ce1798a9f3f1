"""Who has the tables: servers, any number of them together, or one `conexiones migrate` alone.

Each transaction of a server shares a lock of the whole house, which lasts until its end. Whoever moves the
house holds the lock alone: a server that stood still meanwhile, and goes on, commits nothing.

While a house is being moved in, its tables say that they have a schema which no server knows. So none starts
over them, whichever version it has.
"""

import asyncio

from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.connections import Connection

MOVING = 1_000_000_000
"""The number of that schema."""

_CLASS = 0x436F6E6D  # "Conm"

SHARE = f"SELECT pg_advisory_xact_lock_shared({_CLASS}, 'event_head'::regclass::oid::int)"
"""Takes the share of a server, until the transaction ends. A house is known by a table of it: one database
may have several, each in a schema."""

_TRY_SHARE = f"SELECT pg_try_advisory_xact_lock_shared({_CLASS}, to_regclass('event_head')::oid::int)"
_TRY_ALL = f"SELECT pg_try_advisory_xact_lock({_CLASS}, to_regclass('event_head')::oid::int)"

# Where there are no tables yet, there are no servers either, but perhaps another one who makes them.
_TRY_SCHEMA = f"SELECT pg_try_advisory_xact_lock(hashtextextended(current_schema()::text, {_CLASS}))"

ATTEMPTS, ATTEMPT_SECONDS = 20, 0.1
"""A transaction of a server lasts no longer, as a rule, and then the lock is free."""

_SERVERS = "SELECT count(*) FROM servers WHERE until > clock_timestamp()"


async def refuse_moving(connection: Connection, address: Address) -> None:
    """ValueError, whose one line says what to do, if the house is being moved at this moment."""
    for _ in range(ATTEMPTS):  # the database may not know yet that one has ended
        if await connection.fetchval(_TRY_SHARE) is not False:  # None where there are no tables
            return
        await asyncio.sleep(ATTEMPT_SECONDS)
    raise ValueError(f"{address} is being moved by conexiones migrate: start no server until that has ended.")


def unfinished(address: Address) -> ValueError:
    """That a house was moved in only in part."""
    return ValueError(
        f"{address} is not complete: conexiones migrate was interrupted there, or is at work. Run it again,"
        " and it goes on."
    )


async def take(connection: Connection, address: Address) -> None:
    """Has the house for this transaction alone. ValueError, whose one line says what to do, if somebody else
    uses it."""
    for _ in range(ATTEMPTS):
        schema = await connection.fetchval(_TRY_SCHEMA)
        if schema is None:
            raise ValueError(f"{address} has no schema for the tables: CREATE SCHEMA makes one.")
        if schema and await connection.fetchval(_TRY_ALL) is not False:  # None where there are no tables
            return
        await asyncio.sleep(ATTEMPT_SECONDS)
    raise ValueError(
        f"{address} is in use, by a server or by another conexiones migrate: stop all servers, and run one at"
        " a time."
    )


async def refuse_served(connection: Connection, address: Address) -> None:
    """ValueError, whose one line says what to do, if servers run. One that was killed counts as running until
    its leases are over."""
    if servers := await connection.fetchval(_SERVERS):
        raise ValueError(
            f"{address} is served: {servers} of its servers run, or were killed less than ten seconds ago."
            " Stop them all first."
        )
