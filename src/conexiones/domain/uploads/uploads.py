"""The rules of resumable uploads: one writer at a time, and one truth, the committed size.

An upload is OPEN until it is finished, is cancelled or expires. Its outcome then stays as it is and can be
asked for again for a day. Bytes are committed (made durable, then counted in the row of the catalog) before
they are acknowledged. What was not committed when a writer or the server went away is cut off.

The row of the catalog decides who writes. Within this process uploads are locked, and writers are fenced, in
memory; a writer of another server is fenced by the epoch in the row, without which nothing is committed and
no upload is finished. What this process holds of an upload counts only as long as the row shows that nobody
else has written.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress

from conexiones import errors
from conexiones.domain.ids import now
from conexiones.domain.images import Images
from conexiones.domain.names import UserName, file_name
from conexiones.domain.quotas import NOTHING, Room, charge_of, room_of
from conexiones.domain.uploads.checksums import check_sha256
from conexiones.domain.uploads.measures import Measures
from conexiones.domain.uploads.outcome import known, still_open
from conexiones.domain.uploads.places import Places
from conexiones.domain.uploads.small import MAX_REQUEST_ID
from conexiones.domain.uploads.writer import HeldUpload, UploadWriter
from conexiones.metrics import Metrics
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import (
    ImageRecord,
    UploadQuota,
    UploadRecord,
    UploadState,
    UploadTerms,
    Usage,
)
from conexiones.ports.staging import ResumableStaged, Staging
from conexiones.principals import Principal
from conexiones.shares import Turns
from conexiones.tracing import span
from conexiones.waits import observe_places

IDLE_SECONDS = 24 * 3600
"""An open upload expires if no byte is committed, and no writer takes it, for this long."""

TOTAL_SECONDS = 7 * 24 * 3600
"""An open upload expires this long after it was created, whatever it receives."""

QUIET_SECONDS = 600
"""An open upload expires if it has no byte this long after it was created. One that got no byte for this
long, or too few, is ended when other clients need its room."""

LEAST_RATE = 1024
"""Bytes in a second that an upload has to get on average, since it was created, to keep its room when other
clients need it. One of a large announced size has to get as many as it takes to be done in TOTAL_SECONDS."""

KEEP_SECONDS = 24 * 3600
"""The outcome of an upload can be asked for during this time after its end."""

_LONG = 64 << 20
"""Bytes from which on finishing an upload takes long: all of them are hashed."""

_FINISHING, _FINISHING_EACH = 4, 2
"""Uploads of so many bytes that are finished at a time, of all clients and of each. Smaller ones, and all
other work with files, do not wait for them."""

_FORGOTTEN = 500
"""Outcomes that are forgotten in one transaction."""

_MAX_HELD = 256
"""Uploads whose staged bytes stay open between two writers. Others are opened again for the next writer."""

_FINISHED = frozenset[UploadState]({"READY", "REJECTED", "FAILED"})
"""The states that finishing an upload leads to."""


class Uploads:
    """Uploads of images. Methods that take an id raise UploadNotFound for one that is not known, and for one
    that the caller does not see: before anything is held or locked of it.

    `quota` limits all open uploads together, and gives each client a share. Without it only the disk limits
    them. `quiet_seconds` takes the place of QUIET_SECONDS; 0 is that of IDLE_SECONDS. `on_expired` is told
    the ids of uploads that have expired.
    """

    def __init__(
        self,
        catalog: Catalog,
        staging: Staging,
        images: Images,
        quota: UploadQuota | None = None,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        metrics: Metrics | None = None,
    ) -> None:
        self._catalog = catalog
        self._staging = staging
        self._images = images
        self._terms = UploadTerms(
            idle=IDLE_SECONDS * 1_000_000,
            total=TOTAL_SECONDS * 1_000_000,
            quiet=int((quiet_seconds or IDLE_SECONDS) * 1_000_000),
            least_rate=LEAST_RATE,
        )
        self._places = Places(catalog, quota, self._terms, self._clear_later)
        self._finishing = Turns(_FINISHING, each=_FINISHING_EACH)
        metrics = metrics or Metrics()
        observe_places(metrics, "finishing", self._finishing)
        self._measures = Measures(metrics)
        self._held: dict[str, HeldUpload] = {}
        self._clearing: set[asyncio.Task[None]] = set()
        self.on_expired: Callable[[Sequence[str]], None] = lambda _: None

    async def create(
        self,
        request_id: str,
        *,
        by: Principal,
        client: str = "",
        user: str,
        size: int | None,
        name: str = "",
    ) -> UploadRecord:
        """Begins an upload of a client, or gives the one that the same request began. `client` is the key of
        who has the share of the quota, `size` is None if it is not known, `name` is that of the file.

        Raises InvalidField, NameTooLong, ImageTooLarge, RequestIdReused, TooManyUploads, UploadBytesExceeded,
        and QuotaExceeded or TicketUsedUp if the caller has no room for it as things stand.
        """
        if not 1 <= len(request_id) <= MAX_REQUEST_ID:
            raise errors.InvalidField(field="request_id", takes=f"1 to {MAX_REQUEST_ID} characters")
        user_name = UserName.optional(user, field="user")
        named = file_name(name)
        if size is not None:
            if size == 0:
                raise errors.EmptyImage(field="size_bytes")
            if size < 0:
                raise errors.InvalidField(field="size_bytes", takes="at least 1")
            self._images.check_size(size)
        time = now()
        wanted = UploadRecord(
            id=secrets.token_hex(16),
            request_id=request_id,
            state="OPEN",
            committed_size=0,
            declared_size=size,
            writer_epoch=0,
            client=client,
            user=user_name.text if user_name else None,
            image_id=None,
            failure=None,
            create_time=time,
            update_time=time,
            name=named,
            owner=by.owner,
            ticket=by.ticket,
        )
        charge = charge_of(by, owner=wanted.owner, ticket=wanted.ticket)
        upload = await self._places.create(wanted, charge)
        if _asked(upload) != _asked(wanted):
            raise errors.RequestIdReused(field="request_id")
        self._measures.created.value += upload.id == wanted.id
        return upload

    async def get(self, upload_id: str, *, by: Principal) -> UploadRecord:
        return known(await self._catalog.get_upload(upload_id), by)

    async def usage(self, *, by: Principal) -> Usage:
        """What the caller's owner has, and what was stored with its ticket."""
        return await self._catalog.usage(by.owner, ticket=by.ticket)

    async def image(self, upload: UploadRecord) -> ImageRecord | None:
        """The image of a READY upload, unless it was deleted since. None for an upload in another state."""
        return await self._catalog.get_image(upload.image_id) if upload.image_id else None

    def expiry(self, upload: UploadRecord) -> int:
        """When an open upload expires if nothing happens to it, or when one that has ended is forgotten; in
        microseconds. An open one may have to end before, if others need its room."""
        if upload.state != "OPEN":
            return upload.update_time + KEEP_SECONDS * 1_000_000
        terms = self._terms
        latest = min(upload.update_time + terms.idle, upload.create_time + terms.total)
        return latest if upload.committed_size else min(latest, upload.create_time + terms.quiet)

    @asynccontextmanager
    async def writer(self, upload_id: str, epoch: int = 0, *, by: Principal) -> AsyncIterator[UploadWriter]:
        """The writer of that epoch again, or for 0 a new one, which takes the upload from any other.

        Raises WriterFenced, UploadEnded, and QuotaExceeded or TicketUsedUp if there is no room for an image.
        """
        room = await self._room_to_write(upload_id, by)
        async with self._locked(upload_id) as held:
            if epoch == 0:
                upload, _ = await self._claim(held)
                self._measures.resumed.value += upload.committed_size > 0
            else:
                upload = still_open(await self._catalog.get_upload(upload_id))
                if upload.writer_epoch != epoch:
                    self._measures.fenced.value += 1
                    raise errors.WriterFenced(epoch=upload.writer_epoch)
                held.epoch = epoch
                await self._open(held, upload, epoch=epoch)
            held.users += 1  # the lock is held for one step at a time, the writer lives for many
        try:
            yield UploadWriter(held, upload, room)
        except errors.WriterFenced:
            self._measures.fenced.value += 1
            raise
        finally:
            self._leave(held)

    async def finish(self, upload_id: str, *, size: int, sha256: bytes, by: Principal) -> UploadRecord:
        """Checks the bytes, publishes the image, and gives the outcome: READY, REJECTED, or FAILED if the
        bytes are not those that were committed.

        For an upload that was finished before, or has FAILED, it gives that outcome again. `sha256` is 32
        bytes, or empty if it is not known. Raises UploadIncomplete, SizeExceeded, QuotaExceeded and
        TicketUsedUp, after which the upload is still open, and UploadEnded for one that was cancelled or has
        expired.
        """
        if sha256 and len(sha256) != 32:
            raise errors.InvalidField(field="sha256", takes="32 bytes, or none")
        await self._check_seen(upload_id, by)
        async with self._locked(upload_id) as held:
            upload = await self.get(upload_id, by=by)
            if upload.state in _FINISHED:
                return upload
            try:
                upload, staged = await self._claim(held)
            except errors.UploadEnded:
                upload = await self.get(upload_id, by=by)
                if upload.state in _FINISHED:
                    return upload  # another server has finished it meanwhile
                raise
            _check_size(size, upload.committed_size)
            async with held.release_on_error():
                try:
                    room = await self._room(upload, by, size=size)  # before all bytes are read
                    async with self._finishing if staged.size >= _LONG else nullcontext():
                        image, upload = await self._publish(staged, upload, sha256, room)
                except (errors.ImageError, errors.FormatNotGranted, errors.ChecksumMismatch) as error:
                    return await held.reject(error)
                except errors.BlobCorrupt as error:
                    return await held.fail(error)
                if upload.image_id == image.id:
                    self._measures.ended("READY")
                    self._images.count(image, "upload", room)
                    await staged.settle()
                await held.release()
        if upload.state == "OPEN":
            raise errors.WriterFenced(epoch=upload.writer_epoch)  # another server has taken it meanwhile
        if upload.state not in _FINISHED:
            raise errors.UploadEnded(state=upload.state)  # meanwhile
        return upload

    async def cancel(self, upload_id: str, *, by: Principal) -> UploadRecord:
        """Ends an upload without an image. Raises UploadEnded if it has ended otherwise."""
        await self._check_seen(upload_id, by)
        return await self._give_up(upload_id, "CANCELLED")

    async def sweep(self) -> None:
        """Ends the uploads that have expired and forgets those that ended long ago. Call it at intervals."""
        await self._clear(await self._places.expire())
        await self._let_go()
        ended_before = await self._catalog.shared_time(now()) - KEEP_SECONDS * 1_000_000
        # There may be one for every small image of a day ago. All other writes wait while some are removed.
        while await self._catalog.forget_uploads(ended_before=ended_before, limit=_FORGOTTEN) == _FORGOTTEN:
            pass

    async def close(self) -> None:
        """Releases all staged bytes. Writers must have left before."""
        if self._clearing:
            await asyncio.wait(self._clearing)
        for upload_id in list(self._held):
            async with self._locked(upload_id) as held:
                await held.release()

    async def _publish(
        self, staged: ResumableStaged, upload: UploadRecord, sha256: bytes, room: Room
    ) -> tuple[ImageRecord, UploadRecord]:
        """The image of the staged bytes, which is stored if the upload has become READY by it, and the upload
        as it is then."""
        if not staged.size:
            raise errors.EmptyStream
        with span("judge"):
            header = await self._images.judge(staged)
        room.check_header(header)

        async def end(digest: bytes) -> tuple[ImageRecord, UploadRecord]:
            check_sha256(digest, sha256)
            image = self._images.record(
                digest,
                staged.size,
                header,
                owner=upload.owner,
                user=UserName.optional(upload.user),
                name=upload.name,
            )
            ended = await self._catalog.end_upload(
                upload.id,
                state="READY",
                image=image,
                failure=None,
                now=now(),
                charge=room.charge,
                epoch=upload.writer_epoch,
            )
            return image, known(ended)

        with span("commit", size=staged.size):
            return await staged.publish(end)

    async def _check_seen(self, upload_id: str, by: Principal) -> None:
        """Raises UploadNotFound for an upload that is there, but not for the caller."""
        if by.own:
            await self.get(upload_id, by=by)

    async def _room_to_write(self, upload_id: str, by: Principal) -> Room:
        """The room for the image of an open upload, which is not asked for where nothing can limit it. Raises
        UploadNotFound, UploadEnded, QuotaExceeded, TicketUsedUp."""
        if not by.own and charge_of(by, owner=by.owner, ticket=by.ticket) is None:
            return Room(by, None, NOTHING)
        return await self._room(still_open(known(await self._catalog.get_upload(upload_id), by)), by)

    async def _room(self, upload: UploadRecord, by: Principal, *, size: int = 0) -> Room:
        """The room for the image of an upload. Raises QuotaExceeded, TicketUsedUp."""
        return await room_of(self._catalog, by, size=size, owner=upload.owner, ticket=upload.ticket)

    async def _give_up(self, upload_id: str, state: UploadState) -> UploadRecord:
        async with self._locked(upload_id) as held:
            time = now()
            upload = known(
                await self._catalog.end_upload(upload_id, state=state, image=None, failure=None, now=time)
            )
            if upload.state != state:
                raise errors.UploadEnded(state=upload.state)
            self._measures.ended(state, upload.update_time == time)  # and not before
            await self._drop(held, state)
        return upload

    async def _drop(self, held: HeldUpload, state: UploadState) -> None:
        """Removes the bytes of an upload that has ended without an image. Called with the lock held."""
        held.end(state)
        await held.discard()
        await self._staging.drop(held.id)

    def _clear_later(self, expired: list[str]) -> None:
        """Has the bytes of uploads removed that have expired. Their writers hear of it at once."""
        for upload_id in expired:
            if (held := self._held.get(upload_id)) is not None:
                held.end("EXPIRED")
        task = asyncio.create_task(self._clear(expired))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _let_go(self) -> None:
        """Closes staged bytes that are of no use any more: another server has written to their upload, or has
        ended it."""
        for held in [held for held in self._held.values() if not held.users]:
            async with self._locked(held.id) as held:
                if held.users == 1 and not held.is_current(await self._catalog.get_upload(held.id)):
                    await held.release()

    async def _clear(self, expired: list[str]) -> None:
        """Removes the bytes of uploads that have expired. What cannot be removed is left to the next
        start."""
        self._measures.ended("EXPIRED", len(expired))
        self.on_expired(expired)
        for upload_id in expired:
            with suppress(errors.ConexionesError):
                async with self._locked(upload_id) as held:
                    await self._drop(held, "EXPIRED")

    @asynccontextmanager
    async def _locked(self, upload_id: str) -> AsyncIterator[HeldUpload]:
        """What is held of an upload, for one task at a time."""
        held = self._held.get(upload_id)
        if held is None:
            held = HeldUpload(
                upload_id, self._catalog, self._staging, self._images, self._places, self._measures
            )
            self._held[upload_id] = held
        held.users += 1
        try:
            async with held.lock:
                yield held
        finally:
            self._leave(held)

    def _leave(self, held: HeldUpload) -> None:
        held.users -= 1
        if not held.users and not held.is_open:
            del self._held[held.id]

    async def _claim(self, held: HeldUpload) -> tuple[UploadRecord, ResumableStaged]:
        """Takes the upload from the writer that has it. Called with the lock held."""
        upload = still_open(await self._catalog.claim_upload(held.id, now=now()))
        held.take(upload.writer_epoch)
        staged = await self._open(held, upload, epoch=upload.writer_epoch - 1)
        if staged.size != upload.committed_size:
            # The writer before had written more than was committed, and its bytes are as good as any.
            upload = await held.commit(upload.writer_epoch)
        return upload, staged

    async def _open(self, held: HeldUpload, upload: UploadRecord, *, epoch: int) -> ResumableStaged:
        """The staged bytes of an upload, as in HeldUpload. Called with the lock held. Raises BlobCorrupt."""
        if not held.is_open:
            await self._make_room()
        return await held.open(upload, epoch=epoch)

    async def _make_room(self) -> None:
        """Closes staged bytes that nobody writes, if too many are open: of the client that has most of them,
        those that were opened first."""
        while len(self._held) > _MAX_HELD:
            idle = [held for held in self._held.values() if not held.users]
            if not idle:
                return
            ((client, _),) = Counter(held.client for held in idle).most_common(1)
            first = next(held for held in idle if held.client == client)
            async with self._locked(first.id) as other:
                if other.users == 1:
                    await other.release()


def _check_size(size: int, committed: int) -> None:
    """Raises UploadIncomplete and SizeExceeded if so many bytes are not those that were committed."""
    if size > committed:
        raise errors.UploadIncomplete(expected=size, actual=committed)
    if size < committed:
        raise errors.SizeExceeded(field="size_bytes", limit=size, actual=committed)


def _asked(upload: UploadRecord) -> tuple[object, ...]:
    """What has to be the same in all requests with one request_id."""
    return upload.user, upload.declared_size, upload.name
