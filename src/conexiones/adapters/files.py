"""Blobs as files on a local disk whose file system has hard links.

    root/blobs/ab/<sha256>             a blob; ab are the first two of the 64 hex digits
    root/incoming/<random>             an upload that is still coming in
    root/incoming/<sha256>.<random>    an upload whose bytes are all there: the marker of its blob

Files are 0600 and folders 0700. Only one process uses the root at a time: whoever starts the process
holds a lock on it.

To publish, the incoming file gets its marker's name, is fsynced, and is linked under its digest: a blob is
never there in part. The marker goes when the catalog refers to the blob. So the next start need not
look at all blobs: each marker that a crash left names one that the catalog may not know.
"""

import asyncio
import hashlib
import logging
import os
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakSet

from conexiones.adapters.claims import Claims
from conexiones.adapters.disk import storage_error, sync_file, sync_folder, to_end
from conexiones.errors import BlobCorrupt, ConexionesError, StorageUnavailable
from conexiones.ports import Catalog, Staged

BATCH = 1 << 20
"""The most bytes that are handed to a thread at once, and the largest piece that is read."""

SMALL_BATCH = 64 << 10
"""The least, where many uploads share the memory."""

OUTSTANDING = 2
"""Batches of one upload that threads may be busy with. One more is being filled: 3 MiB per upload."""

INLINE = 64 << 10
"""Bytes up to which an upload in memory is inspected at once: a thread would take longer to get there."""

MEMORY = 192 << 20
"""Bytes for the batches of all uploads, while there are no more than a thousand."""

THREADS = 8

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_MARKER = re.compile(r"([0-9a-f]{64})\.")


class FileBlobs:
    """A Blobs in the folder `root`, which is created if it is not there.

    After `close`, and before `open`, what needs the disk raises StorageUnavailable.
    """

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self.incoming = root / "incoming"
        self._pool: ThreadPoolExecutor | None = None
        self.claims = Claims()
        self._uploads: WeakSet[FileStaged] = WeakSet()

    async def open(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        try:
            for leftover in await self.run(self._prepare):
                marker = _MARKER.match(leftover.name)
                digest = bytes.fromhex(marker[1]) if marker else None
                orphan = digest is not None and not await catalog.has_digest(digest)
                await self.run(self._sweep, leftover, digest if orphan else None)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Waits for what the threads are doing. Uploads that were not settled are left to `open`."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await to_end(asyncio.ensure_future(asyncio.to_thread(pool.shutdown)))

    def stage(self) -> Staged:
        staged = FileStaged(self)
        self._uploads.add(staged)
        return staged

    def batch(self) -> int:
        """Bytes that an upload may gather now: the more uploads there are, the fewer."""
        share = MEMORY // max(1, len(self._uploads)) // (OUTSTANDING + 1)
        return max(SMALL_BATCH, min(BATCH, share))

    async def read(self, digest: bytes, offset: int = 0) -> AsyncIterator[bytes]:
        """As in the port. Read from its start, a blob is checked against its digest: the last piece
        of a damaged one is never given."""
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
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def local(self, digest: bytes) -> AsyncIterator[Path]:
        descriptor, _size = await self.run(self._open, digest)
        os.close(descriptor)
        yield self.path(digest)

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

    def remove(self, digest: bytes) -> None:
        """Removes a blob, durably: its marker may go next. Runs in a thread; raises OSError."""
        path = self.path(digest)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)

    def _prepare(self) -> list[Path]:
        """Creates the folders, durably, and lists what a crash left."""
        root = self._blobs.parent
        for folder in (root, self._blobs, self.incoming, *(self._blobs / f"{i:02x}" for i in range(256))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self._blobs, root, root.parent):
            sync_folder(folder)
        return list(self.incoming.iterdir())

    def _sweep(self, leftover: Path, orphan: bytes | None) -> None:
        if orphan is not None:
            self.remove(orphan)
        leftover.unlink()

    def _open(self, digest: bytes) -> tuple[int, int]:
        """A descriptor of the blob, and its size."""
        try:
            descriptor = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as cause:
            raise BlobCorrupt from cause
        return descriptor, os.fstat(descriptor).st_size


class FileStaged:
    """A Staged of FileBlobs. Used by one task at a time.

    Fragments of any size are gathered into batches, each of which a thread writes and hashes. Nothing
    is on the disk before the first batch is full: a smaller image costs one hop, in `publish`.
    What fails or is cancelled comes to light in `publish` at the latest; `discard` is all that is left then.
    """

    def __init__(self, store: FileBlobs) -> None:
        self._store = store
        self._name = secrets.token_hex(16)
        self._size = 0
        self._batch = bytearray()
        self._submitted = 0  # bytes handed to threads: the offset of the next batch
        self._publishing = False
        self._jobs: deque[Future[None]] = deque()  # handed over and not yet waited for
        self._last: Future[None] | None = None
        # Below: changed in threads, while the task waits for them.
        self._path: Path | None = None
        self._descriptor = -1
        self._sha = hashlib.sha256()
        self._digest: bytes | None = None  # once the claim is made

    @property
    def size(self) -> int:
        return self._size

    async def write(self, data: bytes) -> None:
        self._size += len(data)
        full = self._store.batch()
        if len(self._batch) + len(data) < full:
            self._batch += data
            return
        rest = memoryview(data)
        while rest:
            room = max(0, full - len(self._batch))
            self._batch += rest[:room]
            rest = rest[room:]
            if len(self._batch) >= full:
                await self._hand_over()

    async def _flushed(self) -> Path:
        """The file with all that was written in it."""
        if self._batch or self._path is None:
            await self._hand_over()
        while self._jobs:
            await finish(self._jobs.popleft())
        assert self._path is not None  # noqa: S101 (tells mypy)
        return self._path

    async def inspect(self, judge: Callable[[bytes | mmap], T]) -> T:
        """As in the port. ValueError if nothing was written: there is no map of nothing."""
        if self._path is None:
            content = bytes(self._batch)
            if len(content) <= INLINE:
                return judge(content)
            return await self._store.run(judge, content)
        path = await self._flushed()
        return await self._store.run(_inspect, path, judge)

    async def publish(self) -> bytes:
        """As in the port. ValueError if nothing was written."""
        if not self._size:
            raise ValueError("an empty blob cannot be published")
        if self._publishing or self._submitted + len(self._batch) != self._size:
            raise StorageUnavailable  # a call before this one failed or was cancelled: bytes are missing
        self._publishing = True
        return await self._store.run(self._publish, self._last)

    async def settle(self) -> None:
        """As in the port. If the marker cannot be removed the next start does it: nothing is raised."""
        try:
            await self._store.run(self._settle)
        except (OSError, ConexionesError):
            log.warning("%s is left to the next start", self._path, exc_info=True)

    async def discard(self) -> None:
        """As in the port. After `publish` the blob goes too, unless the catalog or another upload has it.

        If that cannot be found out, or the disk fails, the files are left to the next start.
        """
        if self._jobs or self._path is not None:
            await to_end(asyncio.ensure_future(self._discard()))

    async def _discard(self) -> None:
        while self._jobs:
            with suppress(Exception):  # it failed: then there is less to keep
                await finish(self._jobs.popleft())
        try:
            referenced = self._digest is None or await self._store.catalog.has_digest(self._digest)
            await self._store.run(self._remove, referenced)
        except Exception:
            log.warning("%s is left to the next start", self._path, exc_info=True)

    async def _hand_over(self) -> None:
        if self._path is None:
            await self._store.run(self._create, self._store.incoming / self._name)
        while len(self._jobs) >= OUTSTANDING:
            await finish(self._jobs.popleft())
        batch, self._batch = self._batch, bytearray()
        self._last = self._store.submit(self._append, batch, self._submitted, self._last)
        self._jobs.append(self._last)
        self._submitted += len(batch)

    # In threads, from here on.

    def _create(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _append(self, batch: bytearray, offset: int, before: Future[None] | None) -> None:
        """Writes a batch while the one before it is hashed, and then hashes it.

        The pool starts jobs in the order they came, so the wait is for one that runs: no deadlock.
        """
        self._write(batch, offset)
        if before is not None:
            before.result()  # raises what it raised
        self._sha.update(batch)

    def _write(self, batch: bytearray, offset: int) -> None:
        rest = memoryview(batch)
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest = rest[written:]
            offset += written

    def _publish(self, before: Future[None] | None) -> bytes:
        if self._path is None:
            self._sha.update(self._batch)
            marker = self._marker()
            self._create(marker)
            self._write(self._batch, 0)
        else:
            self._append(self._batch, self._submitted, before)
            marker = self._path = self._path.rename(self._marker())
        # After the rename: fsync of a file that is new makes its name durable too on ext4, XFS and Btrfs,
        # so that a marker is there before its blob is. Elsewhere a power cut may leave a blob too many.
        os.fsync(self._descriptor)
        self._close()
        digest = self._sha.digest()
        self._store.claims.make(digest)
        self._digest = digest
        self._link(marker, self._store.path(digest))
        return digest

    def _marker(self) -> Path:
        return self._store.incoming / f"{self._sha.hexdigest()}.{self._name}"

    def _link(self, marker: Path, blob: Path) -> None:
        """Makes the blob visible and that durable; returns only when it is, whoever linked it."""
        try:
            blob.hardlink_to(marker)
        except FileExistsError:
            if blob.stat().st_size == self._size:
                sync_file(blob)
            else:  # damaged by something else, and healed by this upload
                whole = self._store.incoming / f"{self._name}.whole"
                whole.hardlink_to(marker)
                whole.replace(blob)
        sync_folder(blob.parent)

    def _settle(self) -> None:
        assert self._digest is not None  # noqa: S101 (tells mypy)
        self._store.claims.settle(self._digest)
        self._digest = None
        self._unlink()

    def _remove(self, referenced: bool) -> None:
        self._close()
        if self._digest is not None:
            digest, self._digest = self._digest, None
            self._store.claims.drop(digest, referenced=referenced, remove=self._store.remove)
        self._unlink()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _unlink(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


async def finish(job: Future[T]) -> T:
    """Waits for a job, to its end even if the caller is cancelled; its OSError becomes ours."""
    try:
        return await to_end(asyncio.wrap_future(job))
    except OSError as cause:
        raise storage_error(cause) from cause


def _inspect(path: Path, judge: Callable[[bytes | mmap], T]) -> T:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return judge(content)


def _read_piece(descriptor: int, offset: int, sha: "hashlib._Hash | None") -> bytes:
    piece = os.pread(descriptor, BATCH, offset)
    if sha is not None:
        sha.update(piece)
    return piece
