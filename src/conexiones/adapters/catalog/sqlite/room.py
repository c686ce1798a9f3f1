"""The room for open uploads: the share of each client, and which uploads end so that others find room.

What is open is counted in the transaction that needs to know, by an index that has all that it takes: no
counter can go wrong. Functions that raise TooManyUploads or UploadBytesExceeded have changed nothing.
"""

import sqlite3
from typing import NamedTuple

from conexiones.errors import ConexionesError, TooManyUploads, UploadBytesExceeded
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


class Held(NamedTuple):
    """What open uploads hold of a quota."""

    uploads: int
    bytes: int


class Quiet(NamedTuple):
    """An open upload that others may take the place of."""

    id: str
    client: str
    bytes: int
    update_time: int


def check_room(connection: sqlite3.Connection, upload: UploadRecord, quota: UploadQuota) -> None:
    """Whether the share of its client has room for an upload as it is given, new or with more bytes. Raises
    TooManyUploads, UploadBytesExceeded, whose facts are those of the share."""
    ((uploads, size, my_uploads, my_size),) = connection.execute(_HELD, (upload.client, upload.id)).fetchall()
    mine = Held(my_uploads, my_size)
    _check(_with(mine, upload), mine, Held(uploads - my_uploads, size - my_size), quota)


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
    wanted = _with(mine, upload)
    others = Held(sum(one.uploads for one in held.values()), sum(one.bytes for one in held.values()))
    if _is_due(wanted, quota, clients=len(held) + 1) and not _fits(wanted, mine, others, quota):
        values = (now, terms.total, terms.quiet, terms.least_rate, upload.id)
        rows = connection.execute(_QUIET, values).fetchall()
        quiet = [Quiet(*row) for row in rows if row[1] != upload.client]
        yielding = _yielding(wanted, mine, held, quiet, quota)
        connection.executemany(_END, [(now, one.id) for one in yielding])
        ended += [one.id for one in yielding]
    return ended


def _with(mine: Held, upload: UploadRecord) -> Held:
    """What a client holds with that upload."""
    size = max(upload.declared_size or 0, upload.committed_size)
    return Held(mine.uploads + 1, mine.bytes + size)


def _allowed(limit: int, mine: int, others: int) -> int:
    """How much a client may hold: half of what others leave or, if it holds nothing yet, all of that."""
    left = max(0, limit - others)
    return (left + 1) // 2 if mine else left


def _check(wanted: Held, mine: Held, others: Held, quota: UploadQuota) -> None:
    uploads = _allowed(quota.uploads, mine.uploads, others.uploads)
    if wanted.uploads > uploads:
        raise TooManyUploads(limit=uploads, actual=wanted.uploads)
    size = _allowed(quota.bytes, mine.bytes, others.bytes)
    if wanted.bytes > max(size, mine.bytes):  # one more without a byte takes no room
        raise UploadBytesExceeded(limit=size, actual=wanted.bytes)


def _fits(wanted: Held, mine: Held, others: Held, quota: UploadQuota) -> bool:
    try:
        _check(wanted, mine, others, quota)
    except ConexionesError:
        return False
    return True


def _is_due(wanted: Held, quota: UploadQuota, *, clients: int) -> bool:
    """Whether others have to yield: to a client's only upload, and to as much as all could have at once, if
    each of them took its share and one more came."""
    return wanted.uploads == 1 or (
        wanted.uploads <= quota.uploads // (clients + 1) and wanted.bytes <= quota.bytes // (clients + 1)
    )


def _yielding(
    wanted: Held, mine: Held, held: dict[str, Held], quiet: list[Quiet], quota: UploadQuota
) -> list[Quiet]:
    """The uploads to end, none if all of them together would not do.

    They are those of clients that hold more than the one that needs the room, and always of the client that
    holds most: the largest first if bytes are short, and otherwise those that were quiet for longest.
    """
    held, quiet = dict(held), sorted(quiet, key=lambda one: one.update_time)
    chosen: list[Quiet] = []
    others = Held(sum(one.uploads for one in held.values()), sum(one.bytes for one in held.values()))
    while not _fits(wanted, mine, others, quota):
        short = 0 if wanted.uploads > _allowed(quota.uploads, mine.uploads, others.uploads) else 1
        able = [one for one in quiet if held[one.client][short] > mine[short]]
        if not able:
            return []
        most = max(held[one.client][short] for one in able)
        of_most = [one for one in able if held[one.client][short] == most]
        one = max(of_most, key=lambda one: one.bytes) if short else of_most[0]
        quiet.remove(one)
        chosen.append(one)
        of_client = held[one.client]
        held[one.client] = Held(of_client.uploads - 1, of_client.bytes - one.bytes)
        others = Held(others.uploads - 1, others.bytes - one.bytes)
    return chosen
