"""What the SQLite catalog reads and writes. Each function runs in one transaction, which it may share with
others."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields, replace
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from conexiones.adapters.catalog.sqlite.room import check_room
from conexiones.adapters.catalog.sqlite.row_sums import is_intact, row_sum
from conexiones.adapters.catalog.sqlite.search import Wanted
from conexiones.errors import BlobCorrupt
from conexiones.ports.records import (
    Counts,
    EventRecord,
    Facts,
    ImageRecord,
    UploadQuota,
    UploadRecord,
    UploadState,
    UserRecord,
)

R = TypeVar("R", ImageRecord, UserRecord, UploadRecord, EventRecord)

ROWS = 128
"""Rows of one statement. For each statement the driver gives up the interpreter a few times, and waits to
have it again."""


def _columns(record: type) -> tuple[str, ...]:
    """The columns of a record's table, which are named as its fields."""
    return tuple(field.name for field in fields(record))


_EVENT = ("kind", "image_id", "user", "time", "owner")
_NAMES = {record: _columns(record) for record in (ImageRecord, UserRecord, UploadRecord, EventRecord)}
_IMAGE, _UPLOAD, _FACTS = _NAMES[ImageRecord], _NAMES[UploadRecord], _columns(Facts)
image_row = attrgetter(*_IMAGE)
upload_row = attrgetter(*_UPLOAD)
_facts_row = attrgetter(*_FACTS)
_of_image = itemgetter(*map(_IMAGE.index, ("id", "size", "user", "create_time", "name", "owner")))
request_of = itemgetter(*map(_UPLOAD.index, ("owner", "ticket", "request_id")))


def _select(record: type, table: str) -> str:
    """The start of a statement whose rows `_found` and `_first` read."""
    return f"SELECT {', '.join(f'{table}.{name}' for name in _columns(record))} FROM {table}"  # noqa: S608


_IMAGES = f"SELECT {', '.join(f'images.{name}' for name in _IMAGE)}, images.checksum FROM images"  # noqa: S608
_GET_IMAGE = f"{_IMAGES} WHERE id = ?"
_NEWEST = f"{_IMAGES} ORDER BY id DESC LIMIT ?"
_NEWEST_BEFORE = f"{_IMAGES} WHERE id < ? ORDER BY id DESC LIMIT ?"
_GET_USER = f"{_select(UserRecord, 'users')} WHERE owner = ? AND name = ?"
_GET_UPLOAD = f"{_select(UploadRecord, 'uploads')} WHERE id = ?"
_GET_REQUEST = f"{_select(UploadRecord, 'uploads')} WHERE owner = ? AND ticket = ? AND request_id = ?"
_GET_EVENTS = f"{_select(EventRecord, 'events')} WHERE sequence > ? ORDER BY sequence LIMIT ?"
_GET_NEWS = f"""
SELECT {", ".join(f"events.{name}" for name in _NAMES[EventRecord])},
    {", ".join(f"images.{name}" for name in _IMAGE)}, images.checksum
FROM events LEFT JOIN images ON images.id = events.image_id
WHERE sequence > ? ORDER BY sequence LIMIT ?
"""  # noqa: S608 (our own names)

_NEWEST_EVENT = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
# One statement, so that both numbers are of one snapshot.
_EVENT_RANGE = f"SELECT (SELECT min(sequence) FROM events), ({_NEWEST_EVENT})"  # noqa: S608 (our own names)
_FORGET_EVENTS = """
DELETE FROM events WHERE sequence <= min(?1, (SELECT min(sequence) FROM events) + ?2 - 1)
"""
_COUNTS = """
SELECT (SELECT count(*) FROM images), (SELECT coalesce(sum(size), 0) FROM images),
    (SELECT count(*) FROM users), (SELECT count(*) FROM uploads WHERE state = 'OPEN')
"""
_COUNTS_OF_OWNER = """
SELECT coalesce((SELECT images FROM usage WHERE owner = ?1), 0),
    coalesce((SELECT bytes FROM usage WHERE owner = ?1), 0),
    (SELECT count(*) FROM users WHERE owner = ?1 AND owner <> ''),
    (SELECT count(*) FROM uploads WHERE state = 'OPEN' AND owner = ?1 AND owner <> '')
"""

# The row is written even if nothing changes, as RETURNING gives only rows that are written.
_UPSERT_USER = f"""
INSERT INTO users (owner, name, pow, image_id, create_time, update_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (owner, name) DO UPDATE SET
    pow = iif(?7, excluded.pow, pow),
    image_id = coalesce(excluded.image_id, image_id),
    update_time = iif(?8, excluded.update_time, update_time)
RETURNING {", ".join(_columns(UserRecord))}
"""  # noqa: S608 (our own names)

_CLAIM_UPLOAD = """
UPDATE uploads SET writer_epoch = writer_epoch + 1, update_time = ? WHERE id = ? AND state = 'OPEN'
"""
_ADVANCE_UPLOAD = "UPDATE uploads SET committed_size = ?, update_time = ? WHERE id = ?"
_END_UPLOAD = """
UPDATE uploads SET state = ?, image_id = ?, failure = ?, update_time = ?
WHERE id = ? AND state = 'OPEN' AND writer_epoch = coalesce(?, writer_epoch)
"""
_FORGET_UPLOADS = """
DELETE FROM uploads WHERE id IN (
    SELECT id FROM uploads
    WHERE state IN ('READY', 'REJECTED', 'FAILED', 'CANCELLED', 'EXPIRED') AND update_time < ? LIMIT ?
)
"""

_RETURN_USE = "UPDATE usage SET images = images - 1, bytes = bytes - ? WHERE owner = ?"

_GET_FACTS = f"SELECT digest, {', '.join(_FACTS)} FROM facts WHERE digest IN "  # noqa: S608 (our own names)
_PUT_FACTS = f"""
INSERT OR REPLACE INTO facts (digest, judge, {", ".join(_FACTS)}) VALUES (?, ?{", ?" * len(_FACTS)})
"""  # noqa: S608 (our own names)
_WRONG_IMAGES = f"{_IMAGES} WHERE digest = ? AND (format, width, height, frames) IS NOT (?, ?, ?, ?)"
_CORRECT_IMAGE = """
UPDATE images SET format = ?, width = ?, height = ?, frames = ?, checksum = ? WHERE id = ?
"""
_DESCRIBED = """
INSERT INTO events (kind, image_id, user, time, owner)
SELECT 'DESCRIBED', id, user, ?, owner FROM images WHERE digest = ? ORDER BY id
"""
# The problems that are named here may be passing ones: another attempt, or a newer version, may succeed. All
# blobs, as x'', are greater than any text.
_UNDESCRIBED = f"""
{_select(ImageRecord, "images")} LEFT JOIN facts ON facts.digest = images.digest
WHERE (facts.digest IS NULL OR facts.problem IN ('SECONDS', 'MEMORY', 'CRASH', 'UNSUPPORTED'))
AND id < coalesce(?1, x'')
ORDER BY id DESC LIMIT ?2
"""
# The first condition is false at once, by the index, where nothing is left to do.
_JUDGED_BEFORE = f"""
{_select(ImageRecord, "images")} JOIN facts ON facts.digest = images.digest
WHERE EXISTS (SELECT 1 FROM facts WHERE judge < ?1) AND facts.judge < ?1
AND id < coalesce(?2, x'')
ORDER BY id DESC LIMIT ?3
"""  # noqa: S608 (our own names)


def _found(record: type[R], rows: Iterable[Sequence[Any]]) -> list[R]:
    """The records of a statement that began with `_select`."""
    names = _NAMES[record]
    return [record(**dict(zip(names, row, strict=True))) for row in rows]


def _first(record: type[R], rows: sqlite3.Cursor) -> R | None:
    row = rows.fetchone()
    rows.close()  # otherwise the statement would hold its snapshot
    return None if row is None else _found(record, [row])[0]


def identity(connection: sqlite3.Connection) -> int:
    """The identity is in the head of the file, where it was free before there was one."""
    found: int = connection.execute("PRAGMA application_id").fetchone()[0]
    return found


def set_identity(connection: sqlite3.Connection, identity: int) -> None:
    connection.execute(f"PRAGMA application_id = {identity:d}")


# Images and users.


def insert_images(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """The `image_row` of each, up to ROWS in one statement, with their events."""
    for start in range(0, len(rows), ROWS):
        _insert_rows(connection, "stored_images", _IMAGE, rows[start : start + ROWS])


def get_image(connection: sqlite3.Connection, image_id: str) -> ImageRecord | None:
    """Raises BlobCorrupt if the row is damaged."""
    rows = connection.execute(_GET_IMAGE, (image_id,)).fetchall()
    if rows and not (_is_that(rows[0], image_id) and is_intact(rows[0])):
        raise _damaged_row(image_id)
    return _image(rows[0]) if rows else None


def _is_that(row: Sequence[Any], image_id: str) -> bool:
    """Whether a row that SQLite has found by an id has that id. Where the id of a row that comes before it is
    damaged, SQLite may find that one (seen with 3.40)."""
    return bool(row[0] == image_id)


def _damaged_row(image_id: str) -> BlobCorrupt:
    error = BlobCorrupt()
    error.add_note(f"The row of the image {image_id} is damaged.")
    return error


def _image(row: Sequence[Any]) -> ImageRecord:
    """The record of a row with its checksum."""
    return ImageRecord(**dict(zip(_IMAGE, row[:-1], strict=True)))


def all_rows(
    connection: sqlite3.Connection, before: str | None, limit: int
) -> list[tuple[ImageRecord, bool]]:
    """The newest images with ids less than `before`, each with whether its row is intact."""
    if before is None:
        rows = connection.execute(_NEWEST, (limit,))
    else:
        rows = connection.execute(_NEWEST_BEFORE, (before, limit))
    return [(_image(row), is_intact(row)) for row in rows]


def has_digest(connection: sqlite3.Connection, digest: bytes) -> bool:
    asked = connection.execute("SELECT EXISTS (SELECT 1 FROM images WHERE digest = ?)", (digest,))
    return bool(asked.fetchall()[0][0])


def counts(connection: sqlite3.Connection, owner: str | None) -> Counts:
    asked = (_COUNTS, ()) if owner is None else (_COUNTS_OF_OWNER, (owner,))
    ((images, image_bytes, users, open_uploads),) = connection.execute(*asked).fetchall()
    return Counts(images=images, image_bytes=image_bytes, users=users, open_uploads=open_uploads)


def images_page(connection: sqlite3.Connection, wanted: Wanted, limit: int) -> list[ImageRecord]:
    """Those whose rows are damaged are left out."""
    found: list[ImageRecord] = []
    while True:
        conditions, values = wanted.conditions()
        page = f"{_IMAGES} {conditions} ORDER BY id DESC LIMIT ?"
        rows = connection.execute(page, (*values, limit - len(found))).fetchall()
        intact = [_image(row) for row in rows if is_intact(row)]
        found += intact
        if len(intact) == len(rows):
            return found
        wanted = replace(wanted, before=rows[-1][0])


def delete_image(connection: sqlite3.Connection, image_id: str, now: int) -> ImageRecord | None:
    """Raises BlobCorrupt if it finds another image."""
    rows = connection.execute(_GET_IMAGE, (image_id,)).fetchall()
    image = _image(rows[0]) if rows else None
    if image is not None:
        if not _is_that(rows[0], image_id):
            raise _damaged_row(image_id)
        connection.execute(
            "UPDATE users SET image_id = NULL, update_time = ? WHERE image_id = ?", (now, image_id)
        )
        connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
        if not has_digest(connection, image.digest):
            connection.execute("DELETE FROM facts WHERE digest = ?", (image.digest,))
        _insert_rows(connection, "events", _EVENT, [("DELETED", image.id, image.user, now, image.owner)])
        if image.owner:
            connection.execute(_RETURN_USE, (image.size, image.owner))
    return image


def upsert_user(
    connection: sqlite3.Connection,
    owner: str,
    name: str,
    pow: int | None,
    image: ImageRecord | None,
    now: int,
) -> UserRecord:
    if image is not None:
        insert_images(connection, [image_row(image)])
    changed = pow is not None or image is not None
    values = (owner, name, pow or 0, image.id if image else None, now, now, pow is not None, changed)
    return _found(UserRecord, connection.execute(_UPSERT_USER, values).fetchall())[0]


def get_user(connection: sqlite3.Connection, owner: str, name: str) -> UserRecord | None:
    return _first(UserRecord, connection.execute(_GET_USER, (owner, name)))


# Facts.


def facts_of(
    connection: sqlite3.Connection, digests: Collection[bytes], judge: int = 0
) -> dict[bytes, Facts]:
    asked = f"{_GET_FACTS} ({','.join('?' * len(digests))}) AND judge >= ?"
    rows = connection.execute(asked, (*digests, judge))
    return {digest: _facts(values) for digest, *values in rows}


def put_facts(connection: sqlite3.Connection, image: ImageRecord, facts: Facts, judge: int, now: int) -> None:
    digest = image.digest
    if not has_digest(connection, digest):
        return
    corrected = _correct_images(connection, image)
    news = corrected or facts_of(connection, [digest]).get(digest) != facts
    connection.execute(_PUT_FACTS, (digest, judge, *_facts_row(facts)))
    if news:
        connection.execute(_DESCRIBED, (now, digest))


def _correct_images(connection: sqlite3.Connection, right: ImageRecord) -> bool:
    """Gives all images with the same bytes the format and the dimensions of this one; whether any had others.
    A row that is damaged besides stays as it is: a new checksum would hide that."""
    shape = {"format": right.format, "width": right.width, "height": right.height, "frames": right.frames}
    corrected = False
    for row in connection.execute(_WRONG_IMAGES, (right.digest, *shape.values())).fetchall():
        new = image_row(replace(_image(row), **shape))  # type: ignore[arg-type]
        checksum = row_sum(*new[1:])
        if is_intact(row) or checksum == row[-1]:
            connection.execute(_CORRECT_IMAGE, (*shape.values(), checksum, row[0]))
            corrected = True
    return corrected


def undescribed(connection: sqlite3.Connection, before: str | None, limit: int) -> list[ImageRecord]:
    return _found(ImageRecord, connection.execute(_UNDESCRIBED, (before, limit)))


def judged_before(
    connection: sqlite3.Connection, judge: int, before: str | None, limit: int
) -> list[ImageRecord]:
    return _found(ImageRecord, connection.execute(_JUDGED_BEFORE, (judge, before, limit)))


def _facts(row: list[object]) -> Facts:
    values = dict(zip(_FACTS, row, strict=True))
    values["has_alpha"] = bool(values["has_alpha"])
    return Facts(**values)  # type: ignore[arg-type]


# Uploads.


def find_upload(
    connection: sqlite3.Connection, owner: str, ticket: str, request_id: str
) -> UploadRecord | None:
    return _first(UploadRecord, connection.execute(_GET_REQUEST, (owner, ticket, request_id)))


def begun_upload(connection: sqlite3.Connection, upload: UploadRecord) -> UploadRecord | None:
    """The upload that the same request began before."""
    return find_upload(connection, upload.owner, upload.ticket, upload.request_id)


def create_upload(
    connection: sqlite3.Connection, upload: UploadRecord, quota: UploadQuota | None
) -> UploadRecord:
    begun = begun_upload(connection, upload)
    if begun is not None:
        return begun
    if quota is not None:
        check_room(connection, upload, quota)
    insert_uploads(connection, [upload_row(upload)])
    return upload


def insert_uploads(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """The `upload_row` of each. Raises sqlite3.IntegrityError if one has the request of another."""
    for start in range(0, len(rows), ROWS):
        _insert_rows(connection, "uploads", _UPLOAD, rows[start : start + ROWS])


def add_stored(
    connection: sqlite3.Connection, image: tuple[Any, ...], by: tuple[str, ...]
) -> UploadRecord | None:
    """Adds an image, by its `image_row`, and its upload, by the fields of StoredBy, and gives None; or gives
    the upload that has the same request."""
    upload = stored_upload_row(image, by)
    begun = find_upload(connection, *request_of(upload))
    if begun is None:
        insert_uploads(connection, [upload])
        insert_images(connection, [image])
    return begun


def stored_upload_row(image: tuple[Any, ...], by: tuple[str, ...]) -> tuple[Any, ...]:
    """The `upload_row` of an upload that is READY from the start."""
    upload_id, request_id, client, ticket = by
    image_id, size, user, time, name, owner = _of_image(image)
    # In the order of the fields of UploadRecord.
    ended = ("READY", size, size, 0, client, user, image_id, None, time, time, name, owner, ticket)
    return (upload_id, request_id, *ended)


def get_upload(connection: sqlite3.Connection, upload_id: str) -> UploadRecord | None:
    return _first(UploadRecord, connection.execute(_GET_UPLOAD, (upload_id,)))


def claim_upload(connection: sqlite3.Connection, upload_id: str, now: int) -> UploadRecord | None:
    connection.execute(_CLAIM_UPLOAD, (now, upload_id))
    return get_upload(connection, upload_id)


def advance_upload(
    connection: sqlite3.Connection, upload_id: str, epoch: int, size: int, now: int, quota: UploadQuota | None
) -> UploadRecord | None:
    upload = get_upload(connection, upload_id)
    if upload is None or upload.state != "OPEN":
        return upload
    if upload.writer_epoch != epoch or upload.committed_size > size:
        return upload
    advanced = replace(upload, committed_size=size, update_time=now)
    if quota is not None and upload.declared_size is None:
        check_room(connection, advanced, quota)
    connection.execute(_ADVANCE_UPLOAD, (size, now, upload_id))
    return advanced


def end_upload(
    connection: sqlite3.Connection,
    upload_id: str,
    state: UploadState,
    image: ImageRecord | None,
    failure: str | None,
    now: int,
    epoch: int | None = None,
) -> UploadRecord | None:
    values = (state, None if image is None else image.id, failure, now, upload_id, epoch)
    if connection.execute(_END_UPLOAD, values).rowcount and image is not None:
        insert_images(connection, [image_row(image)])
    return get_upload(connection, upload_id)


def forget_uploads(connection: sqlite3.Connection, ended_before: int, limit: int) -> int:
    return connection.execute(_FORGET_UPLOADS, (ended_before, limit)).rowcount


# Events.


def events_after(connection: sqlite3.Connection, after: int, limit: int) -> list[EventRecord]:
    return _found(EventRecord, connection.execute(_GET_EVENTS, (after, limit)))


def news_after(
    connection: sqlite3.Connection, after: int, limit: int
) -> list[tuple[EventRecord, ImageRecord | None]]:
    rows = connection.execute(_GET_NEWS, (after, limit)).fetchall()
    events = _found(EventRecord, [row[: len(_NAMES[EventRecord])] for row in rows])
    found = [row[len(_NAMES[EventRecord]) :] for row in rows]
    return [
        (event, _image(row) if _is_that(row, event.image_id) and is_intact(row) else None)
        for event, row in zip(events, found, strict=True)
    ]


def event_range(connection: sqlite3.Connection) -> tuple[int, int]:
    ((oldest, newest),) = connection.execute(_EVENT_RANGE).fetchall()
    if newest is None:
        return 0, 0
    return newest if oldest is None else oldest - 1, newest


def newest_event(connection: sqlite3.Connection) -> int:
    rows: list[tuple[int]] = connection.execute(_NEWEST_EVENT).fetchall()
    return rows[0][0] if rows else 0


def forget_events(connection: sqlite3.Connection, keep: int, limit: int) -> int:
    """Gives how many were forgotten, the oldest ones, at most so many."""
    # Sequences have no gaps: a number is used up only by an event that is committed.
    return connection.execute(_FORGET_EVENTS, (newest_event(connection) - keep, limit)).rowcount


def _insert_rows(
    connection: sqlite3.Connection, table: str, names: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    row = f"({','.join('?' * len(names))})"
    insert = f"INSERT INTO {table} ({','.join(names)}) VALUES {','.join([row] * len(rows))}"  # noqa: S608
    connection.execute(insert, tuple(value for values in rows for value in values))
