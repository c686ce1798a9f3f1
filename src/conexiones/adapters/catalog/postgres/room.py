"""The room for open uploads: the share of each client, and which uploads end so that others find room.

What is open is counted in the transaction that needs to know, under a lock that all who count have: no server
lets in what another one has let in meanwhile. Uploads that another transaction is writing to are passed over
when some have to end: they are not idle. Functions that raise TooManyUploads or UploadBytesExceeded have
changed nothing.
"""

from conexiones.adapters.catalog.division import (
    Held,
    Quiet,
    check_share,
    fits,
    held_with,
    is_due,
    yielding_uploads,
)
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.ports.records import UploadQuota, UploadRecord, UploadTerms

# What an upload counts with: the announced bytes, or the committed ones if these are more.
_BYTES = "greatest(coalesce(declared_size, 0), committed_size)"

_HELD_BY_CLIENT = f"""
SELECT client, count(*), sum({_BYTES}) FROM uploads WHERE state = 'OPEN' AND id <> $1 GROUP BY client
"""  # noqa: S608 (our own expression)

# $1 is the present, the others are the fields of UploadTerms.
_EXPIRE = """
UPDATE uploads SET state = 'EXPIRED', update_time = $1 WHERE id IN (
    SELECT id FROM uploads WHERE state = 'OPEN' AND (
        update_time < $1::bigint - $2::bigint
        OR create_time < $1::bigint - $3::bigint
        OR committed_size = 0 AND create_time < $1::bigint - $4::bigint
    ) FOR UPDATE SKIP LOCKED
) RETURNING id
"""
_QUIET = f"""
SELECT id, client, {_BYTES}, update_time FROM uploads WHERE state = 'OPEN' AND id <> $5 AND client <> $6 AND (
    update_time < $1::bigint - $3::bigint
    OR create_time < $1::bigint - $3::bigint
    AND committed_size < ($1::bigint - create_time)
        * greatest($4::bigint / 1e6, coalesce(declared_size, 0) * 1.0 / $2::bigint)
) ORDER BY id FOR UPDATE SKIP LOCKED
"""  # noqa: S608 (our own expression)
_END = "UPDATE uploads SET state = 'EXPIRED', update_time = $1 WHERE id = ANY($2::text[])"


async def check_room(transaction: Transaction, upload: UploadRecord, quota: UploadQuota) -> None:
    """Whether the share of its client has room for an upload as it is given, new or with more bytes. Raises
    TooManyUploads, UploadBytesExceeded, whose facts are those of the share."""
    await transaction.lock_quota()
    mine, held = await _held(transaction, upload)
    check_share(held_with(mine, upload), mine, _sum(held), quota)


async def expire(transaction: Transaction, terms: UploadTerms, now: int) -> list[str]:
    """Ends the uploads whose time is over, and gives their ids."""
    now = await _not_ahead(transaction, now)
    values = (now, terms.idle, terms.total, terms.quiet)
    return [row["id"] for row in await transaction.connection.fetch(_EXPIRE, *values)]


async def make_room(
    transaction: Transaction, upload: UploadRecord, quota: UploadQuota, terms: UploadTerms, now: int
) -> list[str]:
    """Ends what has expired, then quiet uploads of others if `upload` is due their room and they are enough.
    Gives the ids of all that were ended."""
    await transaction.lock_quota()
    now = await _not_ahead(transaction, now)
    ended = await expire(transaction, terms, now)
    mine, held = await _held(transaction, upload)
    wanted = held_with(mine, upload)
    if is_due(wanted, quota, clients=len(held) + 1) and not fits(wanted, mine, _sum(held), quota):
        values = (now, terms.total, terms.quiet, terms.least_rate, upload.id, upload.client)
        quiet = [Quiet(*row) for row in await transaction.connection.fetch(_QUIET, *values)]
        ids = [one.id for one in yielding_uploads(wanted, mine, held, quiet, quota)]
        await transaction.connection.execute(_END, now, ids)
        ended += ids
    return ended


async def _not_ahead(transaction: Transaction, now: int) -> int:
    """The time of a server, but not later than that of the database: a server whose clock is wrong must not
    end the uploads of all others."""
    return min(now, int(await transaction.time() * 1_000_000))


async def _held(transaction: Transaction, upload: UploadRecord) -> tuple[Held, dict[str, Held]]:
    """What the client of an upload holds besides it, and what the others hold."""
    rows = await transaction.connection.fetch(_HELD_BY_CLIENT, upload.id)
    held = {client: Held(uploads, int(size)) for client, uploads, size in rows}
    return held.pop(upload.client, Held(0, 0)), held


def _sum(held: dict[str, Held]) -> Held:
    return Held(sum(one.uploads for one in held.values()), sum(one.bytes for one in held.values()))
