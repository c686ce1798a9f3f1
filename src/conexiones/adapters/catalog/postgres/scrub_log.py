"""The ScrubLog, in the database of a catalog: one for all servers."""

import json
from dataclasses import asdict

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.ports.verifying import Round, ScrubState

_SAVE = "INSERT INTO scrub (state) VALUES ($1) ON CONFLICT (one) DO UPDATE SET state = excluded.state"


class PostgresScrubLog:
    """In the database of a PostgresCatalog, which has to be open."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        self._catalog = catalog

    async def load(self) -> ScrubState:
        return await self._catalog.read(load)

    async def save(self, state: ScrubState) -> None:
        await self._catalog.write((), _save, state)


async def load(connection: Connection) -> ScrubState:
    text = await connection.fetchval("SELECT state FROM scrub")
    if text is None:
        return ScrubState()
    found = json.loads(text)
    rounds = {name: Round(**found[name]) for name in ("current", "finished")}
    return ScrubState(before=found["before"], damaged=found["damaged"], **rounds)


async def _save(transaction: Transaction, state: ScrubState) -> None:
    await transaction.connection.execute(_SAVE, json.dumps(asdict(state)))
