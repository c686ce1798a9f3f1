"""Blobs on a local disk whose file system has hard links: large ones as files, small ones in segments.

    root/segments/                     blobs of at most SMALL bytes (segments.py)
    root/blobs/ab/<sha256>             a larger one; ab are the first two of the 64 hex digits
    root/incoming/<random>             an upload that is still coming in
    root/incoming/<sha256>.<random>    an upload whose bytes are all there: the marker of its blob
    root/uploads/<name>                an upload that outlives connections and restarts (named.py)
    root/uploads/<name>.copy           one that is being copied

Files are 0600 and folders 0700. Only one process uses the root at a time: whoever starts the process
holds a lock on it.

To publish a file, it gets its marker's name, is fsynced, and is linked under its digest: a blob is
never there in part. The marker goes when the catalog refers to the blob. So the next start need not
look at all blobs: each marker that a crash left names one that the catalog may not know.
"""

import asyncio
import hashlib
import logging
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakSet

from conexiones.adapters.blobs.local.buffers import Buffers
from conexiones.adapters.blobs.local.claims import Claims
from conexiones.adapters.blobs.local.resumable import NAME, NamedStaged
from conexiones.adapters.blobs.local.segment_index import Record
from conexiones.adapters.blobs.local.segments import Segments
from conexiones.adapters.blobs.local.staged import FileStaged
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.system.threads import Outcome, finish, to_end
from conexiones.adapters.writer.writer import AGAIN, Writer
from conexiones.errors import BlobCorrupt, StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.staging import Staged

SMALL = 256 << 10
"""Bytes up to which a blob goes into a segment."""

MEMORY = 64 << 20
"""Bytes for all uploads that have more than LEAST in memory, while there are no more than a thousand. What is
being written to files is bounded by buffers.py."""

LEAST = 64 << 10
"""Bytes that an upload may have in memory, however many there are."""

PIECE = 1 << 20
"""The largest piece that is read."""

THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_MARKER = re.compile(r"([0-9a-f]{64})\.")


class FileBlobs:
    """A Blobs in the folder `root`, which is created if it is not there.

    After `close`, and before `open`, what needs the disk raises StorageUnavailable. `small` takes the place
    of SMALL.
    """

    def __init__(self, root: Path, *, small: int = SMALL) -> None:
        self._blobs = root / "blobs"
        self.incoming = root / "incoming"
        self.uploads = root / "uploads"
        self._pool: ThreadPoolExecutor | None = None
        self.claims = Claims()
        self.buffers = Buffers()
        self.small = small
        self._segments = Segments(root / "segments", self.claims)
        self._stale = False
        self._reopening: asyncio.Task[None] | None = None
        self.carrier: SqliteCatalog | None = None  # one whose writer is ours too
        self.held: set[str] = set()  # names that are resumed or being dropped; of the loop's own thread
        self._least = min(LEAST, small)
        self._large: WeakSet[FileStaged] = WeakSet()  # those that have had more than that in memory

    async def open(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        sharing = catalog if isinstance(catalog, SqliteCatalog) else None
        self._own_writer = sharing is None
        self._writer = sharing.writer if sharing else Writer()
        try:
            if self._own_writer:
                await self._writer.start()
            await self.run(self._prepare)
            await self._open_segments(self._segments.open)
            self._writer.replaced = self._replaced
            self.carrier = sharing
            for leftover in await self.run(self._list_incoming):
                marker = _MARKER.match(leftover.name)
                digest = bytes.fromhex(marker[1]) if marker else None
                orphan = digest is not None and not await catalog.has_digest(digest)
                await self.run(self._sweep, leftover, digest if orphan else None)
            for path in await self.run(self._list_uploads):
                upload = await catalog.get_upload(path.name) if NAME.fullmatch(path.name) else None
                if upload is None or upload.state != "OPEN":
                    await self.run(path.unlink)
        except BaseException:
            await self.close()
            raise

    async def _open_segments(self, look: Callable[[], None]) -> None:
        await self.run(look)
        while records := await self.run(self._segments.look):
            known = [await self.catalog.has_digest(record.digest) for record in records]
            await self.run(
                self._segments.admit,
                [record for record, yes in zip(records, known, strict=True) if yes],
                [record for record, yes in zip(records, known, strict=True) if not yes],
            )
        await self.run(self._segments.start)
        await self._segments.append_from_here(self._writer)

    def _replaced(self) -> None:
        """The writer has another process, which is to append behind what the one before it has left."""
        self._stale = True
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        while self._stale:
            self._stale = False
            self._segments.pause()
            try:
                await self._open_segments(self._segments.look_again)
            except Exception as error:
                log.error("The segments cannot be opened again: %r", error)
                self._stale = True
                await asyncio.sleep(AGAIN)

    async def close(self) -> None:
        """Waits for what is under way. Uploads that were not settled are left to `open`."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await to_end(asyncio.ensure_future(self._close(pool)))

    async def _close(self, pool: ThreadPoolExecutor) -> None:
        self.carrier = None
        self._writer.replaced = lambda: None
        if self._reopening is not None:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        await asyncio.to_thread(pool.shutdown)
        await self._segments.stop()
        await asyncio.to_thread(self._segments.close)
        if self._own_writer:
            await self._writer.stop()

    def stage(self) -> Staged:
        return FileStaged(self)

    async def resume(self, name: str, size: int) -> Staged:
        """As in the port. ValueError if it is no name: 1 to 64 letters, digits and hyphens. RuntimeError if
        it is held."""
        if self._pool is None:
            raise StorageUnavailable
        self._hold(name)
        staged = NamedStaged(self, name)
        try:
            await self.run(staged.open, size)
        except BaseException:
            await staged.release()
            raise
        return staged

    async def drop(self, name: str) -> None:
        """As in the port. Of one that is held nothing is removed. ValueError as with `resume`."""
        if name in self.held:
            return
        self._hold(name)
        try:
            await self.run((self.uploads / name).unlink, missing_ok=True)
        finally:
            self.held.discard(name)

    def _hold(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an upload")
        if name in self.held:
            raise RuntimeError(f"upload {name} is held already")
        self.held.add(name)

    @asynccontextmanager
    async def removing(self, digest: bytes) -> AsyncIterator[None]:
        # A marker as an upload leaves it: should the rest not come about, the next start sees to the blob.
        marker = self.incoming / f"{digest.hex()}.{secrets.token_hex(16)}"
        await self.run(_mark, marker)
        try:
            yield
            await self.delete(digest)
        finally:
            await self.run(marker.unlink)

    async def delete(self, digest: bytes) -> None:
        """As in the port; durable. Does its work whole even if it is cancelled."""
        await to_end(asyncio.ensure_future(self._delete(digest)))

    async def _delete(self, digest: bytes) -> None:
        await self.run(self.claims.make, digest)
        await self.give_up(digest)

    async def give_up(self, digest: bytes) -> None:
        """Ends a claim, and removes the blob if neither the catalog nor another claim has it.

        Whatever it raises, the claim has ended. Not to be cancelled.
        """
        done = False
        while not done:
            version = self.claims.version(digest)
            try:
                referenced = await self.catalog.has_digest(digest)
                if not referenced:
                    await self._segments.make_removable(digest)
                drop = self.submit(
                    self.claims.drop, digest, version=version, referenced=referenced, remove=self._remove
                )
            except BaseException:
                self.claims.leave(digest)
                raise
            done = await finish(drop)

    def may_stay(self, staged: FileStaged, size: int) -> bool:
        """Whether an upload of so many bytes may be in memory now: the more there are, the fewer bytes."""
        if size <= self._least:
            return True
        self._large.add(staged)
        return size <= min(self.small, MEMORY // len(self._large))

    def append(self, digest: bytes, data: bytes) -> Outcome[None]:
        """Stores a small blob of which one has a claim, durably. Raises StorageUnavailable."""
        if self._pool is None:
            raise StorageUnavailable
        return self._segments.append(digest, data)

    async def read(self, digest: bytes, offset: int = 0) -> AsyncIterator[bytes]:
        """As in the port. Read from its start, a blob is checked against its digest, and a small one always:
        the last piece of a damaged one is never given."""
        record = await self.run(self._segments.find, digest)
        if record is not None:
            if offset > record.size:
                raise BlobCorrupt
            data = await self.run(self._segments.read, record)
            if offset < record.size:
                yield data[offset:]
            return
        descriptor, size = await self.run(self._open, digest)
        try:
            if offset > size:
                raise BlobCorrupt
            sha = None if offset else hashlib.sha256()
            while offset < size:
                piece = await self.run(_read_piece, descriptor, offset, sha)
                offset += len(piece)
                damaged = sha is not None and offset == size and sha.digest() != digest
                if damaged or not piece:
                    raise BlobCorrupt
                yield piece
                del piece
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def local(self, digest: bytes) -> AsyncIterator[Path]:
        record = await self.run(self._segments.find, digest)
        if record is None:
            descriptor, _size = await self.run(self._open, digest)
            os.close(descriptor)
            yield self.path(digest)
            return
        path = self.incoming / secrets.token_hex(16)
        try:
            await self.run(self._extract, record, path)
            yield path
        finally:
            await self.run(path.unlink, missing_ok=True)

    def path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._blobs / name[:2] / name

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._pool is None:
            raise StorageUnavailable
        return self._pool.submit(work, *args, **kwargs)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs work in a thread, to its end even if the caller is cancelled."""
        return await finish(self.submit(work, *args, **kwargs))

    def _remove(self, digest: bytes) -> None:
        """Removes a blob, durably: its marker may go next. Runs in a thread; raises OSError."""
        self._segments.remove(digest)
        path = self.path(digest)
        with suppress(FileNotFoundError):
            path.unlink()
            sync_folder(path.parent)

    def _extract(self, record: Record, path: Path) -> None:
        data = self._segments.read(record)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)

    def _prepare(self) -> None:
        """Creates the folders, durably."""
        root = self._blobs.parent
        fan = (self._blobs / f"{i:02x}" for i in range(256))
        for folder in (root, self._blobs, root / "segments", self.incoming, self.uploads, *fan):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._blobs, root, root.parent):
            sync_folder(folder)

    def _list_incoming(self) -> list[Path]:
        return list(self.incoming.iterdir())

    def _list_uploads(self) -> list[Path]:
        return list(self.uploads.iterdir())

    def _sweep(self, leftover: Path, orphan: bytes | None) -> None:
        if orphan is not None:
            self._remove(orphan)
        leftover.unlink()

    def _open(self, digest: bytes) -> tuple[int, int]:
        """A descriptor of the blob, and its size."""
        try:
            descriptor = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as cause:
            raise BlobCorrupt from cause
        return descriptor, os.fstat(descriptor).st_size


def _mark(marker: Path) -> None:
    marker.touch(mode=0o600, exist_ok=False)
    sync_folder(marker.parent)


def _read_piece(descriptor: int, offset: int, sha: "hashlib._Hash | None") -> bytes:
    piece = os.pread(descriptor, PIECE, offset)
    if sha is not None:
        sha.update(piece)
    return piece
