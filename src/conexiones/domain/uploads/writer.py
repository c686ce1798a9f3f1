"""An upload in the memory of its process, and its writer, of which there is one at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from conexiones import errors
from conexiones.domain.ids import now
from conexiones.domain.images import Head, Images
from conexiones.domain.quotas import Room
from conexiones.domain.uploads.checksums import check_crc32c
from conexiones.domain.uploads.measures import Measures
from conexiones.domain.uploads.outcome import as_json, known, still_open
from conexiones.domain.uploads.places import Places
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import UploadRecord, UploadState
from conexiones.ports.staging import ResumableStaged, Staging
from conexiones.tracing import span


class HeldUpload:
    """An upload that somebody writes, or wrote a moment ago. Methods are called with the lock held.

    `users` is a reference count of the tasks that work with it or wait to. `fenced` is set when the writer of
    `epoch` loses the upload to another one of this process; one that loses it to another server hears of it
    at its next commit. `client` is who has created the upload, once its bytes were opened.

    The staged bytes are good only as long as nobody else writes: with the epoch and the committed size that
    the row of the upload had when this process last saw to it. Otherwise they are let go, and opened anew.
    """

    def __init__(
        self,
        upload_id: str,
        catalog: Catalog,
        staging: Staging,
        images: Images,
        places: Places,
        measures: Measures,
    ) -> None:
        self.id = upload_id
        self.client = ""
        self.lock = asyncio.Lock()
        self.users = 0
        self.epoch = 0
        self.fenced = asyncio.Event()
        self.head: Head | None = None
        self.images = images
        self._catalog = catalog
        self._staging = staging
        self._places = places
        self._measures = measures
        self._ended: UploadState | None = None
        self._staged: ResumableStaged | None = None
        self._seen = (0, 0)  # the epoch and the committed size to which the staged bytes belong

    @property
    def is_open(self) -> bool:
        """Whether the staged bytes are held open."""
        return self._staged is not None

    def is_current(self, upload: UploadRecord | None) -> bool:
        """Whether the staged bytes go on where the row of the upload does."""
        if upload is None or upload.state != "OPEN":
            return False
        return self._seen == (upload.writer_epoch, upload.committed_size)

    @property
    def staged(self) -> ResumableStaged:
        """The staged bytes. Raises StorageUnavailable if they were released because a commit failed."""
        if self._staged is None:
            raise errors.StorageUnavailable
        return self._staged

    def take(self, epoch: int) -> None:
        """Gives the upload to the writer of that epoch, and tells the one before that it is fenced."""
        self.fenced.set()
        self.fenced = asyncio.Event()
        self.epoch = epoch

    def end(self, state: UploadState) -> None:
        """Tells the writer that the upload has ended. Needs no lock."""
        self._ended = state
        self.fenced.set()

    def check(self, epoch: int) -> None:
        """Whether the writer of that epoch has the upload. Raises WriterFenced, UploadEnded."""
        if self.epoch != epoch:
            raise errors.WriterFenced(epoch=self.epoch)
        if self._ended is not None:
            raise errors.UploadEnded(state=self._ended)

    async def open(self, upload: UploadRecord, *, epoch: int) -> ResumableStaged:
        """The staged bytes, which are opened if they are not, or if another server has written meanwhile:
        `epoch` is the one that the row had, if nobody but this process took the upload.

        Raises BlobCorrupt; then the upload has FAILED.
        """
        self.client = upload.client
        if self._seen != (epoch, upload.committed_size):
            await self.release()
        self._seen = upload.writer_epoch, upload.committed_size
        if self._staged is None:
            try:
                self._staged = await self._staging.resume(upload.id, upload.committed_size)
            except errors.BlobCorrupt as error:
                await self._catalog.end_upload(
                    upload.id,
                    state="FAILED",
                    image=None,
                    failure=as_json(error),
                    now=now(),
                    epoch=upload.writer_epoch,
                )
                self._measures.ended("FAILED")
                raise
            self.head = None if upload.committed_size else Head(self.images)
        return self._staged

    async def commit(self, epoch: int) -> UploadRecord:
        """Makes durable what was written, and gives the upload as it is then.

        Raises WriterFenced, UploadEnded, UploadBytesExceeded and StorageUnavailable; and BlobCorrupt if
        earlier bytes are damaged, which makes the upload FAILED.
        """
        async with self.release_on_error():
            with span("commit"):
                advance = partial(self._advance, epoch)
                try:
                    upload = still_open(await self.staged.commit(advance))
                except errors.WriterFenced:
                    # What was committed is gone, too, if another server has ended the upload.
                    still_open(await self._catalog.get_upload(self.id))
                    raise
                except errors.BlobCorrupt as error:
                    # Or another server has taken the upload since, and what is missing is elsewhere.
                    ended = await self.fail(error)
                    if ended.state != "FAILED":
                        raise errors.UploadEnded(state=ended.state) from error
                    raise
        if upload.writer_epoch != epoch:
            await self.release()
            raise errors.WriterFenced(epoch=upload.writer_epoch)
        self._seen = epoch, upload.committed_size
        return upload

    async def _advance(self, epoch: int, size: int) -> UploadRecord | None:
        return await self._places.advance(self.id, epoch=epoch, size=size)

    async def reject(self, error: errors.ConexionesError) -> UploadRecord:
        """Ends an upload whose bytes cannot be an image. Raises WriterFenced if it has another writer by now,
        who may have sent other bytes."""
        return await self._end("REJECTED", error)

    async def fail(self, error: errors.BlobCorrupt) -> UploadRecord:
        """Ends an upload whose bytes were damaged after they were committed. Raises WriterFenced."""
        return await self._end("FAILED", error)

    async def _end(self, state: UploadState, error: errors.ConexionesError) -> UploadRecord:
        epoch = self.epoch
        upload = known(
            await self._catalog.end_upload(
                self.id, state=state, image=None, failure=as_json(error), now=now(), epoch=epoch
            )
        )
        if upload.state == "OPEN":
            await self.release()
            raise errors.WriterFenced(epoch=upload.writer_epoch)
        if upload.state == state:
            self._measures.ended(state)
        await self.discard()
        return upload

    @asynccontextmanager
    async def release_on_error(self) -> AsyncIterator[None]:
        """Releases the staged bytes if the body raises. The next writer then begins at the committed size."""
        try:
            yield
        except BaseException:
            await self.release()
            raise

    async def discard(self) -> None:
        """Removes the staged bytes."""
        if self._staged is not None:
            await self._staged.discard()
        await self.release()

    async def release(self) -> None:
        """Closes the staged bytes. What was committed stays."""
        staged, self._staged = self._staged, None
        if staged is not None:
            await staged.release()


class UploadWriter:
    """One writer of an upload, until another takes it. Used by one task at a time.

    `committed` is the durable size as far as this writer knows. `fenced` is set when it has lost the upload.
    """

    def __init__(self, held: HeldUpload, upload: UploadRecord, room: Room) -> None:
        self._held = held
        self._room = room
        self._limit = upload.declared_size
        self.epoch = upload.writer_epoch
        self.committed = upload.committed_size
        self.fenced = held.fenced

    async def write(self, offset: int, data: bytes | memoryview, crc32c: int | None) -> int:
        """Appends a chunk and gives the size with it, which is not durable before `commit`.

        Raises WriterFenced, UploadEnded, OffsetMismatch, ChecksumMismatch (the chunk is dropped),
        SizeExceeded, QuotaExceeded, TicketUsedUp, or an ImageError or FormatNotGranted, after which the
        upload is REJECTED.
        """
        held = self._held
        async with held.lock:
            self.check()
            staged = held.staged
            if offset != staged.size:
                raise errors.OffsetMismatch(field="offset", expected=staged.size, actual=offset)
            check_crc32c(data, crc32c, field="data")
            size = offset + len(data)
            if self._limit is not None and size > self._limit:
                raise errors.SizeExceeded(field="data", limit=self._limit, actual=size)
            self._room.check_size(size)
            try:
                held.images.check_size(size)
                if held.head:
                    self._room.check_header(held.head.see(data))
            except (errors.ImageError, errors.FormatNotGranted) as error:
                error.field = "data"
                await held.reject(error)
                raise
            await staged.write(data)
            return size

    async def commit(self) -> int:
        """Makes all that was written durable and gives its size.

        Raises WriterFenced, UploadEnded, UploadBytesExceeded, StorageUnavailable, and BlobCorrupt as above.
        """
        async with self._held.lock:
            self.check()
            self.committed = (await self._held.commit(self.epoch)).committed_size
            return self.committed

    def check(self) -> None:
        """Raises WriterFenced if another writer has the upload, and UploadEnded if it has ended."""
        self._held.check(self.epoch)
