"""The Blobs of a data folder."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.blobs.local.segment_index import Record
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.system.threads import finish, to_end
from conexiones.errors import BlobCorrupt

PIECE = 256 << 10
"""Bytes of the largest piece that is read, by default."""


class LocalBlobs:
    """A Blobs. LocalStore makes it, opens it and closes it."""

    def __init__(self, folder: Folder, *, piece: int = PIECE) -> None:
        """Large blobs are read in pieces of at most `piece` bytes."""
        self._folder = folder
        self._piece = piece

    async def read(self, digest: bytes, offset: int = 0) -> AsyncIterator[bytes]:
        """As in the port. A large blob that is read from its start is checked by its digest, a small one
        always: the last piece of a damaged blob is never given."""
        folder = self._folder
        record = await folder.run(folder.segments.find, digest)
        if record is not None:
            if offset > record.size:
                raise BlobCorrupt
            data = await folder.run(folder.segments.read, record)
            while offset < record.size:
                yield data[offset : offset + self._piece]
                offset += self._piece
            return
        descriptor, size = await folder.run(self._open, digest)
        reading: Future[bytes] | None = None
        try:
            if offset > size:
                raise BlobCorrupt
            sha = None if offset else hashlib.sha256()
            while offset < size:
                if reading is None:
                    reading = folder.submit(_read_piece, descriptor, offset, self._piece, sha)
                done, reading = reading, None
                piece = await finish(done)
                del done
                offset += len(piece)
                damaged = sha is not None and offset == size and sha.digest() != digest
                if damaged or not piece:
                    raise BlobCorrupt
                if offset < size:  # a thread reads on while the reader has this piece
                    reading = folder.submit(_read_piece, descriptor, offset, self._piece, sha)
                yield piece
                del piece  # the reader may take long to come back
        finally:
            if reading is not None:
                with suppress(Exception):
                    await finish(reading)
            os.close(descriptor)

    @asynccontextmanager
    async def local(self, digest: bytes) -> AsyncIterator[Path]:
        folder = self._folder
        record = await folder.run(folder.segments.find, digest)
        if record is None:
            descriptor, _size = await folder.run(self._open, digest)
            os.close(descriptor)
            yield folder.path(digest)
            return
        path = folder.incoming / secrets.token_hex(16)
        try:
            await folder.run(self._extract, record, path)
            yield path
        finally:
            await folder.run(path.unlink, missing_ok=True)

    @asynccontextmanager
    async def removing(self, digest: bytes) -> AsyncIterator[None]:
        # A marker like that of an upload: should the rest not come about, the next start sees to the blob.
        marker = self._folder.incoming / f"{digest.hex()}.{secrets.token_hex(16)}"
        await self._folder.run(_mark, marker)
        try:
            yield
            await self.delete(digest)
        finally:
            await self._folder.run(marker.unlink)

    async def delete(self, digest: bytes) -> None:
        """As in the port; durable."""
        await to_end(asyncio.ensure_future(self._delete(digest)))

    async def _delete(self, digest: bytes) -> None:
        await self._folder.run(self._folder.counts.acquire, digest)
        await self._folder.give_up(digest)

    # For threads.

    def _open(self, digest: bytes) -> tuple[int, int]:
        """A descriptor of a large blob, and its size."""
        try:
            descriptor = os.open(self._folder.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as cause:
            raise BlobCorrupt from cause
        return descriptor, os.fstat(descriptor).st_size

    def _extract(self, record: Record, path: Path) -> None:
        data = self._folder.segments.read(record)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


def _mark(marker: Path) -> None:
    marker.touch(mode=0o600, exist_ok=False)
    sync_folder(marker.parent)


def _read_piece(descriptor: int, offset: int, size: int, sha: "hashlib._Hash | None") -> bytes:
    piece = os.pread(descriptor, size, offset)
    if sha is not None:
        sha.update(piece)
    return piece
