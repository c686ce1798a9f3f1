"""The rules of resumable uploads: one writer at a time, and one truth, the committed size.

An upload is OPEN until it is finished, cancelled or expires; then its outcome stays as it is and can be asked
for again, for a day. Bytes are committed (durable, then the row says so) before they are acknowledged; what
was not committed when a writer or the server went away is cut off.

One process has the data, so who writes is decided in memory, by the epoch that the row carries as well.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import google_crc32c

from conexiones import errors
from conexiones.domain.ids import now
from conexiones.domain.images import Head, Images
from conexiones.domain.users import check_name
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UploadQuota, UploadRecord
from conexiones.ports.staging import Staged

IDLE_SECONDS = 24 * 3600
"""An open upload expires after so long without a byte,"""

TOTAL_SECONDS = 7 * 24 * 3600
"""and after so long in all."""

KEEP_SECONDS = 24 * 3600
"""The outcome of an upload that has ended can be asked for so long."""

MAX_REQUEST_ID = 128
"""Characters of a request_id."""

_MAX_HELD = 256
"""Uploads whose files are held open between two writers; the rest are opened again when one comes."""


class Uploads:
    """Uploads of images. Every method raises UploadNotFound for an id that is not, or no longer, known.

    `quota` is for all that are open; None: no limit but the disk.
    """

    def __init__(
        self, catalog: Catalog, blobs: Blobs, images: Images, quota: UploadQuota | None = None
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self.images = images
        self._quota = quota
        self._held: dict[str, _Held] = {}

    async def create(self, request_id: str, *, user: str, size: int | None) -> UploadRecord:
        """Begins an upload, or gives the one that the same request began.

        Raises TooManyUploads, UploadBytesExceeded.
        """
        if not 1 <= len(request_id) <= MAX_REQUEST_ID:
            raise errors.InvalidField(field="request_id", takes=f"1 to {MAX_REQUEST_ID} characters")
        if user:
            check_name(user, field="user")
        if size is not None:
            if size < 1:
                raise errors.InvalidField(field="size_bytes", takes="at least 1")
            self.images.check_size(size)
        time = now()
        wanted = UploadRecord(
            id=secrets.token_hex(16),
            request_id=request_id,
            state="OPEN",
            committed_size=0,
            declared_size=size,
            writer_epoch=0,
            user=user or None,
            image_id=None,
            failure=None,
            create_time=time,
            update_time=time,
        )
        upload = await self._catalog.create_upload(wanted, quota=self._quota)
        if (upload.user, upload.declared_size) != (wanted.user, wanted.declared_size):
            raise errors.RequestIdReused(field="request_id")
        return upload

    async def get(self, upload_id: str) -> UploadRecord:
        return _known(await self._catalog.get_upload(upload_id))

    async def image(self, upload: UploadRecord) -> ImageRecord | None:
        """The image of a READY upload; None also if it was deleted since."""
        return await self._catalog.get_image(upload.image_id) if upload.image_id else None

    @asynccontextmanager
    async def writer(self, upload_id: str, epoch: int = 0) -> AsyncIterator["Writer"]:
        """The writer of that epoch again; for 0 a new one, which takes the upload from any other.

        Raises WriterFenced, UploadEnded.
        """
        async with self._locked(upload_id) as held:
            if epoch == 0:
                upload, _ = await self._claim(held)
            else:
                upload = _open(await self._catalog.get_upload(upload_id))
                if upload.writer_epoch != epoch:
                    raise errors.WriterFenced(epoch=upload.writer_epoch)
                held.epoch = epoch
                await self._staged(held, upload)
            held.users += 1  # the lock is for one step at a time, the writer is for many
        try:
            yield Writer(self, held, upload)
        finally:
            self._leave(held)

    async def finish(self, upload_id: str, *, size: int, sha256: bytes) -> UploadRecord:
        """Checks the bytes, publishes the image, and gives the outcome: READY or REJECTED (or, as it was
        before, FAILED). `sha256` is 32 bytes, or empty if unknown.

        Raises UploadIncomplete and SizeExceeded, after which the upload is still open, and UploadEnded for
        one that was cancelled or has expired.
        """
        if sha256 and len(sha256) != 32:
            raise errors.InvalidField(field="sha256", takes="32 bytes, or none")
        async with self._locked(upload_id) as held:
            upload = await self.get(upload_id)
            if upload.state in {"READY", "REJECTED", "FAILED"}:
                return upload
            upload, staged = await self._claim(held)
            if size > upload.committed_size:
                raise errors.UploadIncomplete(expected=size, actual=upload.committed_size)
            if size < upload.committed_size:
                raise errors.SizeExceeded(field="size_bytes", limit=size, actual=upload.committed_size)
            async with self._dropped_if_it_fails(held):
                try:
                    image = await self._publish(staged, upload, sha256)
                except (errors.ImageError, errors.ChecksumMismatch) as error:
                    return await self.reject(held, error)
                upload = _known(
                    await self._catalog.end_upload(
                        upload_id, state="READY", image=image, failure=None, now=now()
                    )
                )
                if upload.image_id == image.id:
                    await staged.settle()
                await self._forget(held)
        return upload

    async def cancel(self, upload_id: str) -> UploadRecord:
        """Gives an upload up. Raises UploadEnded if it has ended otherwise."""
        return await self._give_up(upload_id, "CANCELLED")

    async def sweep(self) -> None:
        """Ends what has expired and forgets what ended long ago. To be called now and then."""
        time = now()
        stale = await self._catalog.stale_uploads(
            idle_since=time - IDLE_SECONDS * 1_000_000, created_before=time - TOTAL_SECONDS * 1_000_000
        )
        for upload_id in stale:
            try:
                await self._give_up(upload_id, "EXPIRED")
            except (errors.UploadEnded, errors.UploadNotFound):
                continue
        await self._catalog.forget_uploads(ended_before=time - KEEP_SECONDS * 1_000_000)

    async def close(self) -> None:
        """Lets go of all files. Writers must have gone."""
        for upload_id in list(self._held):
            async with self._locked(upload_id) as held:
                await self._forget(held)

    async def _publish(self, staged: Staged, upload: UploadRecord, sha256: bytes) -> ImageRecord:
        if not staged.size:
            raise errors.EmptyStream
        facts = await self.images.judge(staged)
        digest = await staged.publish()
        if sha256 and digest != sha256:
            raise errors.ChecksumMismatch(algorithm="SHA-256", expected=sha256.hex(), actual=digest.hex())
        return self.images.record(digest, staged.size, facts, user=upload.user)

    async def reject(self, held: "_Held", error: errors.ConexionesError) -> UploadRecord:
        """Ends an upload whose bytes cannot be an image. Called with the lock held."""
        upload = await self._catalog.end_upload(
            held.id, state="REJECTED", image=None, failure=_written(error), now=now()
        )
        await self._discard(held)
        return _known(upload)

    async def _give_up(self, upload_id: str, state: str) -> UploadRecord:
        async with self._locked(upload_id) as held:
            upload = _known(
                await self._catalog.end_upload(upload_id, state=state, image=None, failure=None, now=now())
            )
            if upload.state != state:
                raise errors.UploadEnded(state=upload.state)
            held.take(0)
            await self._discard(held)
            await self._blobs.drop(upload_id)
        return upload

    @asynccontextmanager
    async def _locked(self, upload_id: str) -> AsyncIterator["_Held"]:
        """What is held of an upload, for one task at a time."""
        held = self._held.setdefault(upload_id, _Held(upload_id))
        held.users += 1
        try:
            async with held.lock:
                yield held
        finally:
            self._leave(held)

    def _leave(self, held: "_Held") -> None:
        held.users -= 1
        if not held.users and held.staged is None:
            del self._held[held.id]

    async def _claim(self, held: "_Held") -> tuple[UploadRecord, Staged]:
        """Takes the upload from whoever writes it. Called with the lock held."""
        upload = _open(await self._catalog.claim_upload(held.id, now=now()))
        held.take(upload.writer_epoch)
        staged = await self._staged(held, upload)
        if staged.size != upload.committed_size:
            # The writer before had sent more than was committed: it is as good as any.
            upload = await self.commit(held, upload.writer_epoch)
        return upload, staged

    async def _staged(self, held: "_Held", upload: UploadRecord) -> Staged:
        """The bytes of an upload. Called with the lock held."""
        if held.staged is None:
            await self._make_room()
            try:
                held.staged = await self._blobs.resume(upload.id, upload.committed_size)
            except errors.BlobCorrupt as error:
                await self._catalog.end_upload(
                    upload.id, state="FAILED", image=None, failure=_written(error), now=now()
                )
                raise
            held.head = None if upload.committed_size else Head(self.images)
        return held.staged

    async def _make_room(self) -> None:
        """Lets go of files that nobody writes, if there are too many."""
        idle = [held.id for held in self._held.values() if not held.users]
        for upload_id in idle[: max(0, len(self._held) - _MAX_HELD)]:
            async with self._locked(upload_id) as other:
                if other.users == 1:
                    await self._forget(other)

    async def commit(self, held: "_Held", epoch: int) -> UploadRecord:
        """Makes durable what was written, and gives the upload as it is then. Called with the lock held."""
        async with self._dropped_if_it_fails(held):
            assert held.staged is not None  # noqa: S101 (tells mypy)
            size = await held.staged.commit()
            upload = _open(
                await self._catalog.advance_upload(
                    held.id, epoch=epoch, size=size, now=now(), quota=self._quota
                )
            )
        if upload.writer_epoch != epoch:
            raise errors.WriterFenced(epoch=upload.writer_epoch)
        return upload

    @asynccontextmanager
    async def _dropped_if_it_fails(self, held: "_Held") -> AsyncIterator[None]:
        """Lets go of the file if the body raises: the next writer begins from what is committed."""
        try:
            yield
        except BaseException:
            await self._forget(held)
            raise

    async def _discard(self, held: "_Held") -> None:
        if held.staged is not None:
            await held.staged.discard()
        await self._forget(held)

    async def _forget(self, held: "_Held") -> None:
        staged, held.staged = held.staged, None
        if staged is not None:
            await staged.release()


class Writer:
    """One writer of an upload, until another takes it. Used by one task at a time.

    `committed` is the durable size as far as this writer knows; `fenced` is set when it has lost the upload.
    """

    def __init__(self, uploads: Uploads, held: "_Held", upload: UploadRecord) -> None:
        self._uploads = uploads
        self.held = held
        self.epoch = upload.writer_epoch
        self.committed = upload.committed_size
        self._limit = upload.declared_size
        self.fenced = held.fenced

    async def write(self, offset: int, data: bytes, crc32c: int | None) -> int:
        """Appends a chunk and gives the size with it; not durable before `commit`.

        Raises WriterFenced, OffsetMismatch, ChecksumMismatch (the chunk is dropped), SizeExceeded, or an
        ImageError, after which the upload is rejected.
        """
        async with self.held.lock:
            self.check()
            staged = self.held.staged
            if staged is None:  # a commit failed
                raise errors.StorageUnavailable
            if offset != staged.size:
                raise errors.OffsetMismatch(field="offset", expected=staged.size, actual=offset)
            if crc32c is not None and google_crc32c.value(data) != crc32c:
                raise errors.ChecksumMismatch(
                    field="data",
                    algorithm="CRC-32C",
                    expected=f"{crc32c:08x}",
                    actual=f"{google_crc32c.value(data):08x}",
                )
            size = offset + len(data)
            if self._limit is not None and size > self._limit:
                raise errors.SizeExceeded(field="data", limit=self._limit, actual=size)
            try:
                self._uploads.images.check_size(size)
                if self.held.head:
                    self.held.head.see(data)
            except errors.ImageError as error:
                error.field = "data"
                await self._uploads.reject(self.held, error)
                raise
            await staged.write(data)
            return size

    async def commit(self) -> int:
        """Makes all that was written durable and gives its size. Raises WriterFenced, UploadEnded,
        UploadBytesExceeded."""
        async with self.held.lock:
            self.check()
            if self.held.staged is None:
                raise errors.StorageUnavailable
            self.committed = (await self._uploads.commit(self.held, self.epoch)).committed_size
            return self.committed

    def check(self) -> None:
        """Raises WriterFenced if another writer has the upload."""
        if self.held.epoch != self.epoch:
            raise errors.WriterFenced(epoch=self.held.epoch)


class _Held:
    """An upload that somebody writes, or wrote a moment ago."""

    def __init__(self, upload_id: str) -> None:
        self.id = upload_id
        self.lock = asyncio.Lock()
        self.staged: Staged | None = None
        self.head: Head | None = None
        self.epoch = 0
        self.users = 0  # tasks that work with it, or wait to
        self.fenced = asyncio.Event()

    def take(self, epoch: int) -> None:
        """Gives the upload to the writer of that epoch; the one before is told."""
        self.fenced.set()
        self.fenced = asyncio.Event()
        self.epoch = epoch


def failure(upload: UploadRecord) -> errors.ConexionesError | None:
    """Why an upload was rejected or failed."""
    if upload.failure is None:
        return None
    kept = json.loads(upload.failure)
    return errors.BY_REASON[kept["reason"]](field=kept["field"], **kept["facts"])


def expiry(upload: UploadRecord) -> int:
    """When an open upload expires if no byte comes, or an ended one is forgotten; microseconds."""
    if upload.state != "OPEN":
        return upload.update_time + KEEP_SECONDS * 1_000_000
    return min(upload.update_time + IDLE_SECONDS * 1_000_000, upload.create_time + TOTAL_SECONDS * 1_000_000)


def _written(error: errors.ConexionesError) -> str:
    return json.dumps({"reason": error.reason, "field": error.field, "facts": error.facts})


def _known(upload: UploadRecord | None) -> UploadRecord:
    if upload is None:
        raise errors.UploadNotFound(field="id")
    return upload


def _open(upload: UploadRecord | None) -> UploadRecord:
    upload = _known(upload)
    if upload.state != "OPEN":
        raise errors.UploadEnded(state=upload.state)
    return upload
