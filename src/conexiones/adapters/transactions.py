"""What the SQLite catalog reads and writes. Each function runs in one transaction, which others may share."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Select, Table, Update, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from conexiones.adapters.schema import events, facts, images, sequences, uploads, users
from conexiones.errors import TooManyUploads, UploadBytesExceeded
from conexiones.ports import Counts, ImageRecord, UploadQuota, UploadRecord, UserRecord

# What most calls do is worded by hand: SQLAlchemy would take longer to word it than SQLite to do it.

_ROWS = 64
"""Rows of one statement. The driver gives the interpreter up for each statement, and waits to get it back."""

_IMAGE = tuple(column.name for column in images.columns)
_USER = tuple(column.name for column in users.columns)
_EVENT = ("kind", "image_id", "user", "time")

_NEWEST_EVENT = "SELECT seq FROM sqlite_sequence WHERE name = 'events'"
_GET_IMAGE = f"SELECT {', '.join(_IMAGE)} FROM images WHERE id = ?"  # noqa: S608 (our own names)
# The row is written even if nothing changes: RETURNING shows no other.
_UPSERT_USER = f"""
INSERT INTO users (name, pow, image_id, create_time, update_time) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (name) DO UPDATE SET
    pow = iif(?6, excluded.pow, pow),
    image_id = coalesce(excluded.image_id, image_id),
    update_time = iif(?7, excluded.update_time, update_time)
RETURNING {", ".join(_USER)}
"""  # noqa: S608 (our own names)

OPEN = "OPEN"
ENDED = ("READY", "REJECTED", "FAILED", "CANCELLED", "EXPIRED")

# Images and users.


def insert_images(connection: Connection, records: Sequence[ImageRecord]) -> None:
    for start in range(0, len(records), _ROWS):
        some = records[start : start + _ROWS]
        _insert_rows(connection, images, [tuple(getattr(image, name) for name in _IMAGE) for image in some])
        stored = [("STORED", image.id, image.user, image.create_time) for image in some]
        _insert_rows(connection, events, stored, columns=_EVENT)


def get_image(connection: Connection, image_id: str) -> ImageRecord | None:
    row = connection.exec_driver_sql(_GET_IMAGE, (image_id,)).first()
    return None if row is None else ImageRecord(**dict(zip(_IMAGE, row, strict=True)))


def has_digest(connection: Connection, digest: bytes) -> bool:
    return (
        connection.execute(select(images.c.id).where(images.c.digest == digest).limit(1)).first() is not None
    )


def counts(connection: Connection) -> Counts:
    sizes = select(func.count(), func.coalesce(func.sum(images.c.size), 0)).select_from(images)
    count, total = connection.execute(sizes).one()
    opened = select(func.count()).where(uploads.c.state == OPEN)
    return Counts(
        images=count,
        image_bytes=total,
        users=connection.execute(select(func.count()).select_from(users)).scalar_one(),
        open_uploads=connection.execute(opened).scalar_one(),
    )


def images_page(
    *, limit: int, before: str | None, user: str | None, start: int | None, end: int | None
) -> Select[Any]:
    """Without `user` and times the table itself is in order; SQLite picks the index for the others."""
    page = select(images).order_by(images.c.id.desc()).limit(limit)
    if before is not None:
        page = page.where(images.c.id < before)
    if user is not None:
        page = page.where(images.c.user == user)
    if start is not None:
        page = page.where(images.c.create_time >= start)
    if end is not None:
        page = page.where(images.c.create_time < end)
    return page


def delete_image(connection: Connection, image_id: str, now: int) -> ImageRecord | None:
    image = get_image(connection, image_id)
    if image is not None:
        connection.execute(
            update(users).where(users.c.image_id == image_id).values(image_id=None, update_time=now)
        )
        connection.execute(delete(images).where(images.c.id == image_id))
        if not has_digest(connection, image.digest):
            connection.execute(delete(facts).where(facts.c.digest == image.digest))
        _insert_rows(connection, events, [("DELETED", image.id, image.user, now)], columns=_EVENT)
    return image


def upsert_user(
    connection: Connection, name: str, pow: int | None, image: ImageRecord | None, now: int
) -> UserRecord:
    if image is not None:
        insert_images(connection, [image])
    changed = pow is not None or image is not None
    values = (name, pow or 0, image.id if image else None, now, now, pow is not None, changed)
    row = connection.exec_driver_sql(_UPSERT_USER, values).one()
    return UserRecord(**dict(zip(_USER, row, strict=True)))


def get_user(connection: Connection, name: str) -> UserRecord | None:
    row = connection.execute(select(users).where(users.c.name == name)).first()
    return None if row is None else UserRecord(**row._mapping)


# Uploads.


def create_upload(connection: Connection, upload: UploadRecord, quota: UploadQuota | None) -> UploadRecord:
    # Only the request_id may be there already: an id that is used twice is an error.
    once = insert(uploads).values(asdict(upload)).on_conflict_do_nothing(index_elements=["request_id"])
    if connection.execute(once).rowcount and quota is not None:
        _check_quota(connection, quota)
    row = connection.execute(select(uploads).where(uploads.c.request_id == upload.request_id)).one()
    return UploadRecord(**row._mapping)


def get_upload(connection: Connection, upload_id: str) -> UploadRecord | None:
    row = connection.execute(select(uploads).where(uploads.c.id == upload_id)).first()
    return None if row is None else UploadRecord(**row._mapping)


def claim_upload(connection: Connection, upload_id: str, now: int) -> UploadRecord | None:
    claim = _update_open(upload_id).values(writer_epoch=uploads.c.writer_epoch + 1, update_time=now)
    connection.execute(claim)
    return get_upload(connection, upload_id)


def advance_upload(
    connection: Connection, upload_id: str, epoch: int, size: int, now: int, quota: UploadQuota | None
) -> UploadRecord | None:
    advance = _update_open(upload_id).where(uploads.c.writer_epoch == epoch, uploads.c.committed_size <= size)
    done = connection.execute(advance.values(committed_size=size, update_time=now)).rowcount
    upload = get_upload(connection, upload_id)
    if done and quota is not None and upload is not None and upload.declared_size is None:
        _check_quota(connection, quota)
    return upload


def end_upload(
    connection: Connection,
    upload_id: str,
    state: str,
    image: ImageRecord | None,
    failure: str | None,
    now: int,
) -> UploadRecord | None:
    end = _update_open(upload_id).values(
        state=state, image_id=None if image is None else image.id, failure=failure, update_time=now
    )
    if connection.execute(end).rowcount and image is not None:
        insert_images(connection, [image])
    return get_upload(connection, upload_id)


def stale_uploads(connection: Connection, idle_since: int, created_before: int) -> list[str]:
    stale = select(uploads.c.id).where(
        uploads.c.state == OPEN,
        or_(uploads.c.update_time < idle_since, uploads.c.create_time < created_before),
    )
    return list(connection.execute(stale).scalars())


def forget_uploads(connection: Connection, ended_before: int) -> int:
    forget = delete(uploads).where(uploads.c.state.in_(ENDED), uploads.c.update_time < ended_before)
    return connection.execute(forget).rowcount


def _check_quota(connection: Connection, quota: UploadQuota) -> None:
    """Raises what undoes the write that is already done, if with it there is too much. The open uploads are
    at most as many as the quota, and read by an index: no counter can go wrong."""
    size = func.max(func.coalesce(uploads.c.declared_size, 0), uploads.c.committed_size)
    totals = select(func.count(), func.sum(size)).where(uploads.c.state == OPEN)
    count, total = connection.execute(totals).one()
    if count > quota.uploads:
        raise TooManyUploads(limit=quota.uploads)
    if total > quota.bytes:
        raise UploadBytesExceeded(limit=quota.bytes, actual=total)


def _update_open(upload_id: str) -> Update:
    return update(uploads).where(uploads.c.id == upload_id, uploads.c.state == OPEN)


# Events.


def events_after(after: int, limit: int) -> Select[Any]:
    return select(events).where(events.c.sequence > after).order_by(events.c.sequence).limit(limit)


def event_range(connection: Connection) -> tuple[int, int]:
    oldest = select(func.min(events.c.sequence)).scalar_subquery()
    row = connection.execute(
        select(oldest, sequences.c.seq).where(sequences.c.name == events.name)
    ).first()  # in one statement: of one snapshot
    if row is None:
        return 0, 0
    return row[1] if row[0] is None else row[0] - 1, row[1]


def newest_event(connection: Connection) -> int:
    return connection.exec_driver_sql(_NEWEST_EVENT).scalar() or 0


def forget_events(connection: Connection, keep: int) -> None:
    # Sequences have no gaps: a number is used up only by an event that is committed.
    connection.execute(delete(events).where(events.c.sequence <= newest_event(connection) - keep))


def _insert_rows(
    connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], columns: Sequence[str] = ()
) -> None:
    names = columns or tuple(column.name for column in table.columns)
    row = f"({','.join('?' * len(names))})"
    insert = f"INSERT INTO {table.name} ({','.join(names)}) VALUES {','.join([row] * len(rows))}"  # noqa: S608
    connection.exec_driver_sql(insert, tuple(value for values in rows for value in values))
