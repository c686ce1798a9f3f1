"""Images and users: the statements that add, change and read them.

Functions that are given a Transaction are members of one (group_commit.py); those that are given a Connection
are reads of one statement each, on one snapshot.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from conexiones.adapters.catalog.folding import folded
from conexiones.adapters.catalog.postgres.columns import (
    NAMES,
    arrays,
    by_columns,
    first,
    found,
    quoted,
    selecting,
)
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import (
    Counts,
    EventRecord,
    ImageRecord,
    StoredBy,
    UploadRecord,
    UserRecord,
)

_IMAGE = (*NAMES[ImageRecord], "folded_name")
_UPLOAD = NAMES[UploadRecord]
_image_row, _upload_row = attrgetter(*NAMES[ImageRecord]), attrgetter(*_UPLOAD)

_INSERT_IMAGES = f"INSERT INTO images ({quoted(_IMAGE)}) SELECT * FROM unnest({arrays(_IMAGE)})"  # noqa: S608
# Of two rows with one request the first is taken, and none that has the request of another row.
_INSERT_UPLOADS = f"""
INSERT INTO uploads ({quoted(_UPLOAD)}) SELECT * FROM unnest({arrays(_UPLOAD)})
ON CONFLICT (owner, ticket, request_id) DO NOTHING RETURNING id
"""  # noqa: S608 (our own names)
_USE = """
INSERT INTO usage AS now (owner, images, bytes)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
ON CONFLICT (owner) DO UPDATE SET images = now.images + excluded.images, bytes = now.bytes + excluded.bytes
"""
_SELECT_IMAGE = f"SELECT {selecting(ImageRecord)} FROM images"  # noqa: S608 (our own names)
_GET_USER = f"SELECT {selecting(UserRecord)} FROM users WHERE owner = $1 AND name = $2"  # noqa: S608
_UPSERT_USER = f"""
INSERT INTO users AS now (owner, name, pow, image_id, create_time, update_time)
VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (owner, name) DO UPDATE SET
    pow = CASE WHEN $6 THEN excluded.pow ELSE now.pow END,
    image_id = coalesce(excluded.image_id, now.image_id),
    update_time = CASE WHEN $7 THEN excluded.update_time ELSE now.update_time END
RETURNING {selecting(UserRecord)}
"""  # noqa: S608 (our own names)
_DELETE_IMAGE = f"""
DELETE FROM images WHERE id = $1 RETURNING {selecting(ImageRecord)}
"""  # noqa: S608 (our own names)
_LOCKS_OF_IMAGES = """
SELECT i.digest, i.owner, u.owner AS user_owner, u.name AS user_name
FROM images AS i LEFT JOIN users AS u ON u.image_id = i.id WHERE i.id = $1
"""
_SET_IDENTITY = """
INSERT INTO about (identity) VALUES ($1) ON CONFLICT (one) DO UPDATE SET identity = excluded.identity
"""
_COUNTS = """
SELECT (SELECT count(*) FROM images) AS images, (SELECT coalesce(sum(size), 0) FROM images) AS image_bytes,
    (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM uploads WHERE state = 'OPEN') AS open_uploads
"""
_COUNTS_OF_OWNER = """
SELECT coalesce((SELECT images FROM usage WHERE owner = $1), 0) AS images,
    coalesce((SELECT bytes FROM usage WHERE owner = $1), 0) AS image_bytes,
    (SELECT count(*) FROM users WHERE owner = $1 AND owner <> '') AS users,
    (SELECT count(*) FROM uploads WHERE state = 'OPEN' AND owner = $1 AND owner <> '') AS open_uploads
"""
_EVENT_RANGE = "SELECT (SELECT min(sequence) FROM events) AS oldest, sequence FROM event_head"
_NEWEST = "SELECT sequence FROM event_head"
_FORGET_EVENTS = """
DELETE FROM events WHERE sequence <= (SELECT sequence FROM event_head) - $1
    AND sequence < (SELECT min(sequence) FROM events) + $2
"""
_EVENTS = f"""
SELECT {selecting(EventRecord)} FROM events WHERE sequence > $1 ORDER BY sequence LIMIT $2
"""  # noqa: S608 (our own names)
_NEWS = f"""
SELECT {quoted(NAMES[EventRecord], of="e")}, {quoted(NAMES[ImageRecord], of="i")}
FROM events AS e LEFT JOIN images AS i ON i.id = e.image_id
WHERE e.sequence > $1 ORDER BY e.sequence LIMIT $2
"""  # noqa: S608 (our own names)


# What writes.


def locks_of(image: ImageRecord) -> list[str]:
    """What adding an image has to itself: its bytes, whose facts may come now, and what its owner has."""
    locks = [f"digest {image.digest.hex()}"]
    return [*locks, f"owner {image.owner}"] if image.owner else locks


async def add_image(transaction: Transaction, image: ImageRecord) -> None:
    await add_together(transaction, [image], [])


async def add_stored(transaction: Transaction, image: ImageRecord, by: StoredBy) -> UploadRecord | None:
    """Adds an image and its upload, and gives None; or gives the upload that has the same request."""
    return (await add_together(transaction, [], [(image, by)]))[0]


async def add_together(
    transaction: Transaction, images: Sequence[ImageRecord], small: Sequence[tuple[Any, ...]]
) -> list[UploadRecord | None]:
    """Adds images, and those of the requests `small`, an image and its StoredBy each; gives what `add_stored`
    gives for each of these."""
    uploads = [stored_upload(image, by) for image, by in small]
    new = {row["id"] for row in await insert_uploads(transaction, uploads)}
    before = [
        None if upload.id in new else await begun_upload(transaction.connection, upload) for upload in uploads
    ]
    added = [image for (image, _), upload in zip(small, uploads, strict=True) if upload.id in new]
    await insert_images(transaction, [*images, *added])
    return before


async def insert_images(transaction: Transaction, images: Sequence[ImageRecord]) -> None:
    """Adds images, with their events and what their owners have."""
    if not images:
        return
    rows = [(*_image_row(image), image.name and folded(image.name)) for image in images]
    await transaction.connection.execute(_INSERT_IMAGES, *by_columns(rows))
    for image in images:
        transaction.tell("STORED", image.id, image.user, image.create_time, image.owner)
    count, size = Counter[str](), Counter[str]()
    for image in images:
        if image.owner:
            count[image.owner] += 1
            size[image.owner] += image.size
    await _use(transaction, [(owner, count[owner], size[owner]) for owner in sorted(count)])


async def insert_uploads(transaction: Transaction, uploads: Sequence[UploadRecord]) -> list[Any]:
    """Adds those whose requests are new, and gives their ids."""
    if not uploads:
        return []
    return await transaction.connection.fetch(_INSERT_UPLOADS, *by_columns(map(_upload_row, uploads)))


async def begun_upload(connection: Connection, upload: UploadRecord) -> UploadRecord:
    """The upload that the same request began before. StorageUnavailable if there is none."""
    begun = await find_upload(connection, upload.owner, upload.ticket, upload.request_id)
    if begun is None:
        raise StorageUnavailable
    return begun


def stored_upload(image: ImageRecord, by: StoredBy) -> UploadRecord:
    """An upload that is READY from the start."""
    return UploadRecord(
        id=by.id,
        request_id=by.request_id,
        state="READY",
        committed_size=image.size,
        declared_size=image.size,
        writer_epoch=0,
        client=by.client,
        user=image.user,
        image_id=image.id,
        failure=None,
        create_time=image.create_time,
        update_time=image.create_time,
        name=image.name,
        owner=image.owner,
        ticket=by.ticket,
    )


async def upsert_user(
    transaction: Transaction, owner: str, name: str, pow: int | None, image: ImageRecord | None, now: int
) -> UserRecord:
    if image is not None:
        await insert_images(transaction, [image])
    changed = pow is not None or image is not None
    values = (owner, name, pow or 0, image.id if image else None, now, pow is not None, changed)
    return UserRecord(**await transaction.connection.fetchrow(_UPSERT_USER, *values))


async def locks_to_delete(connection: Connection, image_id: str) -> list[str]:
    locks = []
    for row in await connection.fetch(_LOCKS_OF_IMAGES, image_id):
        locks += [f"digest {row['digest'].hex()}", f"owner {row['owner']}"]
        if row["user_name"] is not None:
            locks.append(lock_of_user(row["user_owner"], row["user_name"]))
    return locks


def lock_of_user(owner: str, name: str) -> str:
    return f"user {owner}\0{name}"


async def delete_image(transaction: Transaction, image_id: str, now: int) -> ImageRecord | None:
    connection = transaction.connection
    await connection.execute(
        "UPDATE users SET image_id = NULL, update_time = $2 WHERE image_id = $1", image_id, now
    )
    image = first(ImageRecord, await connection.fetchrow(_DELETE_IMAGE, image_id))
    if image is not None:
        if not await has_digest(connection, image.digest):
            await connection.execute("DELETE FROM facts WHERE digest = $1", image.digest)
        transaction.tell("DELETED", image.id, image.user, now, image.owner)
        if image.owner:
            await _use(transaction, [(image.owner, -1, -image.size)])
    return image


async def _use(transaction: Transaction, changes: list[tuple[str, int, int]]) -> None:
    """Counts images and bytes of owners, sorted by them."""
    if changes:
        await transaction.connection.execute(_USE, *by_columns(changes))


async def set_identity(transaction: Transaction, identity: int) -> None:
    await transaction.connection.execute(_SET_IDENTITY, identity)


async def forget_events(transaction: Transaction, keep: int, limit: int) -> int:
    """Gives how many were forgotten, the oldest ones, at most so many."""
    # Sequences have no gaps: a number is used up only by an event that is committed.
    said = await transaction.connection.execute(_FORGET_EVENTS, keep, limit)
    return int(said.rpartition(" ")[2])


# What reads.


async def identity(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT coalesce((SELECT identity FROM about), 0)"))


async def get_image(connection: Connection, image_id: str) -> ImageRecord | None:
    return first(ImageRecord, await connection.fetchrow(f"{_SELECT_IMAGE} WHERE id = $1", image_id))


async def has_digest(connection: Connection, digest: bytes) -> bool:
    asked = await connection.fetchval("SELECT EXISTS (SELECT FROM images WHERE digest = $1)", digest)
    return bool(asked)


async def images_page(
    connection: Connection, filters: Iterable[tuple[str, object]], limit: int
) -> list[ImageRecord]:
    """The newest images for which all filters hold: conditions in which $ stands for the value."""
    given = list(filters)
    conditions = " AND ".join(text.replace("$", f"${at}") for at, (text, _) in enumerate(given, 1)) or "true"
    page = f"{_SELECT_IMAGE} WHERE {conditions} ORDER BY id DESC LIMIT ${len(given) + 1}"
    return found(ImageRecord, await connection.fetch(page, *(value for _, value in given), limit))


async def get_user(connection: Connection, owner: str, name: str) -> UserRecord | None:
    return first(UserRecord, await connection.fetchrow(_GET_USER, owner, name))


async def find_upload(
    connection: Connection, owner: str, ticket: str, request_id: str
) -> UploadRecord | None:
    asked = f"""
    SELECT {selecting(UploadRecord)} FROM uploads WHERE owner = $1 AND ticket = $2 AND request_id = $3
    """  # noqa: S608 (our own names)
    return first(UploadRecord, await connection.fetchrow(asked, owner, ticket, request_id))


async def counts(connection: Connection, owner: str | None) -> Counts:
    asked = (_COUNTS,) if owner is None else (_COUNTS_OF_OWNER, owner)
    row = await connection.fetchrow(*asked)
    return Counts(**{name: int(value) for name, value in row.items()})


async def events_after(connection: Connection, after: int, limit: int) -> list[EventRecord]:
    return found(EventRecord, await connection.fetch(_EVENTS, after, limit))


async def news_after(
    connection: Connection, after: int, limit: int
) -> list[tuple[EventRecord, ImageRecord | None]]:
    fields = len(NAMES[EventRecord])
    news: list[tuple[EventRecord, ImageRecord | None]] = []
    for row in map(tuple, await connection.fetch(_NEWS, after, limit)):
        event = EventRecord(**dict(zip(NAMES[EventRecord], row, strict=False)))
        image = None
        if row[fields] is not None:
            image = ImageRecord(**dict(zip(NAMES[ImageRecord], row[fields:], strict=True)))
        news.append((event, image))
    return news


async def event_range(connection: Connection) -> tuple[int, int]:
    oldest, newest = await connection.fetchrow(_EVENT_RANGE)
    return newest if oldest is None else oldest - 1, newest


async def newest_decided(connection: Connection) -> int:
    """The number of the newest event, once every transaction with events has ended whose commit was asked for
    before: it holds the counter. So what a server that was killed had asked for is there or never will be."""
    return int(await connection.fetchval(f"{_NEWEST} FOR UPDATE"))
