"""The room for open uploads: the share of each client, and which uploads end so that others find room.

What is open is counted in the transaction that needs to know, by an index that has all that it takes: no
counter can go wrong. Functions that raise TooManyUploads or UploadBytesExceeded have changed nothing.
"""

import sqlite3

from conexiones.adapters.catalog.division import (
    Held,
    Quiet,
    check_share,
    fits,
    held_with,
    is_due,
    yielding_uploads,
)
from conexiones.ports.records import UploadQuota, UploadRecord, UploadTerms

# What an upload counts with: the announced bytes, or the committed ones if these are more.
_BYTES = "max(coalesce(declared_size, 0), committed_size)"

_HELD = f"""
SELECT count(*), coalesce(sum({_BYTES}), 0),
    coalesce(sum(client = ?1), 0), coalesce(sum(iif(client = ?1, {_BYTES}, 0)), 0)
FROM uploads WHERE state = 'OPEN' AND id <> ?2
"""  # noqa: S608 (our own expression)
_HELD_BY_CLIENT = f"""
SELECT client, count(*), sum({_BYTES}) FROM uploads WHERE state = 'OPEN' AND id <> ? GROUP BY client
"""  # noqa: S608 (our own expression)

# ?1 is the present, the others are the fields of UploadTerms.
_EXPIRED = """
state = 'OPEN' AND (
    update_time < ?1 - ?2 OR create_time < ?1 - ?3 OR committed_size = 0 AND create_time < ?1 - ?4
)
"""
_EXPIRE = f"UPDATE uploads SET state = 'EXPIRED', update_time = ?1 WHERE {_EXPIRED} RETURNING id"  # noqa: S608
_QUIET = f"""
SELECT id, client, {_BYTES}, update_time FROM uploads WHERE state = 'OPEN' AND id <> ?5 AND (
    update_time < ?1 - ?3
    OR create_time < ?1 - ?3
    AND committed_size < (?1 - create_time) * max(?4 / 1e6, coalesce(declared_size, 0) * 1.0 / ?2)
)
"""  # noqa: S608 (our own expression)
_END = "UPDATE uploads SET state = 'EXPIRED', update_time = ? WHERE id = ?"


def check_room(connection: sqlite3.Connection, upload: UploadRecord, quota: UploadQuota) -> None:
    """Whether the share of its client has room for an upload as it is given, new or with more bytes. Raises
    TooManyUploads, UploadBytesExceeded, whose facts are those of the share."""
    ((uploads, size, my_uploads, my_size),) = connection.execute(_HELD, (upload.client, upload.id)).fetchall()
    mine = Held(my_uploads, my_size)
    check_share(held_with(mine, upload), mine, Held(uploads - my_uploads, size - my_size), quota)


def expire(connection: sqlite3.Connection, terms: UploadTerms, now: int) -> list[str]:
    """Ends the uploads whose time is over, and gives their ids."""
    rows = connection.execute(_EXPIRE, (now, terms.idle, terms.total, terms.quiet))
    return [row[0] for row in rows.fetchall()]


def make_room(
    connection: sqlite3.Connection, upload: UploadRecord, quota: UploadQuota, terms: UploadTerms, now: int
) -> list[str]:
    """Ends what has expired, then quiet uploads of others if `upload` is due their room and they are enough.
    Gives the ids of all that were ended."""
    ended = expire(connection, terms, now)
    held = {
        client: Held(uploads, size)
        for client, uploads, size in connection.execute(_HELD_BY_CLIENT, (upload.id,)).fetchall()
    }
    mine = held.pop(upload.client, Held(0, 0))
    wanted = held_with(mine, upload)
    others = Held(sum(one.uploads for one in held.values()), sum(one.bytes for one in held.values()))
    if is_due(wanted, quota, clients=len(held) + 1) and not fits(wanted, mine, others, quota):
        values = (now, terms.total, terms.quiet, terms.least_rate, upload.id)
        rows = connection.execute(_QUIET, values).fetchall()
        quiet = [Quiet(*row) for row in rows if row[1] != upload.client]
        yielding = yielding_uploads(wanted, mine, held, quiet, quota)
        connection.executemany(_END, [(now, one.id) for one in yielding])
        ended += [one.id for one in yielding]
    return ended
