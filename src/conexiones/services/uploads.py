"""conexiones.v1.UploadService: see proto/conexiones/v1/uploads.proto for what each call promises."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from conexiones import __version__
from conexiones.domain.access import TICKET_SECONDS, Directory
from conexiones.domain.describing import Describing
from conexiones.domain.ids import now
from conexiones.domain.images import Limits
from conexiones.domain.renditions import FORMATS, MAX_QUALITY, MAX_SIDE
from conexiones.domain.uploads import (
    IDLE_SECONDS,
    TOTAL_SECONDS,
    Chunk,
    ChunkFlow,
    SmallImage,
    SmallImages,
    Uploads,
    failure,
)
from conexiones.errors import (
    ChecksumMismatch,
    FormatNotGranted,
    ImageDeleted,
    InvalidArgument,
    InvalidField,
    QuotaExceeded,
    RequestIdReused,
    TicketUsedUp,
)
from conexiones.gen.conexiones.v1.images_pb2 import Image, RenditionLimits
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    CancelUploadResponse,
    CreateTicketRequest,
    CreateTicketResponse,
    CreateUploadRequest,
    CreateUploadResponse,
    FinishUploadRequest,
    FinishUploadResponse,
    GetLimitsRequest,
    GetLimitsResponse,
    GetUploadRequest,
    GetUploadResponse,
    Upload,
    UploadImageRequest,
    UploadImageResponse,
    UploadImagesRequest,
    UploadImagesResponse,
    WriteChunkRequest,
    WriteChunkResponse,
    WriteStreamRequest,
    WriteStreamResponse,
)
from conexiones.image_formats import IMAGE_FORMATS
from conexiones.ports.records import UploadQuota, UploadRecord
from conexiones.principals import Terms
from conexiones.services.access_messages import access_message, seconds
from conexiones.services.context import Context
from conexiones.services.details import as_failure
from conexiones.services.messages import image_message, timestamp, upload_message
from conexiones.tracing import span

REFUSALS = (
    InvalidArgument,
    RequestIdReused,
    ImageDeleted,
    ChecksumMismatch,
    QuotaExceeded,
    TicketUsedUp,
    FormatNotGranted,
)
"""The errors of one image of a stream, which goes on after it."""

_MESSAGE_OVERHEAD = 4096
"""The most bytes of a message besides the data of its chunk, or besides its image."""

_PREFERRED = 1 << 20
"""Bytes of a chunk. Larger ones are no faster."""


class UploadService:
    """GetLimits reports `limits`, `quota` and `max_message_bytes`, the most bytes of one message."""

    def __init__(
        self,
        uploads: Uploads,
        small: SmallImages,
        describing: Describing,
        limits: Limits,
        quota: UploadQuota,
        directory: Directory,
        *,
        max_message_bytes: int,
    ) -> None:
        self._uploads = uploads
        self._small = small
        self._describing = describing
        self._limits = limits
        self._quota = quota
        self._directory = directory
        self._max_message_bytes = max_message_bytes

    async def get_limits(self, request: GetLimitsRequest, call: Context, /) -> GetLimitsResponse:
        largest = self._max_message_bytes - _MESSAGE_OVERHEAD
        time = Timestamp()
        time.GetCurrentTime()
        return GetLimitsResponse(
            max_image_bytes=self._limits.max_image_bytes,
            max_pixels=self._limits.max_pixels,
            max_message_bytes=self._max_message_bytes,
            max_chunk_bytes=largest,
            preferred_chunk_bytes=min(_PREFERRED, largest),
            idle_expiry=Duration(seconds=IDLE_SECONDS),
            total_expiry=Duration(seconds=TOTAL_SECONDS),
            max_open_uploads=self._quota.uploads,
            max_open_bytes=self._quota.bytes,
            server_version=__version__,
            server_time=time,
            renditions=RenditionLimits(
                max_side=MAX_SIDE,
                max_pixels=self._limits.decode_pixels,
                max_quality=MAX_QUALITY,
                max_seconds=self._limits.decode_seconds,
                formats=[f"FORMAT_{format}" for format in FORMATS],
            ),
            access=access_message(call.principal, await self._uploads.usage(by=call.principal)),
            max_small_bytes=min(self._small.max_bytes, self._limits.max_image_bytes, largest),
        )

    async def create_ticket(self, request: CreateTicketRequest, call: Context, /) -> CreateTicketResponse:
        formats = frozenset(request.formats)
        if not formats <= set(IMAGE_FORMATS):
            raise InvalidField(field="formats", takes=f"any of {', '.join(IMAGE_FORMATS)}")
        for field in ("max_bytes", "max_images"):
            if getattr(request, field) < 0:
                raise InvalidField(field=field, takes="0 or more")
        issued = await self._directory.create_ticket(
            call.principal,
            seconds=seconds(request.ttl, field="ttl") if request.HasField("ttl") else TICKET_SECONDS,
            terms=Terms(
                bytes=request.max_bytes or self._limits.max_image_bytes,
                images=request.max_images or 1,
                formats=formats,
            ),
            owner=request.owner,
        )
        ticket = issued.credential
        call.changed("ticket.created", ticket.id)
        expires = None if ticket.expire_time is None else timestamp(ticket.expire_time)
        return CreateTicketResponse(id=ticket.id, secret=issued.secret, expire_time=expires)

    async def create_upload(self, request: CreateUploadRequest, call: Context, /) -> CreateUploadResponse:
        begun = now()
        upload = await self._uploads.create(
            request.request_id,
            by=call.principal,
            client=call.caller.client,
            user=request.user,
            name=request.name,
            size=request.size_bytes if request.HasField("size_bytes") else None,
        )
        if upload.create_time >= begun:  # not one that the same request has begun before
            call.changed("upload.created", upload.id)
        return CreateUploadResponse(upload=await self._message(upload, call))

    async def write_chunk(self, request: WriteChunkRequest, call: Context, /) -> WriteChunkResponse:
        if not request.data:
            raise InvalidField(field="data", takes="at least one byte")
        writing = self._uploads.writer(request.upload_id, request.writer_epoch, by=call.principal)
        async with writing as writer:
            with span("stage"):
                await writer.write(*_chunk(request))
            return WriteChunkResponse(committed_size=await writer.commit(), writer_epoch=writer.epoch)

    async def write_stream(
        self, requests: AsyncIterator[WriteStreamRequest], call: Context, /
    ) -> AsyncIterator[WriteStreamResponse]:
        first = await anext(requests, None)
        if first is None:
            raise InvalidField(field="upload_id", takes="the id of an upload")
        async with self._uploads.writer(first.upload_id, by=call.principal) as writer:
            chunks = _chunks(first, requests)
            del first
            async with aclosing(ChunkFlow(writer).run(chunks)) as sizes:
                async for committed in sizes:
                    yield WriteStreamResponse(committed_size=committed, writer_epoch=writer.epoch)

    async def get_upload(self, request: GetUploadRequest, call: Context, /) -> GetUploadResponse:
        upload = await self._uploads.get(request.id, by=call.principal)
        return GetUploadResponse(upload=await self._message(upload, call))

    async def finish_upload(self, request: FinishUploadRequest, call: Context, /) -> FinishUploadResponse:
        begun = now()
        upload = await self._uploads.finish(
            request.id, size=request.size_bytes, sha256=request.sha256, by=call.principal
        )
        if upload.update_time >= begun:
            error = failure(upload)
            call.changed("upload.finished", upload.id, error.reason if error else "OK")
            if upload.image_id:
                call.changed("image.stored", upload.image_id)
        return FinishUploadResponse(upload=await self._message(upload, call))

    async def cancel_upload(self, request: CancelUploadRequest, call: Context, /) -> CancelUploadResponse:
        begun = now()
        upload = await self._uploads.cancel(request.id, by=call.principal)
        if upload.update_time >= begun:
            call.changed("upload.cancelled", upload.id)
        return CancelUploadResponse(upload=await self._message(upload, call))

    async def upload_image(self, request: UploadImageRequest, call: Context, /) -> UploadImageResponse:
        return UploadImageResponse(image=await self._store(request, call))

    async def store_one(self, request: UploadImagesRequest, call: Context, /) -> UploadImagesResponse:
        """The response to one image of UploadImages."""
        try:
            image = await self._store(request, call)
        except REFUSALS as error:
            call.refused(error)
            return UploadImagesResponse(request_id=request.request_id, failure=as_failure(error))
        return UploadImagesResponse(request_id=request.request_id, image=image)

    async def _store(self, request: UploadImageRequest | UploadImagesRequest, call: Context) -> Image:
        wanted = SmallImage(
            data=request.image,
            request_id=request.request_id,
            user=request.user,
            name=request.name,
            sha256=request.sha256,
            crc32c=request.crc32c if request.HasField("crc32c") else None,
        )
        image, is_new = await self._small.store(wanted, by=call.principal, client=call.caller.client)
        if is_new:
            call.changed("image.stored", image.id)
        return image_message(image, {}, by=call.principal)

    async def _message(self, upload: UploadRecord, call: Context) -> Upload:
        image = await self._uploads.image(upload)
        facts = await self._describing.known([image] if image else [])
        return upload_message(upload, image, facts, expiry=self._uploads.expiry(upload), by=call.principal)


async def _chunks(
    first: WriteStreamRequest, requests: AsyncIterator[WriteStreamRequest]
) -> AsyncGenerator[Chunk, None]:
    """The chunks of a stream, whose first message may hold none. No message is kept while it waits."""
    if first.data:
        yield _chunk(first)
    del first
    async for request in requests:
        chunk = _chunk(request)
        del request
        yield chunk
        del chunk


def _chunk(request: WriteChunkRequest | WriteStreamRequest) -> Chunk:
    return Chunk(request.offset, request.data, request.crc32c if request.HasField("crc32c") else None)
