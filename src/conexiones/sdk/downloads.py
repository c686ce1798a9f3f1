"""Downloading one image, over as many connections as it takes, into memory, a file or a path."""

import asyncio
import hashlib
import io
import select
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar

import google_crc32c
import grpc
from google.protobuf.message import DecodeError

from conexiones import errors
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, DownloadImageResponse
from conexiones.sdk import http_body, renditions, results
from conexiones.sdk.connection import Connection, Patience, next_message
from conexiones.sdk.failures import ConnectionLost, ServerTooOld, Stalled
from conexiones.sdk.frames import Frame
from conexiones.sdk.parts import Part
from conexiones.sdk.places import Sink, regular
from conexiones.sdk.renditions import Rendition, RenditionInfo
from conexiones.sdk.requests import made, text
from conexiones.sdk.results import Image
from conexiones.sdk.threads import beside
from conexiones.sdk.uploads import Progress

Received: TypeAlias = Image | RenditionInfo
"""Describes the bytes that were downloaded: those of an image, or of a rendition of one."""

Writable: TypeAlias = BinaryIO | Part | Sink
Piece: TypeAlias = bytes | memoryview
WRITE_QUEUE_FRAMES = 4
"""Frames, of 1 MiB each, that may be queued while earlier ones are being written."""
STOP_SECONDS = 5.0
"""How long a download that ends early may take to write what has come."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which bytes to download: a range of an image or, with `rendition`, of that rendition of it.

    Raises InvalidField for a rendition that cannot be expressed in a request.
    """

    id: str
    offset: int = 0
    limit: int = 0
    rendition: Rendition | None = None

    def __post_init__(self) -> None:
        self.request()

    @property
    def whole(self) -> bool:
        return not self.offset and not self.limit

    def request(self) -> DownloadImageRequest:
        rendition = renditions.message(self.rendition) if self.rendition is not None else None
        return made(
            DownloadImageRequest,
            id=text("id", self.id),
            offset=self.offset,
            limit=self.limit,
            rendition=rendition,
        )


class Range:
    """The wanted bytes in order, over as many connections as it takes. Use once.

    Each frame is checked. With `by_http`, the bytes after the first frames may come without a check of their
    own: whoever says so checks the SHA-256 of the whole, and can begin again.
    """

    def __init__(self, connection: Connection, wanted: Wanted, *, by_http: bool = False) -> None:
        self._by_http = by_http and wanted.rendition is None
        self.unchecked = False
        """Whether bytes have come without a check of their own."""
        self._received: Received | None = None
        self._connection = connection
        self._wanted = wanted
        self._offset = wanted.offset
        self._end: int | None = None
        self._backoff = connection.backoff()

    @property
    def total(self) -> int | None:
        """The offset at which the wanted bytes end; None before the first frame."""
        return self._end

    @property
    def received(self) -> Received:
        """The description of what is downloaded. Raises RuntimeError before the first frame."""
        if self._received is None:
            raise RuntimeError("no frame has come yet")
        return self._received

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The bytes, one piece for each frame.

        Raises ImageNotFound, BlobCorrupt, InvalidField, NoRendition and NoProgress. Raises EtagMismatch if a
        rendition had to be made again after a lost connection and has different bytes.
        """
        while True:
            sent = await self._connection.sending()
            try:
                async with aclosing(self._one_call()) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except ConexionesError as error:
                if not await self._connection.worth_another(error, sent):
                    raise
                if self._end is not None and self._offset >= self._end:
                    return  # every byte has come; only the status of the call was lost
                await self._backoff.pause(error, reached=self._connection.reached)

    async def _one_call(self) -> AsyncGenerator[Piece, None]:
        request = self._wanted.request()
        request.offset = self._offset
        if self._received is not None and self._end is not None:
            request.if_etag = self._received.etag
            if self._wanted.limit:
                request.limit = self._end - self._offset
        async with self._connection.use() as link:
            call = link.download(request)
            try:
                async with aclosing(self._of(call)) as pieces:
                    async for piece in pieces:
                        yield piece
            except Stalled:
                self._connection.renew(link)
                raise
            except DecodeError:
                self._connection.reached = True
                raise ConnectionLost(why="a frame came that cannot be read") from None
            finally:
                call.cancel()
                del call
        if self._end is None or self._offset < self._end:
            raise ConnectionLost(why="the image ended early")

    async def _of(self, call: Any) -> AsyncGenerator[Piece, None]:
        """What the call brings, and what is left by HTTP if that is worth it. Raises DecodeError."""
        patience = Patience(self._connection.options.timeout)
        try:
            while (message := await next_message(call, patience.left)) is not grpc.aio.EOF:
                frame = Frame(message)
                self._connection.reached = True
                if self._end is None:
                    self._end = self._begin(frame.message)
                    patience.begin()
                if not frame.data:
                    continue
                patience.begin()
                self._check(frame, self._end)
                self._came(frame.data)
                yield frame.data
                if (body := await self._rest_by_http(self._end)) is not None:
                    call.cancel()
                    async with aclosing(self._all_of(body)) as pieces:
                        async for piece in pieces:
                            yield piece
                    return
        finally:
            del call

    def _came(self, piece: Piece) -> None:
        self._offset += len(piece)
        self._backoff.progress()

    async def _rest_by_http(self, end: int) -> http_body.Body | None:
        """What is left, if that is much and it can be had by HTTP."""
        if not self._by_http or end - self._offset < http_body.LEAST_BYTES:
            return None
        body = await http_body.opened(
            self._connection, self._wanted.id, self.received.etag, self._offset, end
        )
        if body is None:
            self._by_http = False
        else:
            self.unchecked = True
        return body

    async def _all_of(self, body: http_body.Body) -> AsyncGenerator[Piece, None]:
        begin = self._offset
        try:
            async with aclosing(body.pieces(self._connection.options.timeout)) as pieces:
                async for piece in pieces:
                    self._came(piece)
                    yield piece
        except ConnectionLost:
            # A connection that never lasts for long would be opened again and again.
            self._by_http = self._offset - begin >= http_body.LEAST_BYTES
            raise

    def _begin(self, frame: DownloadImageResponse) -> int:
        """Where the wanted bytes end."""
        if self._wanted.rendition is None:
            self._received = results.image(frame.image)
        elif frame.HasField("rendition"):
            self._received = renditions.info(frame.rendition)
        else:
            raise ServerTooOld
        size = self._received.size_bytes
        asked = self._wanted.offset
        begin = asked if asked >= 0 else max(0, size + asked)
        if frame.offset != begin:
            raise errors.OffsetMismatch(expected=begin, actual=frame.offset)
        self._offset = begin
        return min(size, begin + self._wanted.limit) if self._wanted.limit else size

    def _check(self, frame: Frame, end: int) -> None:
        message, actual = frame.message, google_crc32c.value(frame.data)
        if self._offset + len(frame.data) > end:
            raise ConnectionLost(why="more bytes came than the image has")
        if message.offset != self._offset:
            raise errors.OffsetMismatch(expected=self._offset, actual=message.offset)
        if actual != message.crc32c:
            raise errors.ChecksumMismatch(
                algorithm="CRC-32C", expected=f"{message.crc32c:08x}", actual=f"{actual:08x}"
            )


async def into_bytes(connection: Connection, wanted: Wanted, progress: Progress | None) -> bytes:
    async def attempt() -> bytes:
        file = io.BytesIO()
        await into_file(connection, wanted, file, again=True, progress=progress)
        return file.getvalue()

    return await _retry_changed(connection, attempt)


async def into_file(
    connection: Connection,
    wanted: Wanted,
    file: "Writable",
    *,
    digest: "hashlib._Hash | None" = None,
    begun: int = 0,
    again: bool = False,
    progress: Progress | None,
) -> Received:
    """Writes the bytes while further frames arrive, and checks a whole image by its SHA-256.

    begun: how many bytes the file already has; `wanted` is the rest, and `digest` has hashed these bytes.
    again: the caller begins again, with an empty file, where the connection does no more `by_http` after a
        ChecksumMismatch.
    progress: called with the number of bytes written.
    """
    if digest is None and wanted.whole:
        digest = hashlib.sha256()
    range_ = Range(connection, wanted, by_http=again and digest is not None)
    told = begun

    def tell() -> None:
        nonlocal told
        if progress and begun + writing.written > told:
            told = begun + writing.written
            progress(told, range_.total)

    writing = _Writing(file, digest)
    pieces = range_.pieces()
    try:
        async for piece in pieces:
            await writing.add(piece)
            tell()
        await writing.end()
        tell()
    finally:
        # Whatever ends it, what has come is kept.
        await writing.stop()
        await pieces.aclose()
    if digest:
        try:
            _check_whole(digest, range_.received)
        except errors.ChecksumMismatch:
            if range_.unchecked and not begun:
                connection.by_http = False
            raise
    return range_.received


class _Writing:
    """Writes and hashes pieces in a thread, in order, while further pieces arrive."""

    def __init__(self, file: "Writable", digest: "hashlib._Hash | None") -> None:
        self.written = 0
        # Only a file on a disk is sure to take bytes in time; a pipe waits for its reader.
        self._call = asyncio.to_thread if isinstance(file, Part) else beside
        self._file = file
        self._digest = digest
        self._queue: list[Piece] = []
        self._job: asyncio.Future[None] | None = None

    async def add(self, piece: Piece) -> None:
        self._queue.append(piece)
        if self._job is None or self._job.done() or len(self._queue) >= WRITE_QUEUE_FRAMES:
            await self._begin_next()

    async def end(self) -> None:
        """Returns when every piece is written. Raises what writing raised."""
        await (await self._begin_next())

    async def stop(self) -> None:
        """Writes what is still queued, and waits until no thread uses the file, so that the caller may close
        it. Gives up if that takes long or fails: where there is something to write, another exception already
        ends the download."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while self._job is not None and not await self._failed(self._job) and self._queue:
                    await self._begin_next()
        except TimeoutError:
            pass

    @staticmethod
    async def _failed(job: "asyncio.Future[None]") -> bool:
        await asyncio.wait({job})
        return job.cancelled() or job.exception() is not None

    async def _begin_next(self) -> asyncio.Future[None]:
        if self._job is not None:
            await self._job
        pieces, self._queue = self._queue, []
        self._job = asyncio.ensure_future(self._call(self._write, pieces))
        return self._job

    def _write(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            _write_all(self._file, piece)
            if self._digest:
                self._digest.update(piece)
            self.written += len(piece)


def _write_all(file: "Writable", piece: Piece) -> None:
    view = memoryview(piece)
    while view:
        written = file.write(view)
        if written is None and not isinstance(file, io.RawIOBase):
            return  # what does not count its bytes, such as the response of a web server, takes all of them
        if written is None:  # it does not block, and has no room yet
            room = select.poll()
            room.register(file, select.POLLOUT)
            room.poll()
        view = view[written or 0 :]


async def into_path(
    connection: Connection, wanted: Wanted, path: Path, *, resume: bool, progress: Progress | None
) -> Received:
    """Downloads into "<name>.part" beside the file that the path names, which it then replaces when it is
    complete and on disk. What is not a regular file is written to instead.

    Raises IsADirectoryError, and BlockingIOError if another process writes the same part.
    """
    place = await asyncio.to_thread(regular, path)
    if place is None:
        sink = Sink(path)
        try:
            return await into_file(connection, wanted, sink, progress=progress)
        finally:
            sink.close()
    part = await asyncio.to_thread(Part, place)
    try:
        try:
            received = await _into_part(connection, wanted, part, resume=resume, progress=progress)
        except BaseException:
            await asyncio.to_thread(part.flush)
            raise
        await asyncio.to_thread(part.finish)
        return received
    finally:
        part.close()


async def _into_part(
    connection: Connection, wanted: Wanted, part: Part, *, resume: bool, progress: Progress | None
) -> Received:
    async def attempt() -> Received:
        part.empty()
        return await into_file(connection, wanted, part, again=True, progress=progress)

    digest = hashlib.sha256()
    begun = await _hash(part, digest) if resume and wanted.whole else 0
    if begun:
        try:
            return await _rest(connection, wanted, part, digest, begun, progress)
        except (errors.ChecksumMismatch, errors.OutOfRange, errors.EtagMismatch):
            pass  # The part was of another image.
    return await _retry_changed(connection, attempt)


async def _rest(
    connection: Connection,
    wanted: Wanted,
    part: Part,
    digest: "hashlib._Hash",
    begun: int,
    progress: Progress | None,
) -> Received:
    """Downloads what follows the first `begun` bytes.

    Raises ChecksumMismatch if those bytes are of another image, and OutOfRange if the image is shorter.
    """
    rest = replace(wanted, offset=begun)
    received = await into_file(
        connection, rest, part, digest=digest, begun=begun, again=True, progress=progress
    )
    if progress and begun == received.size_bytes:
        progress(begun, begun)
    return received


async def _retry_changed(connection: Connection, attempt: Callable[[], Awaitable[T]]) -> T:
    """Makes a second attempt, from the beginning, if the bytes of a rendition changed during the first, or
    bytes that came by HTTP were damaged on their way."""
    by_http = connection.by_http
    try:
        return await attempt()
    except errors.EtagMismatch:
        pass
    except errors.ChecksumMismatch:
        if connection.by_http or not by_http:
            raise
    return await attempt()


def _check_whole(digest: "hashlib._Hash", received: Received) -> None:
    if digest.digest() != received.sha256:
        raise errors.ChecksumMismatch(
            algorithm="SHA-256", expected=received.sha256.hex(), actual=digest.hexdigest()
        )


async def _hash(part: Part, digest: "hashlib._Hash") -> int:
    """Hashes the bytes that the part has, and returns their number."""

    def some() -> int:
        piece = part.read()
        digest.update(piece)
        return len(piece)

    size = 0
    while more := await asyncio.to_thread(some):
        size += more
    return size
