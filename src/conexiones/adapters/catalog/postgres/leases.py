"""Leases, in the database of a catalog, by the database's clock."""

import secrets
from collections.abc import Collection

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.transaction import Transaction

_LOCKS = ("leases",)

_HERE = """
INSERT INTO servers (id, until) VALUES ($1, clock_timestamp() + $2::float8 * interval '1 second')
ON CONFLICT (id) DO UPDATE SET until = excluded.until
"""
_GONE = (
    "DELETE FROM servers WHERE until < clock_timestamp()",
    "DELETE FROM leases WHERE until < clock_timestamp()",
)
_HELD = "SELECT name, server FROM leases WHERE name = ANY($1::text[])"
_TAKE = """
INSERT INTO leases (name, server, until)
SELECT name, $1, clock_timestamp() + $2::float8 * interval '1 second' FROM unnest($3::text[]) AS name
ON CONFLICT (name) DO UPDATE SET until = excluded.until
"""
_GIVE_BACK = "DELETE FROM leases WHERE server = $1 AND NOT name = ANY($2::text[])"


class PostgresLeases:
    """Leases of one server, in the database of a PostgresCatalog, which has to be open."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        self._catalog = catalog
        self._server = secrets.token_hex(8)

    async def hold(self, names: Collection[str], *, seconds: float) -> frozenset[str]:
        return await self._catalog.write(_LOCKS, _hold, self._server, sorted(names), seconds)

    async def leave(self) -> None:
        await self._catalog.write(_LOCKS, _leave, self._server)


async def _hold(transaction: Transaction, server: str, names: list[str], seconds: float) -> frozenset[str]:
    connection = transaction.connection
    for statement in _GONE:
        await connection.execute(statement)
    await connection.execute(_HERE, server, seconds)
    servers: int = await connection.fetchval("SELECT count(*) FROM servers")
    held = {row["name"]: row["server"] for row in await connection.fetch(_HELD, names)}
    share = -(-len(names) // servers)
    mine = [name for name in names if held.get(name) == server]
    ours = (mine + [name for name in names if name not in held])[:share]
    await connection.execute(_GIVE_BACK, server, ours)
    await connection.execute(_TAKE, server, seconds, ours)
    return frozenset(ours)


async def _leave(transaction: Transaction, server: str) -> None:
    await transaction.connection.execute("DELETE FROM leases WHERE server = $1", server)
    await transaction.connection.execute("DELETE FROM servers WHERE id = $1", server)
