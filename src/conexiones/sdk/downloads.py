"""Receiving one image, over as many connections as it takes, and where it goes."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import grpc

from conexiones import errors
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.images_pb2 import (
    DownloadImageRequest,
    DownloadImageResponse,
    GetImageRequest,
)
from conexiones.sdk import results
from conexiones.sdk.connection import Connection, next_message
from conexiones.sdk.failures import ConnectionLost, Stalled, worth_retrying
from conexiones.sdk.results import Image
from conexiones.sdk.uploads import Progress

PIECE_BYTES = 4 << 20


class Range:
    """Bytes of one image in order, each frame checked, whatever becomes of connections. Use once.

    `image` is known from the first piece on.
    """

    def __init__(self, connection: Connection, id: str, *, offset: int = 0, limit: int = 0) -> None:
        self.image: Image | None = None
        self._connection = connection
        self._id = id
        self._offset = offset
        self._limit = limit
        self._end: int | None = None
        self._pace = connection.pace()

    @property
    def total(self) -> int | None:
        return self._end

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Raises ImageNotFound, BlobCorrupt, EtagMismatch, NoProgress."""
        while True:
            try:
                async with aclosing(self._one_call()) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except ConexionesError as error:
                if not worth_retrying(error):
                    raise
                await self._pace.pause(error, reached=self._connection.reached)

    async def _one_call(self) -> AsyncGenerator[bytes, None]:
        request = DownloadImageRequest(id=self._id, offset=self._offset, limit=self._limit)
        if self.image is not None and self._end is not None:
            request.if_etag = self.image.etag
            if self._limit:
                request.limit = self._end - self._offset
        async with self._connection.use() as link:
            call = link.images.DownloadImage(request)
            try:
                while True:
                    frame = await next_message(call, self._connection.options.timeout)
                    if frame is grpc.aio.EOF:
                        break
                    self._connection.reached = True
                    if self._end is None:
                        self._begin(frame)
                    if frame.data:
                        self._check(frame)
                        self._offset += len(frame.data)
                        self._pace.progress()
                        yield frame.data
            except Stalled:
                self._connection.renew(link)
                raise
            finally:
                call.cancel()
        if self._end is None or self._offset < self._end:
            raise ConnectionLost(why="the image ended early")

    def _begin(self, frame: DownloadImageResponse) -> None:
        self.image = results.image(frame.image)
        # A negative offset, from the end, is now known.
        self._offset = frame.offset
        size = self.image.size_bytes
        self._end = min(size, self._offset + self._limit) if self._limit else size

    def _check(self, frame: DownloadImageResponse) -> None:
        if frame.offset != self._offset:
            raise errors.OffsetMismatch(expected=self._offset, actual=frame.offset)
        actual = google_crc32c.value(frame.data)
        if actual != frame.crc32c:
            raise errors.ChecksumMismatch(
                algorithm="CRC-32C", expected=f"{frame.crc32c:08x}", actual=f"{actual:08x}"
            )


async def into_file(
    range_: Range, file: BinaryIO, *, digest: "hashlib._Hash | None", begun: int, progress: Progress | None
) -> Image:
    """Writes what comes, the next frame on its way meanwhile, and checks a whole image by its SHA-256.

    `digest` has hashed the `begun` bytes that are there already; None if not the whole image is wanted.
    """
    done = begun

    def write(piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = view[file.write(view) or 0 :]
        if digest:
            digest.update(piece)

    writing: asyncio.Future[None] | None = None
    pieces = range_.pieces()
    try:
        async for piece in pieces:
            if writing is not None:
                await writing
            writing = asyncio.ensure_future(asyncio.to_thread(write, piece))
            done += len(piece)
            if progress:
                progress(done, range_.total)
        if writing is not None:
            await writing
    finally:
        # The file is the caller's again only when no thread has it.
        if writing is not None and not writing.done():
            await asyncio.wait({writing}, timeout=5)
        await pieces.aclose()
    assert range_.image is not None  # noqa: S101 (tells mypy: the pieces are through)
    if digest and digest.digest() != range_.image.sha256:
        raise errors.ChecksumMismatch(
            algorithm="SHA-256", expected=range_.image.sha256.hex(), actual=digest.hexdigest()
        )
    return range_.image


async def into_path(
    connection: Connection,
    id: str,
    path: Path,
    *,
    offset: int,
    limit: int,
    resume: bool,
    progress: Progress | None,
) -> Image:
    """To "<name>.part" beside `path`, which it becomes when it is whole and on disk.

    Raises BlockingIOError if another process writes the same part.
    """
    part = path.with_name(path.name + ".part")
    whole = not offset and not limit
    with part.open("r+b" if part.exists() else "x+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        digest = hashlib.sha256()
        begun = 0
        if resume and whole:
            begun = await _hash(file, digest)
        if begun:
            try:
                image = await _rest(connection, id, file, digest, begun, progress)
            except (errors.ChecksumMismatch, errors.OutOfRange):
                # The part was of something else.
                begun, digest = 0, hashlib.sha256()
        if not begun:
            file.seek(0)
            file.truncate()
            range_ = Range(connection, id, offset=offset, limit=limit)
            image = await into_file(
                range_, file, digest=digest if whole else None, begun=0, progress=progress
            )
        await asyncio.to_thread(os.fsync, file.fileno())
        part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        await asyncio.to_thread(os.fsync, folder)
    finally:
        os.close(folder)
    return image


async def _rest(
    connection: Connection,
    id: str,
    file: BinaryIO,
    digest: "hashlib._Hash",
    begun: int,
    progress: Progress | None,
) -> Image:
    """What comes after the first `begun` bytes. Raises ChecksumMismatch if they were of another image."""
    request = GetImageRequest(id=id)
    found = results.image((await connection.unary(lambda link: link.images.GetImage, request)).image)
    if begun > found.size_bytes or (begun == found.size_bytes and digest.digest() != found.sha256):
        raise errors.ChecksumMismatch(
            algorithm="SHA-256", expected=found.sha256.hex(), actual=digest.hexdigest()
        )
    if begun == found.size_bytes:
        if progress:
            progress(begun, begun)
        return found
    range_ = Range(connection, id, offset=begun)
    return await into_file(range_, file, digest=digest, begun=begun, progress=progress)


async def _hash(file: BinaryIO, digest: "hashlib._Hash") -> int:
    def some() -> int:
        piece = file.read(PIECE_BYTES)
        digest.update(piece)
        return len(piece)

    size = 0
    while more := await asyncio.to_thread(some):
        size += more
    return size
