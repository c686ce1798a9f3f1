"""Images and uploads within the limits of their owners and tickets.

What there is, is counted in the transaction that adds to it: no limit is passed by calls at once. Images
without limits are added by the functions of transactions.py alone, many of them in one statement. Functions
that raise QuotaExceeded or TicketUsedUp have changed nothing.
"""

import sqlite3

from conexiones.adapters.catalog.sqlite.transactions import (
    begun_upload,
    create_upload,
    end_upload,
    find_upload,
    get_upload,
    image_row,
    insert_images,
    insert_uploads,
    request_of,
    stored_upload_row,
    upsert_user,
)
from conexiones.ports.records import (
    Charge,
    ImageRecord,
    UploadQuota,
    UploadRecord,
    UploadState,
    Usage,
    UserRecord,
)

# The tables have counters for what is stored. Open uploads are few, and are counted themselves.
_STORED = "SELECT bytes, images FROM usage WHERE owner = ?"
_SPENT = "SELECT bytes, images FROM spent WHERE ticket = ?"
_OPEN = "SELECT count(*) FROM uploads WHERE state = 'OPEN' AND owner = ? AND owner <> ''"
_OPEN_WITH_TICKET = "SELECT count(*) FROM uploads WHERE state = 'OPEN' AND ticket = ?"

_SPEND = """
INSERT INTO spent (ticket, images, bytes) VALUES (?, 1, ?)
ON CONFLICT (ticket) DO UPDATE SET images = images + 1, bytes = bytes + excluded.bytes
"""


def usage(connection: sqlite3.Connection, owner: str, ticket: str) -> Usage:
    found = _stored(connection, owner, ticket)
    counted = (_OPEN_WITH_TICKET, ticket) if ticket else (_OPEN, owner)
    return Usage(
        stored_bytes=found.stored_bytes,
        stored_images=found.stored_images,
        open_uploads=_number(connection, *counted),
        ticket_bytes=found.ticket_bytes,
        ticket_images=found.ticket_images,
    )


def add_charged(connection: sqlite3.Connection, image: ImageRecord, charge: Charge) -> None:
    _check(connection, image, charge)
    insert_images(connection, [image_row(image)])
    _spend(connection, image, charge)


def add_stored_charged(
    connection: sqlite3.Connection, image: ImageRecord, by: tuple[str, ...], charge: Charge
) -> UploadRecord | None:
    """As `add_stored`."""
    upload = stored_upload_row(image_row(image), by)
    begun = find_upload(connection, *request_of(upload))
    if begun is None:
        add_charged(connection, image, charge)
        insert_uploads(connection, [upload])
    return begun


def upsert_user_charged(
    connection: sqlite3.Connection,
    owner: str,
    name: str,
    pow: int | None,
    image: ImageRecord,
    now: int,
    charge: Charge,
) -> UserRecord:
    _check(connection, image, charge)
    user = upsert_user(connection, owner, name, pow, image, now)
    _spend(connection, image, charge)
    return user


def end_upload_charged(
    connection: sqlite3.Connection,
    upload_id: str,
    state: UploadState,
    image: ImageRecord,
    failure: str | None,
    now: int,
    charge: Charge,
    epoch: int | None = None,
) -> UploadRecord | None:
    upload = get_upload(connection, upload_id)
    if upload is None or upload.state != "OPEN" or epoch not in (None, upload.writer_epoch):
        return upload
    _check(connection, image, charge)
    upload = end_upload(connection, upload_id, state, image, failure, now)
    _spend(connection, image, charge)
    return upload


def create_upload_charged(
    connection: sqlite3.Connection, upload: UploadRecord, quota: UploadQuota | None, charge: Charge
) -> UploadRecord:
    begun = begun_upload(connection, upload)
    if begun is not None:
        return begun
    found = _stored(connection, upload.owner, charge.ticket)
    charge.check(found, upload.declared_size or 0)
    if charge.terms:
        uploads = _number(connection, _OPEN_WITH_TICKET, charge.ticket)
        charge.terms.check_open(uploads + 1, spent=found.ticket_images)
    if upload.owner:
        charge.allowance.check_open(_number(connection, _OPEN, upload.owner) + 1)
    return create_upload(connection, upload, quota)


def _check(connection: sqlite3.Connection, image: ImageRecord, charge: Charge) -> None:
    charge.check(_stored(connection, image.owner, charge.ticket), image.size)


def _spend(connection: sqlite3.Connection, image: ImageRecord, charge: Charge) -> None:
    if charge.ticket:
        connection.execute(_SPEND, (charge.ticket, image.size))


def _stored(connection: sqlite3.Connection, owner: str, ticket: str) -> Usage:
    stored_bytes, stored_images = _pair(connection, _STORED, owner)
    ticket_bytes, ticket_images = _pair(connection, _SPENT, ticket) if ticket else (0, 0)
    return Usage(
        stored_bytes=stored_bytes,
        stored_images=stored_images,
        ticket_bytes=ticket_bytes,
        ticket_images=ticket_images,
    )


def _pair(connection: sqlite3.Connection, statement: str, key: str) -> tuple[int, int]:
    rows: list[tuple[int, int]] = connection.execute(statement, (key,)).fetchall()
    return rows[0] if rows else (0, 0)


def _number(connection: sqlite3.Connection, statement: str, key: str) -> int:
    ((number,),) = connection.execute(statement, (key,)).fetchall()
    return int(number)
