"""Uploads: the statements that begin, advance and end them."""

from dataclasses import replace

from conexiones.adapters.catalog.postgres.columns import first, selecting
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.images import (
    begun_upload,
    find_upload,
    insert_images,
    insert_uploads,
)
from conexiones.adapters.catalog.postgres.room import check_room
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.ports.records import ImageRecord, UploadQuota, UploadRecord, UploadState

_COLUMNS = selecting(UploadRecord)
_GET = f"SELECT {_COLUMNS} FROM uploads WHERE id = $1"  # noqa: S608 (our own names)
_CLAIM = f"""
UPDATE uploads SET writer_epoch = writer_epoch + 1, update_time = $2 WHERE id = $1 AND state = 'OPEN'
RETURNING {_COLUMNS}
"""  # noqa: S608 (our own names)
_ADVANCE = f"""
UPDATE uploads SET committed_size = $3, update_time = $4
WHERE id = $1 AND state = 'OPEN' AND writer_epoch = $2 AND committed_size <= $3
RETURNING {_COLUMNS}
"""  # noqa: S608 (our own names)
# One with a declared size has its room from the beginning.
_ADVANCE_WITHIN_QUOTA = _ADVANCE.replace("RETURNING", "AND declared_size IS NOT NULL RETURNING")
_END = f"""
UPDATE uploads SET state = $2, image_id = $3, failure = $4, update_time = $5
WHERE id = $1 AND state = 'OPEN' AND ($6::bigint IS NULL OR writer_epoch = $6)
RETURNING {_COLUMNS}
"""  # noqa: S608 (our own names)
_FORGET = """
DELETE FROM uploads WHERE id IN (
    SELECT id FROM uploads WHERE state <> 'OPEN' AND update_time < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
"""


def lock_of(upload_id: str) -> str:
    return f"upload {upload_id}"


def lock_of_request(owner: str, ticket: str, request_id: str) -> str:
    return f"request {owner}\0{ticket}\0{request_id}"


async def create_upload(
    transaction: Transaction, upload: UploadRecord, quota: UploadQuota | None
) -> UploadRecord:
    begun = await find_upload(transaction.connection, upload.owner, upload.ticket, upload.request_id)
    if begun is not None:
        return begun
    if quota is not None:
        await check_room(transaction, upload, quota)
    if not await insert_uploads(transaction, [upload]):
        return await begun_upload(transaction.connection, upload)
    return upload


async def claim_upload(transaction: Transaction, upload_id: str, now: int) -> UploadRecord | None:
    claimed = first(UploadRecord, await transaction.connection.fetchrow(_CLAIM, upload_id, now))
    return claimed or await get_upload(transaction.connection, upload_id)


async def advance_upload(
    transaction: Transaction, upload_id: str, epoch: int, size: int, now: int, quota: UploadQuota | None
) -> UploadRecord | None:
    connection, values = transaction.connection, (upload_id, epoch, size, now)
    statement = _ADVANCE if quota is None else _ADVANCE_WITHIN_QUOTA
    advanced = first(UploadRecord, await connection.fetchrow(statement, *values))
    if advanced is not None:
        return advanced
    upload = await get_upload(connection, upload_id)
    if quota is None or upload is None or upload.state != "OPEN" or upload.declared_size is not None:
        return upload
    if upload.writer_epoch != epoch or upload.committed_size > size:
        return upload
    await check_room(transaction, replace(upload, committed_size=size), quota)
    # It may have expired while the room was looked at.
    advanced = first(UploadRecord, await connection.fetchrow(_ADVANCE, *values))
    return advanced or await get_upload(connection, upload_id)


async def end_upload(
    transaction: Transaction,
    upload_id: str,
    state: UploadState,
    image: ImageRecord | None,
    failure: str | None,
    now: int,
    epoch: int | None = None,
) -> UploadRecord | None:
    values = (upload_id, state, None if image is None else image.id, failure, now, epoch)
    ended = first(UploadRecord, await transaction.connection.fetchrow(_END, *values))
    if ended is None:
        return await get_upload(transaction.connection, upload_id)
    if image is not None:
        await insert_images(transaction, [image])
    return ended


async def forget_uploads(transaction: Transaction, ended_before: int, limit: int) -> int:
    said = await transaction.connection.execute(_FORGET, ended_before, limit)
    return int(said.rpartition(" ")[2])


async def get_upload(connection: Connection, upload_id: str) -> UploadRecord | None:
    return first(UploadRecord, await connection.fetchrow(_GET, upload_id))


async def get_upload_to_end(transaction: Transaction, upload_id: str) -> UploadRecord | None:
    """The upload, which nobody else changes until the transaction ends."""
    return first(UploadRecord, await transaction.connection.fetchrow(f"{_GET} FOR UPDATE", upload_id))
