"""Bytes on their way into the files of FileBlobs."""

import asyncio
import hashlib
import logging
import os
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from conexiones.adapters.disk import finish, sync_file, sync_folder, to_end
from conexiones.errors import ConexionesError, StorageUnavailable

if TYPE_CHECKING:
    from conexiones.adapters.files import FileBlobs

BATCH = 1 << 20
"""The most bytes that are handed to a thread at once, and the largest piece that is read."""

OUTSTANDING = 2
"""Batches of one upload that threads may be busy with. One more is being filled: 3 MiB per upload."""

INLINE = 64 << 10
"""Bytes up to which an upload in memory is inspected at once: a thread would take longer to get there."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class FileStaged:
    """A Staged of FileBlobs. Used by one task at a time.

    Fragments of any size are gathered into batches, each of which a thread writes and hashes. Nothing
    is on the disk before the first batch is full: a smaller image costs one hop, in `publish`.
    What fails or is cancelled comes to light in `publish` at the latest; `discard` is all that is left then.
    """

    def __init__(self, store: "FileBlobs") -> None:
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
        if self._publishing or self._has_gap():
            raise StorageUnavailable
        self._publishing = True
        await self._complete_hash()
        return await self._store.run(self._publish, self._last)

    async def settle(self) -> None:
        """As in the port. If the marker cannot be removed the next start does it: nothing is raised."""
        try:
            settled = await self._store.run(self._settle)
        except (OSError, ConexionesError):
            log.warning("%s is left to the next start", self._path, exc_info=True)
        else:
            if not settled:  # the image may be deleted again already
                await self.discard()

    async def discard(self) -> None:
        """As in the port. After `publish` the blob goes too, unless the catalog or another upload has it.

        If that cannot be found out, or the disk fails, the files are left to the next start.
        """
        if self._jobs or self._path is not None:
            await to_end(asyncio.ensure_future(self._give_up(self._unlink)))

    async def _give_up(self, clear: Callable[[], None] | None) -> None:
        """Ends the claim if there is one, and clears the files away, in a thread."""
        while self._jobs:
            with suppress(Exception):  # it failed: then there is less to keep
                await finish(self._jobs.popleft())
        digest, self._digest = self._digest, None
        try:
            if digest is not None:
                await self._store.give_up(digest)
            if clear is not None:
                await self._store.run(clear)
        except Exception:
            log.warning("%s is left to the next start", self._path, exc_info=True)
        finally:
            self._close()
            self._path = None

    def _has_gap(self) -> bool:
        """Whether a call before this one failed or was cancelled, so that bytes are missing."""
        return self._submitted + len(self._batch) != self._size

    async def commit(self) -> int:
        """RuntimeError: only a named one can be committed."""
        raise RuntimeError("an upload without a name cannot be committed")

    async def release(self) -> None:
        """Of one without a name nothing can be kept: the same as `discard`."""
        await self.discard()

    async def _complete_hash(self) -> None:
        """Before the last batch is written and hashed."""

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
        self._hash(batch)

    def _hash(self, batch: bytearray) -> None:
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
            marker = self._mark(self._path)
        # After the rename: fsync of a file that is new makes its name durable too on ext4, XFS and Btrfs,
        # so that a marker is there before its blob is. Elsewhere a power cut may leave a blob too many.
        os.fsync(self._descriptor)
        self._close()
        digest = self._sha.digest()
        self._store.claims.make(digest)
        self._digest = digest
        self._link(marker, self._store.path(digest))
        return digest

    def _mark(self, path: Path) -> Path:
        """Gives the bytes their marker, and says where it is."""
        self._path = path.rename(self._marker())
        return self._path

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

    def _settle(self) -> bool:
        assert self._digest is not None  # noqa: S101 (tells mypy)
        if not self._store.claims.settle(self._digest):
            return False
        self._digest = None
        self._unlink()
        return True

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _unlink(self) -> None:
        self._close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def _inspect(path: Path, judge: Callable[[bytes | mmap], T]) -> T:
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return judge(content)
