"""Credentials and the keys of links."""

from conexiones.adapters.catalog.credential_rows import COLUMNS, credential_row, read_credential
from conexiones.adapters.catalog.postgres.columns import quoted
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.transaction import CHANNEL, Transaction
from conexiones.ports.access import Changes, Credential, LinkKey

LOCKS = ("credentials",)
"""What all functions that write have to themselves."""

_SELECT = f"SELECT {quoted(COLUMNS)} FROM credentials"  # noqa: S608 (our own names)
_ADD = f"""
INSERT INTO credentials (change, {quoted(COLUMNS)})
VALUES ($1, {", ".join(f"${at}" for at in range(2, 2 + len(COLUMNS)))})
"""  # noqa: S608 (our own names)
_REVOKE = """
UPDATE credentials SET revoke_time = $2, change = $1 WHERE revoke_time IS NULL AND (id = $3 OR parent = $3)
"""
# Another server may have noted a later use.
_USED = """
UPDATE credentials SET use_time = used.hour, change = $1
FROM unnest($2::text[], $3::bigint[]) AS used (id, hour)
WHERE credentials.id = used.id AND (use_time IS NULL OR use_time < used.hour)
"""
_CHANGE = f"UPDATE access_head SET number = number + 1 RETURNING number, pg_notify('{CHANNEL}', '')"  # noqa: S608
_NEWEST = "SELECT number FROM access_head"
_BEFORE = "CASE WHEN kind = 'token' THEN $1::bigint ELSE $2::bigint END"
_ENDED = f"(expire_time < {_BEFORE} OR revoke_time < {_BEFORE})"


async def all_credentials(connection: Connection) -> list[Credential]:
    rows = await connection.fetch(f"{_SELECT} ORDER BY create_time, id")
    return [read_credential(row) for row in rows]


async def newest_change(connection: Connection) -> int:
    return int(await connection.fetchval(_NEWEST))


async def changes(connection: Connection, after: int) -> Changes | None:
    # Read first: what changes meanwhile is told of again.
    number = await newest_change(connection)
    if number == after:
        return None
    if number < after:  # a database that was behind has taken the place of that one
        after = -1
    rows = await connection.fetch(f"{_SELECT} WHERE change > $1 ORDER BY create_time, id", after)
    return Changes(
        number=number,
        credentials=[read_credential(row) for row in rows],
        keys=await link_keys(connection),
    )


async def _change(transaction: Transaction) -> int:
    """The number of a change, of which other servers are told when it is committed."""
    return int(await transaction.connection.fetchval(_CHANGE))


async def add_credential(transaction: Transaction, credential: Credential) -> None:
    await transaction.connection.execute(_ADD, await _change(transaction), *credential_row(credential))


async def revoke_credential(transaction: Transaction, credential_id: str, now: int) -> None:
    await transaction.connection.execute(_REVOKE, await _change(transaction), now, credential_id)


async def use_credentials(transaction: Transaction, hours: dict[str, int]) -> None:
    change = await _change(transaction)
    await transaction.connection.execute(_USED, change, list(hours), list(hours.values()))


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
    await _change(transaction)
    await transaction.connection.execute(
        "INSERT INTO link_keys (id, secret, create_time) VALUES ($1, $2, $3)",
        key.id,
        key.secret,
        key.create_time,
    )


async def forget_link_keys(transaction: Transaction, created_before: int) -> None:
    await _change(transaction)
    await transaction.connection.execute("DELETE FROM link_keys WHERE create_time < $1", created_before)
