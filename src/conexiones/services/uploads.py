"""conexiones.v1.UploadService: see proto/conexiones/v1/uploads.proto for what each call promises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from conexiones import __version__
from conexiones.domain.describing import Describing
from conexiones.domain.images import Limits
from conexiones.domain.renditions import FORMATS, MAX_QUALITY, MAX_SIDE
from conexiones.domain.uploads import IDLE_SECONDS, TOTAL_SECONDS, Uploads, Writer
from conexiones.errors import ConexionesError, ImageError, InvalidField
from conexiones.gen.conexiones.v1.images_pb2 import RenditionLimits
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    CancelUploadResponse,
    CreateUploadRequest,
    CreateUploadResponse,
    FinishUploadRequest,
    FinishUploadResponse,
    GetLimitsRequest,
    GetLimitsResponse,
    GetUploadRequest,
    GetUploadResponse,
    Upload,
    WriteChunkRequest,
    WriteChunkResponse,
    WriteStreamRequest,
    WriteStreamResponse,
)
from conexiones.ports.records import UploadQuota, UploadRecord
from conexiones.services.context import Context
from conexiones.services.messages import upload_message

ACK_BYTES = 8 << 20
"""So many bytes are committed at once, and acknowledged,"""

ACK_SECONDS = 0.2
"""or what has come in so long."""

_MESSAGE_OVERHEAD = 4096
"""Bytes of a message that are not the chunk's data, at most."""

_PREFERRED = 1 << 20


class UploadService:
    """Limits and quota are the server's; `max_message_bytes` of one message."""

    def __init__(
        self,
        uploads: Uploads,
        describing: Describing,
        limits: Limits,
        quota: UploadQuota,
        *,
        max_message_bytes: int,
    ) -> None:
        self._uploads = uploads
        self._describing = describing
        self._limits = limits
        self._quota = quota
        self._max_message_bytes = max_message_bytes

    async def get_limits(self, request: GetLimitsRequest, call: Context, /) -> GetLimitsResponse:
        largest = self._max_message_bytes - _MESSAGE_OVERHEAD
        now = Timestamp()
        now.GetCurrentTime()
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
            server_time=now,
            renditions=RenditionLimits(
                max_side=MAX_SIDE,
                max_pixels=self._limits.decode_pixels,
                max_quality=MAX_QUALITY,
                max_seconds=self._limits.decode_seconds,
                formats=[f"FORMAT_{format}" for format in FORMATS],
            ),
        )

    async def create_upload(self, request: CreateUploadRequest, call: Context, /) -> CreateUploadResponse:
        upload = await self._uploads.create(
            request.request_id,
            user=request.user,
            size=request.size_bytes if request.HasField("size_bytes") else None,
        )
        return CreateUploadResponse(upload=await self._message(upload))

    async def write_chunk(self, request: WriteChunkRequest, call: Context, /) -> WriteChunkResponse:
        crc32c = request.crc32c if request.HasField("crc32c") else None
        if not request.data:
            raise InvalidField(field="data", takes="at least one byte")
        async with self._uploads.writer(request.upload_id, request.writer_epoch) as writer:
            await writer.write(request.offset, request.data, crc32c)
            return WriteChunkResponse(committed_size=await writer.commit(), writer_epoch=writer.epoch)

    async def write_stream(
        self, requests: AsyncIterator[WriteStreamRequest], call: Context, /
    ) -> AsyncIterator[WriteStreamResponse]:
        first = await anext(requests, None)
        if first is None:
            raise InvalidField(field="upload_id", takes="the id of an upload")
        async with self._uploads.writer(first.upload_id) as writer:
            flow = _Flow(writer)
            replies = flow.run(first, requests)
            del first
            try:
                async for committed in replies:
                    yield WriteStreamResponse(committed_size=committed, writer_epoch=writer.epoch)
            finally:
                await replies.aclose()

    async def get_upload(self, request: GetUploadRequest, call: Context, /) -> GetUploadResponse:
        return GetUploadResponse(upload=await self._message(await self._uploads.get(request.id)))

    async def finish_upload(self, request: FinishUploadRequest, call: Context, /) -> FinishUploadResponse:
        upload = await self._uploads.finish(request.id, size=request.size_bytes, sha256=request.sha256)
        return FinishUploadResponse(upload=await self._message(upload))

    async def cancel_upload(self, request: CancelUploadRequest, call: Context, /) -> CancelUploadResponse:
        return CancelUploadResponse(upload=await self._message(await self._uploads.cancel(request.id)))

    async def _message(self, upload: UploadRecord) -> Upload:
        image = await self._uploads.image(upload)
        return upload_message(upload, image, await self._describing.known([image] if image else []))


class _Flow:
    """One stream of chunks: a task takes them in, while the commits and their acknowledgements go out."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._written = writer.committed
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._error: BaseException | None = None

    async def run(self, first: WriteStreamRequest, requests: AsyncIterator[WriteStreamRequest]) -> Any:
        """The committed sizes to acknowledge: one at once, the last when all is committed."""
        writer = self._writer
        yield writer.committed
        reading = asyncio.create_task(self._read(first, requests))
        del first
        fenced = asyncio.create_task(writer.fenced.wait())
        fenced.add_done_callback(lambda _: self._wake.set())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._timer:
                    self._timer.cancel()
                    self._timer = None
                writer.check()
                if isinstance(self._error, ImageError):
                    raise self._error  # the upload is rejected: there is nothing to commit
                if self._written > writer.committed:
                    yield await writer.commit()
                elif self._ended:
                    break
                if self._ended:
                    self._wake.set()
            if self._error:
                raise self._error
        finally:
            # The generator of requests must not be in use when the call ends.
            reading.cancel()
            fenced.cancel()
            await asyncio.gather(reading, fenced, return_exceptions=True)
            if self._timer:
                self._timer.cancel()
            # What came of a broken connection need not come again.
            if self._written > writer.committed:
                with suppress(ConexionesError):
                    await writer.commit()

    async def _read(self, first: WriteStreamRequest, requests: AsyncIterator[WriteStreamRequest]) -> None:
        try:
            if first.data:
                await self._take(first)
            del first
            async for request in requests:
                await self._take(request)
                del request
        except Exception as error:
            self._error = error
        finally:
            self._ended = True
            self._wake.set()

    async def _take(self, request: WriteStreamRequest) -> None:
        crc32c = request.crc32c if request.HasField("crc32c") else None
        self._written = await self._writer.write(request.offset, request.data, crc32c)
        if self._written - self._writer.committed >= ACK_BYTES:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ACK_SECONDS, self._wake.set)
