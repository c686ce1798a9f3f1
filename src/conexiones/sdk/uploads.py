"""Uploading one source, over as many connections as it takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc

from conexiones import errors
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    GetUploadRequest,
    WriteStreamRequest,
    WriteStreamResponse,
)
from conexiones.sdk import results
from conexiones.sdk.connection import Connection, ours
from conexiones.sdk.failures import ConnectionLost, Stalled
from conexiones.sdk.requests import made
from conexiones.sdk.results import Image, Upload, UploadState
from conexiones.sdk.resume import new_id
from conexiones.sdk.sources import Chunk, Source
from conexiones.sdk.stream_status import Replies, written
from conexiones.sdk.threads import cancelled, seen

T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called with the number of bytes that are durable (or received) and the total, None if unknown."""

CHUNK_BYTES = 1 << 20
"""Default size of one message's data."""
RENEWALS = 3
"""How often an upload that the server let expire is begun anew."""
WINDOW_BYTES = 16 << 20
"""Bytes that may be sent and not yet acknowledged. This bounds memory: a stream source keeps that many."""


class Uploader:
    """One upload, from a source to an image. Use once.

    `renew` gives the request_id of another upload of the same source, where one cannot be continued.
    """

    def __init__(
        self,
        connection: Connection,
        source: Source,
        *,
        user: str,
        name: str = "",
        request_id: str | None = None,
        renew: Callable[[], str] = new_id,
        sha256: bytes | None = None,
        chunk_size: int = CHUNK_BYTES,
        progress: Progress | None = None,
    ) -> None:
        self._connection = connection
        self._source = source
        self._user = user
        self._name = name
        self._request_id = request_id or renew()
        self._renew = renew
        self._sha256 = sha256
        self._chunk_size = chunk_size
        self._progress = progress
        self._backoff = connection.backoff()
        self._timeout = connection.options.timeout
        self._committed = 0
        self._id = ""
        self._size: int | None = None
        self._digest = b""
        self._reading: asyncio.Task[Chunk] | None = None
        self._reading_at = 0
        # How many streams were opened and never answered. Such a stream may reach the server late, and fence
        # the one that was opened after it.
        self._unanswered_streams = 0

    async def run(self) -> Image:
        """Raises the error that refuses the image, WriterFenced, NoProgress, UploadEnded if the upload was
        cancelled, or expired with bytes that the source cannot give again, or what the source raises."""
        try:
            upload = await self._retrying(self._create)
            if upload.state is not UploadState.OPEN and upload.state is not UploadState.READY:
                # The upload of an earlier process ended without an image. Try the same bytes in a new upload.
                self._request_id = self._renew()
                upload = await self._retrying(self._create)
            for _ in range(RENEWALS):
                try:
                    return await self._to_its_end(upload)
                except (errors.UploadEnded, errors.UploadNotFound) as error:
                    # It was forgotten, or expired while this client or its network slept.
                    expired = error.facts.get("state", "EXPIRED") == "EXPIRED"
                    if not expired or not self._source.again:
                        raise
                self._backoff.progress()
                self._request_id, self._committed = self._renew(), 0
                upload = await self._retrying(self._create)
            return await self._to_its_end(upload)
        finally:
            await self._stop_reading()

    async def _to_its_end(self, upload: Upload) -> Image:
        if upload.state is not UploadState.OPEN:
            return self._checked(settled(upload))
        self._id = upload.id
        self._committed_to(upload.committed_size)
        return self._checked(settled(await self._retrying(self._attempt)))

    def _checked(self, image: Image) -> Image:
        """Raises ChecksumMismatch if that is not an image of the bytes that were sent."""
        size = self._source.size if self._size is None else self._size
        if (self._digest and image.sha256 != self._digest) or (size is not None and image.size_bytes != size):
            raise errors.ChecksumMismatch(
                algorithm="SHA-256", expected=(self._digest or b"").hex(), actual=image.sha256.hex()
            )
        return image

    async def _retrying(self, step: Callable[[], Awaitable[T]]) -> T:
        while True:
            sent = await self._connection.sending()
            try:
                return await step()
            except ConexionesError as error:
                if error is self._source.failure:
                    raise
                if isinstance(error, errors.MessageTooLarge) and self._chunk_size > 1024:
                    # This server's limit is smaller than usual. Leave 1 KiB for the fields beside the data.
                    limit = int(error.facts["limit"])
                    self._chunk_size = max(1024, min(self._chunk_size // 2, limit - 1024))
                elif isinstance(error, errors.WriterFenced) and self._unanswered_streams:
                    self._unanswered_streams -= 1
                elif not await self._connection.worth_another(error, sent):
                    raise
                await self._backoff.pause(error, reached=self._connection.reached)

    async def _create(self) -> Upload:
        request = made(CreateUploadRequest, request_id=self._request_id, user=self._user, name=self._name)
        if self._source.size:  # an empty source announces no size: it is refused as an empty image
            request.size_bytes = self._source.size
        reply = await self._connection.once(lambda link: link.uploads.CreateUpload, request)
        return results.upload(reply.upload)

    async def _attempt(self) -> Upload:
        try:
            self._size = await self._send()
            self._digest = self._sha256 or await self._source.digest()
            request = FinishUploadRequest(id=self._id, size_bytes=self._size, sha256=self._digest)
            reply = await self._connection.once(lambda link: link.uploads.FinishUpload, request)
        except errors.UploadEnded:
            # It was refused for its first bytes, or another process finished it: ask for the outcome.
            reply = await self._connection.once(
                lambda link: link.uploads.GetUpload, GetUploadRequest(id=self._id)
            )
        return results.upload(reply.upload)

    async def _send(self) -> int:
        """Sends what is missing over one stream, until all is durable; returns the size of the whole
        source."""
        async with self._connection.use() as link:
            stream = _WriteStream(link.uploads.WriteStream(), self._timeout, self._committed_to)
            self._unanswered_streams += 1
            try:
                await stream.write(WriteStreamRequest(upload_id=self._id))
                await stream.until(lambda: stream.answered)
                self._unanswered_streams -= 1
                self._connection.reached = True
                return await self._send_from(stream, self._committed)
            except Stalled:
                self._connection.renew(link)
                raise
            finally:
                await stream.end()

    async def _send_from(self, stream: "_WriteStream", offset: int) -> int:
        while True:
            # The next chunk is read while this one is being sent, but never more than the window may hold.
            chunk = await stream.either(self._read(offset), keep=True)
            if not chunk.data:
                break
            end = offset + len(chunk.data)
            await stream.until(lambda: end - self._committed <= WINDOW_BYTES)  # noqa: B023 (awaited here)
            if end + self._chunk_size - self._committed <= WINDOW_BYTES:
                self._read(end)
            message = WriteStreamRequest(
                upload_id=self._id, offset=offset, data=chunk.data, crc32c=chunk.crc32c
            )
            await stream.write(message, end)
            offset = end
        await stream.half_close()
        if self._committed < offset:
            raise ConnectionLost(why="the stream ended before all was durable")
        return offset

    def _read(self, offset: int) -> "asyncio.Future[Chunk]":
        """Reads the chunk at `offset`. A read that an earlier stream began is reused if it is of the same
        offset, and is awaited first otherwise."""
        if self._reading is None or self._reading_at != offset:
            before = self._reading
            self._reading_at = offset
            self._reading = asyncio.create_task(self._read_after(before, offset))
            self._reading.add_done_callback(seen)
        return self._reading

    async def _read_after(self, before: "asyncio.Task[Chunk] | None", offset: int) -> Chunk:
        if before is not None:
            await asyncio.wait({before})
        return await self._source.chunk(offset, self._chunk_size)

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            if self._source.quick:
                # A thread may still be reading the file, which the caller closes next.
                await asyncio.wait({self._reading}, timeout=5)
            self._reading.cancel()

    def _committed_to(self, committed: int) -> None:
        size = self._source.size
        if size is not None and committed > size:  # the server is not in order
            raise errors.SizeExceeded(field="committed_size", limit=size, actual=committed)
        if committed > self._committed:
            self._committed = committed
            self._backoff.progress()
            self._source.release(committed)
            if self._progress:
                self._progress(committed, self._source.size)


class _WriteStream:
    """One WriteStream call. It sends messages and reads acknowledgements concurrently, and when one of the
    two fails, the other stops.

    Fails with Stalled if bytes are unacknowledged and no acknowledgement came for `timeout` seconds.
    """

    def __init__(self, call: Any, timeout: float, acknowledged: Callable[[int], None]) -> None:
        self.answered = False
        self._call = call
        self._replies = Replies(call)
        self._timeout = timeout
        self._acknowledged = acknowledged
        self._committed = 0
        self._sent = 0
        self._closing = False
        self._news = asyncio.Event()
        self._limit = asyncio.timeout(timeout)
        self._acks = asyncio.create_task(self._read_acks())
        self._acks.add_done_callback(seen)

    async def _read_acks(self) -> None:
        try:
            async with self._limit:
                while True:
                    response: WriteStreamResponse | Any = await self._replies.read()
                    if response is grpc.aio.EOF:
                        return
                    if not self.answered:  # it may have bytes of an earlier stream
                        self.answered = True
                        self._sent = max(self._sent, response.committed_size)
                    elif response.committed_size > self._sent:
                        self._call.cancel()
                        raise ConnectionLost(why="more was acknowledged than had been sent")
                    elif response.committed_size <= self._committed:
                        continue  # that says nothing, and is no reason to wait for longer
                    self._committed = response.committed_size
                    self._acknowledged(self._committed)
                    self._news.set()
                    self._wait_for(self._closing or self._sent > self._committed)
        except TimeoutError:
            if not self._limit.expired():
                raise  # by `progress`
            self._call.cancel()
            raise Stalled(why=f"nothing was acknowledged for {self._timeout:g} seconds") from None

    def _wait_for(self, something: bool) -> None:
        if not self._limit.expired():
            loop = asyncio.get_running_loop()
            self._limit.reschedule(loop.time() + self._timeout if something else None)

    async def write(self, message: WriteStreamRequest, end: int = 0) -> None:
        """Sends a message, after which the bytes up to `end` await acknowledgement."""
        self._sent = max(self._sent, end)
        if self.answered and self._limit.when() is None and not self._acks.done():
            self._wait_for(True)
        if not await self.either(asyncio.ensure_future(written(self._call.write(message)))):
            # A failed write does not say why; the status of the call, which comes with the reads, does.
            await asyncio.wait({self._acks}, timeout=self._timeout)
            self._check()
            raise ConnectionLost(why="a message could not be sent")

    def _check(self) -> None:
        """Raises why the stream has ended, if it has."""
        if self._acks.done():
            self._acks.result()
            raise ConnectionLost(why="the server ended the stream")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until acknowledgements have made the condition true."""
        while not condition():
            self._news.clear()
            await self.either(asyncio.ensure_future(self._news.wait()))

    async def half_close(self) -> None:
        """Half-closes the stream, and waits for the last acknowledgement."""
        self._closing = True
        if not self._acks.done():
            self._wait_for(True)
        closing = asyncio.ensure_future(ours(self._call.done_writing()))
        closing.add_done_callback(seen)
        try:
            # The status of the call decides, and may come before the half-close is known to have been sent.
            await self._acks
        finally:
            closing.cancel()
            del closing

    async def either(self, work: "asyncio.Future[T]", *, keep: bool = False) -> T:
        """The result of `work`, or the failure of the stream, whichever comes first. That the stream ends is
        a failure, too.

        keep: do not cancel the work when the stream fails.
        """
        both: set[asyncio.Future[Any]] = {work, self._acks}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            self._check()
            return work.result()
        finally:
            if not keep and not work.done():
                work.add_done_callback(seen)
                work.cancel()
            del work, both  # see `release`

    async def end(self) -> None:
        """Ends the call. The stream cannot be used any more."""
        self._call.cancel()
        try:
            await cancelled({self._acks})
            await self._replies.close()
        finally:
            del self._call, self._replies, self._acks  # see `release`


def settled(upload: Upload) -> Image:
    """The image of an upload that has ended. Raises its failure, or UploadEnded, if there is no image."""
    if upload.image is not None:
        return upload.image
    if upload.failure is not None:
        raise upload.failure
    raise errors.UploadEnded(state=upload.state.name)
