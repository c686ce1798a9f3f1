"""Credentials and the keys of links."""

from conexiones.adapters.catalog.credential_rows import COLUMNS, credential_row, read_credential
from conexiones.adapters.catalog.postgres.columns import quoted
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.ports.access import Credential, LinkKey

LOCKS = ("credentials",)
"""What all functions that write have to themselves."""

_ALL = f"SELECT {quoted(COLUMNS)} FROM credentials ORDER BY create_time, id"  # noqa: S608 (our own names)
_ADD = f"""
INSERT INTO credentials ({quoted(COLUMNS)}) VALUES ({", ".join(f"${at + 1}" for at in range(len(COLUMNS)))})
"""  # noqa: S608 (our own names)
_REVOKE = "UPDATE credentials SET revoke_time = $1 WHERE revoke_time IS NULL AND (id = $2 OR parent = $2)"
_USED = """
UPDATE credentials SET use_time = used.hour FROM unnest($1::text[], $2::bigint[]) AS used (id, hour)
WHERE credentials.id = used.id
"""
_BEFORE = "CASE WHEN kind = 'token' THEN $1::bigint ELSE $2::bigint END"
_ENDED = f"(expire_time < {_BEFORE} OR revoke_time < {_BEFORE})"


async def all_credentials(connection: Connection) -> list[Credential]:
    return [read_credential(row) for row in await connection.fetch(_ALL)]


async def add_credential(transaction: Transaction, credential: Credential) -> None:
    await transaction.connection.execute(_ADD, *credential_row(credential))


async def revoke_credential(transaction: Transaction, credential_id: str, now: int) -> None:
    await transaction.connection.execute(_REVOKE, now, credential_id)


async def use_credentials(transaction: Transaction, hours: dict[str, int]) -> None:
    await transaction.connection.execute(_USED, list(hours), list(hours.values()))


async def forget_credentials(transaction: Transaction, tokens: int, others: int) -> None:
    for statement in (
        f"DELETE FROM spent WHERE ticket IN (SELECT id FROM credentials WHERE {_ENDED})",  # noqa: S608
        f"DELETE FROM credentials WHERE {_ENDED}",  # noqa: S608 (our own expression)
    ):
        await transaction.connection.execute(statement, tokens, others)


async def link_keys(connection: Connection) -> list[LinkKey]:
    rows = await connection.fetch("SELECT id, secret, create_time FROM link_keys ORDER BY create_time, id")
    return [LinkKey(**row) for row in rows]


async def add_link_key(transaction: Transaction, key: LinkKey) -> None:
    await transaction.connection.execute(
        "INSERT INTO link_keys (id, secret, create_time) VALUES ($1, $2, $3)",
        key.id,
        key.secret,
        key.create_time,
    )


async def forget_link_keys(transaction: Transaction, created_before: int) -> None:
    await transaction.connection.execute("DELETE FROM link_keys WHERE create_time < $1", created_before)
