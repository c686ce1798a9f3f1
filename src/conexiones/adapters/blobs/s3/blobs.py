"""The Blobs of an object store."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.backend import Backend
from conexiones.adapters.blobs.s3.local_files import LocalFiles
from conexiones.adapters.blobs.s3.objects import ObjectGone
from conexiones.adapters.blobs.s3.reading import Reading, pieces_from
from conexiones.adapters.blobs.s3.rows import Found, Place
from conexiones.adapters.blobs.s3.sums import PIECE, are_for
from conexiones.adapters.blobs.s3.view import View
from conexiones.adapters.system.memory_cache import LARGEST
from conexiones.errors import BlobCorrupt, ConexionesError
from conexiones.ports.staging import Content

T = TypeVar("T")

GAP = 64 << 10
"""Blobs of an object that are no further apart are read ahead with one request: the bytes between them are
cheaper than another one."""


class S3Blobs:
    """A Blobs. S3Store makes it, opens it and closes it."""

    def __init__(self, backend: Backend, files: LocalFiles) -> None:
        self._backend = backend
        self._files = files
        self._reading = Reading(backend.objects)

    async def read(self, digest: bytes, offset: int = 0) -> AsyncGenerator[bytes, None]:
        self._backend.check_open()
        step = self._backend.piece
        kept = self._backend.cache.get(digest)
        try:
            async with aclosing(self._kept(kept, offset) if kept else self._read(digest, offset)) as found:
                async for data in found:
                    for at in range(0, len(data), step):
                        yield data[at : at + step]
                    del data  # the next one comes in its place
        except BlobCorrupt as error:
            # The log says which bytes are damaged. No client is told a note.
            error.add_note(f"The damaged bytes are those with the SHA-256 {digest.hex()}.")
            raise

    async def _kept(self, data: bytes, offset: int) -> AsyncGenerator[bytes, None]:
        if offset > len(data):
            raise BlobCorrupt
        yield data[offset:]

    async def _read(
        self, digest: bytes, offset: int, found: Found | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes from an offset on, in pieces of at most PIECE. A whole blob in one piece is kept. `found`
        is what `_find` has given."""
        with self._backend.cache.reading(digest) as reading:
            async with aclosing(self._pieces(digest, offset, found)) as pieces:
                async for total, skipped, data in pieces:
                    if len(data) == total:
                        if await self._backend.sha256(data) != digest:
                            raise BlobCorrupt
                        reading.keep(data, total)
                    yield data[skipped:] if skipped else data
                    del data

    async def _pieces(
        self, digest: bytes, offset: int, found: Found | None = None
    ) -> AsyncGenerator[tuple[int, int, bytes], None]:
        """The pieces with the bytes from an offset on: the size of the blob, how many bytes of the piece come
        before the offset, and the piece. If an object has gone meanwhile, its bytes may be elsewhere by now,
        which is looked up once for each byte."""
        tried = -1
        while True:
            found = found or await self._find(digest, offset)
            try:
                async with aclosing(self._reading.all(pieces_from(found.places, offset))) as pieces:
                    async for piece, data in pieces:
                        skipped = offset - piece.at
                        offset = piece.at + piece.size
                        yield found.size, skipped, data
                        del data  # the next one comes in its place
                if offset < found.size:
                    raise BlobCorrupt
                return
            except ObjectGone as error:
                if tried == offset:
                    raise BlobCorrupt from error
                tried, found = offset, None

    async def _find(self, digest: bytes, offset: int = 0) -> Found:
        """A blob and its places from an offset on. BlobCorrupt if it is not there, or ends before that."""
        found = await self._backend.catalog.read(rows.find_blob, digest, offset)
        if found is None or offset > found.size:
            raise BlobCorrupt
        if not all(are_for(place.sums, place.size) for place in found.places):
            raise BlobCorrupt
        return found

    def cached(self, digest: bytes) -> bytes | None:
        return self._backend.cache.peek(digest)

    async def check(self, digest: bytes) -> AsyncIterator[int]:
        self._backend.check_open()
        sha, at = hashlib.sha256(), 0
        async with aclosing(self._pieces(digest, 0)) as pieces:
            async for total, skipped, data in pieces:
                new = data[skipped:]
                await self._backend.run(sha.update, new)
                at += len(new)
                if at == total and sha.digest() != digest:
                    raise BlobCorrupt
                yield len(new)
                del data, new

    async def read_ahead(self, digests: Sequence[bytes]) -> None:
        wanted = [digest for digest in digests if self.cached(digest) is None]
        room = self._backend.cache.limit // 2
        if len(wanted) < 2 or not room:
            return
        with suppress(ConexionesError):
            self._backend.check_open()
            found = await self._backend.catalog.read(rows.find_whole, wanted, LARGEST)
            for run in _runs(found):
                room -= sum(place.size for _, place in run)
                if len(run) > 1 and room >= 0:
                    with suppress(ObjectGone):
                        await self._keep(run)

    async def _keep(self, run: list[tuple[bytes, Place]]) -> None:
        """Reads blobs that are near each other in an object, and keeps those that are as they were stored."""
        (_, first), (_, last) = run[0], run[-1]
        with ExitStack() as stack:
            readings = [stack.enter_context(self._backend.cache.reading(digest)) for digest, _ in run]
            data = await self._backend.objects.get(
                first.object, first.start, last.start + last.size - first.start
            )
            for reading, (digest, place) in zip(readings, run, strict=True):
                at = place.start - first.start
                blob = data[at : at + place.size]
                if await self._backend.sha256(blob) == digest:
                    reading.keep(blob, place.size)

    @property
    def largest_local(self) -> int | None:
        return self._files.limit

    @asynccontextmanager
    async def local(self, digest: bytes) -> AsyncIterator[Path]:
        self._backend.check_open()
        kept, found = self._backend.cache.get(digest), None
        if kept is None:
            found = await self._find(digest)

        async def fill(file: BinaryIO) -> None:
            sha = hashlib.sha256()
            async with aclosing(self._kept(kept, 0) if kept else self._read(digest, 0, found)) as pieces:
                async for data in pieces:
                    await self._backend.run(_append, file, sha, data)
            if sha.digest() != digest:
                raise BlobCorrupt

        size = found.size if found else len(kept or b"")
        async with self._files.file(digest, size, fill) as path:
            yield path

    async def inspect(self, digest: bytes, judge: Callable[[Content], T]) -> T:
        self._backend.check_open()
        if kept := self._backend.cache.get(digest):
            return await self._backend.run(judge, kept)
        found = await self._find(digest)
        if found.size <= PIECE:
            content = b"".join([data async for data in self._read(digest, 0, found)])
            return await self._backend.run(judge, content)
        _check_whole(found)
        return await self._backend.run(judge, View(self._backend.objects, found.places))

    @asynccontextmanager
    async def removing(self, digest: bytes) -> AsyncIterator[None]:
        """As in the port. The deletion of the last image that has the bytes marks them, in one transaction;
        the sweeper removes them."""
        yield
        self._backend.check_open()
        self._forget(digest)

    async def delete(self, digest: bytes) -> None:
        self._backend.check_open()
        self._forget(digest)
        await self._backend.catalog.write([rows.lock_of(digest)], rows.let_die, digest)

    def _forget(self, digest: bytes) -> None:
        """What is in memory of a blob. Other images may have it."""
        self._backend.cache.drop(digest)


def _runs(found: Sequence[tuple[bytes, Place]]) -> list[list[tuple[bytes, Place]]]:
    """Those that come with one request: at most GAP apart, and at most PIECE in all. They are in the order of
    their objects and places."""
    runs: list[list[tuple[bytes, Place]]] = []
    for digest, place in found:
        if runs:
            (_, first), (_, last) = runs[-1][0], runs[-1][-1]
            near = place.object == first.object and place.start - (last.start + last.size) <= GAP
            if near and place.start + place.size - first.start <= PIECE:
                runs[-1].append((digest, place))
                continue
        runs.append([(digest, place)])
    return runs


def _append(file: BinaryIO, sha: "hashlib._Hash", data: bytes) -> None:
    """For a thread."""
    sha.update(data)
    file.write(data)


def _check_whole(found: Found) -> None:
    """Whether the places have all bytes. Raises BlobCorrupt."""
    at = 0
    places: Sequence[rows.Place] = found.places
    for place in places:
        if place.at != at:
            raise BlobCorrupt
        at = place.end
    if at != found.size:
        raise BlobCorrupt
