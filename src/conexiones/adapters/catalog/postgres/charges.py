"""Images and uploads within the limits of their owners and tickets.

What there is, is counted in the transaction that adds to it, which has the owner and the ticket to itself:
no limit is passed by calls at once, on whichever servers. Functions that raise QuotaExceeded or TicketUsedUp
have changed nothing.
"""

from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.images import (
    find_upload,
    insert_images,
    insert_uploads,
    locks_of,
    stored_upload,
    upsert_user,
)
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.adapters.catalog.postgres.uploads import create_upload, end_upload, get_upload_to_end
from conexiones.ports.records import (
    Charge,
    ImageRecord,
    StoredBy,
    UploadQuota,
    UploadRecord,
    UploadState,
    Usage,
    UserRecord,
)

# There are counters for what is stored. Open uploads are few, and are counted themselves.
_USAGE = """
SELECT coalesce(u.bytes, 0) AS stored_bytes, coalesce(u.images, 0) AS stored_images,
    coalesce(s.bytes, 0) AS ticket_bytes, coalesce(s.images, 0) AS ticket_images
FROM (SELECT $1::text AS owner, $2::text AS ticket) AS asked
    LEFT JOIN usage AS u ON u.owner = asked.owner LEFT JOIN spent AS s ON s.ticket = asked.ticket
"""
_OPEN = "(SELECT count(*) FROM uploads WHERE state = 'OPEN' AND owner = $1 AND owner <> '')"
_OPEN_WITH_TICKET = "(SELECT count(*) FROM uploads WHERE state = 'OPEN' AND ticket = $2 AND ticket <> '')"
_USAGE_WITH_OPEN = _USAGE.replace(
    "SELECT", f"SELECT CASE WHEN $2 = '' THEN {_OPEN} ELSE {_OPEN_WITH_TICKET} END AS open_uploads,", 1
)
_SPEND = """
INSERT INTO spent AS now (ticket, images, bytes) VALUES ($1, 1, $2)
ON CONFLICT (ticket) DO UPDATE SET images = now.images + 1, bytes = now.bytes + excluded.bytes
"""


def lock_of_ticket(ticket: str) -> str:
    return f"ticket {ticket}"


def locks_of_charged(image: ImageRecord, charge: Charge | None) -> list[str]:
    """What adding an image has to itself."""
    return [*locks_of(image), *_locks_of_charge(charge)]


def locks_of_open(owner: str, charge: Charge | None) -> list[str]:
    """What adding an upload within a charge has to itself, besides its request."""
    return [] if charge is None else [f"owner {owner}", *_locks_of_charge(charge)]


async def usage(connection: Connection, owner: str, ticket: str) -> Usage:
    return Usage(**await connection.fetchrow(_USAGE_WITH_OPEN, owner, ticket))


async def add_charged(transaction: Transaction, image: ImageRecord, charge: Charge) -> None:
    await _check(transaction, image, charge)
    await insert_images(transaction, [image])
    await _spend(transaction, image, charge)


async def add_stored_charged(
    transaction: Transaction, image: ImageRecord, by: StoredBy, charge: Charge
) -> UploadRecord | None:
    """As `add_stored`."""
    upload = stored_upload(image, by)
    begun = await find_upload(transaction.connection, upload.owner, upload.ticket, upload.request_id)
    if begun is None:
        await add_charged(transaction, image, charge)
        await insert_uploads(transaction, [upload])
    return begun


async def upsert_user_charged(
    transaction: Transaction,
    owner: str,
    name: str,
    pow: int | None,
    image: ImageRecord,
    now: int,
    charge: Charge,
) -> UserRecord:
    await _check(transaction, image, charge)
    user = await upsert_user(transaction, owner, name, pow, image, now)
    await _spend(transaction, image, charge)
    return user


async def end_upload_charged(
    transaction: Transaction,
    upload_id: str,
    state: UploadState,
    image: ImageRecord,
    failure: str | None,
    now: int,
    charge: Charge,
    epoch: int | None = None,
) -> UploadRecord | None:
    upload = await get_upload_to_end(transaction, upload_id)
    if upload is None or upload.state != "OPEN" or epoch not in (None, upload.writer_epoch):
        return upload
    await _check(transaction, image, charge)
    upload = await end_upload(transaction, upload_id, state, image, failure, now)
    await _spend(transaction, image, charge)
    return upload


async def create_upload_charged(
    transaction: Transaction, upload: UploadRecord, quota: UploadQuota | None, charge: Charge
) -> UploadRecord:
    connection = transaction.connection
    begun = await find_upload(connection, upload.owner, upload.ticket, upload.request_id)
    if begun is not None:
        return begun
    stored = await _stored(connection, upload.owner, charge.ticket)
    charge.check(stored, upload.declared_size or 0)
    if charge.terms:
        uploads = (await usage(connection, upload.owner, charge.ticket)).open_uploads
        charge.terms.check_open(uploads + 1, spent=stored.ticket_images)
    if upload.owner:
        charge.allowance.check_open((await usage(connection, upload.owner, "")).open_uploads + 1)
    return await create_upload(transaction, upload, quota)


def _locks_of_charge(charge: Charge | None) -> list[str]:
    return [lock_of_ticket(charge.ticket)] if charge is not None and charge.ticket else []


async def _check(transaction: Transaction, image: ImageRecord, charge: Charge) -> None:
    charge.check(await _stored(transaction.connection, image.owner, charge.ticket), image.size)


async def _spend(transaction: Transaction, image: ImageRecord, charge: Charge) -> None:
    if charge.ticket:
        await transaction.connection.execute(_SPEND, charge.ticket, image.size)


async def _stored(connection: Connection, owner: str, ticket: str) -> Usage:
    return Usage(**await connection.fetchrow(_USAGE, owner, ticket))
