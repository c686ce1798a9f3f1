"""Bytes on their way into FileBlobs: in memory while they are few, then into a file as they come.

A large upload fills aligned buffers; threads write a batch of them (past the page cache, where that can be)
while the batch before is hashed. So the loop copies bytes and does nothing else, and memory stays what the
pool is.
"""

import asyncio
import hashlib
import logging
import os
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from conexiones.adapters.blobs.local.buffers import OUTSTANDING, UNIT
from conexiones.adapters.blobs.local.file_view import FileView
from conexiones.adapters.system.disk import sync_file, sync_folder
from conexiones.adapters.system.threads import finish, to_end
from conexiones.direct_file import BLOCK, DirectFile
from conexiones.errors import ConexionesError, StorageUnavailable
from conexiones.ports.staging import Content

if TYPE_CHECKING:
    from conexiones.adapters.blobs.local.store import FileBlobs

INLINE = 128 << 10
"""Bytes up to which an upload in memory is inspected and hashed at once: a thread would take longer to get
there."""

NONE = memoryview(b"")

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Batch:
    """Bytes for the file from `offset` on: in the units, from `start` to `end` of all of them together.

    Start and offset leave the same rest by BLOCK, so that a block of the file is one of memory.
    """

    offset: int
    units: list[memoryview] = field(default_factory=list)
    room: memoryview = NONE  # what is free of the last unit
    start: int = 0
    end: int = 0

    def pieces(self) -> list[memoryview]:
        found, at = [], 0
        for unit in self.units:
            found.append(unit[max(0, self.start - at) : self.end - at])
            at += len(unit)
        return found


class FileStaged:
    """A Staged of FileBlobs. Used by one task at a time.

    What fails or is cancelled comes to light in `publish` at the latest; `discard` is all that is left then.
    """

    def __init__(self, store: "FileBlobs") -> None:
        self._store = store
        self._size = 0
        self._memory: bytes | bytearray | None = b""  # None when there is a file
        self._batch: Batch | None = None
        self._submitted = 0  # bytes handed to threads: the offset of the next batch
        self._publishing = False
        self._jobs: deque[Future[None]] = deque()  # handed over and not yet waited for
        self._last: Future[None] | None = None
        self._sharing = False  # the pool of buffers
        self._digest: bytes | None = None  # once the claim is made
        # Below: changed in threads, while the task waits for them.
        self._path: Path | None = None
        self._file: DirectFile | None = None

    @property
    def size(self) -> int:
        return self._size

    async def write(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        if self._memory is not None:
            if self._store.may_stay(self, self._size):
                self._gather(data)
                return
            await self._begin()
        await self._fill(data)

    def _gather(self, data: bytes | memoryview) -> None:
        if not self._memory:
            self._memory = bytes(data)  # a whole image in one piece is never copied
            return
        if isinstance(self._memory, bytes):
            self._memory = bytearray(self._memory)
        self._memory += data

    async def _begin(self) -> None:
        """Goes on in a file."""
        self._name = secrets.token_hex(16)
        self._sha = hashlib.sha256()
        memory, self._memory = self._memory, None
        self._share()
        await self._store.run(self._create, self._store.incoming / self._name)
        await self._fill(memory or b"")

    def _share(self) -> None:
        self._sharing = True
        self._store.buffers.users += 1

    async def _fill(self, data: bytes | bytearray | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            batch = self._batch
            if batch is None or not batch.room:
                batch = await self._more_room()
            taken = min(len(rest), len(batch.room))
            batch.room[:taken] = rest[:taken]
            batch.room = batch.room[taken:]
            batch.end += taken
            rest = rest[taken:]

    async def _more_room(self) -> Batch:
        buffers = self._store.buffers
        batch = self._batch
        if batch is not None and (len(batch.units) >= buffers.batch() or len(batch.units[-1]) < UNIT):
            await self._hand_over()
            batch = None
        while (unit := buffers.take()) is None:
            if batch is not None:
                await self._hand_over()
                batch = None
            if not self._jobs:
                unit = buffers.small()
                break
            await finish(self._jobs.popleft())
        if batch is None:
            start = self._submitted % BLOCK
            batch = self._batch = Batch(self._submitted, [unit], unit[start:], start=start, end=start)
        else:
            batch.units.append(unit)
            batch.room = unit
        return batch

    async def _hand_over(self) -> None:
        """Gives what is gathered to a thread, when it has less than it may to do."""
        while len(self._jobs) >= OUTSTANDING:
            await finish(self._jobs.popleft())
        if (batch := self._take_batch()) is not None:
            self._submit(self._append, batch)

    def _take_batch(self) -> Batch | None:
        batch, self._batch = self._batch, None
        return batch

    def _submit(self, work: Callable[[Batch, Future[None] | None], None], batch: Batch) -> None:
        try:
            self._last = self._store.submit(work, batch, self._last)
        except BaseException:
            self._release(batch)
            raise
        self._jobs.append(self._last)
        self._submitted = batch.offset + batch.end - batch.start

    async def _flushed(self) -> DirectFile:
        """The file with all that was written in it. Raises what any of the jobs raised: each fails with the
        one before it."""
        await self._hand_over()
        while self._jobs:
            await finish(self._jobs.popleft())
        if self._last is not None:
            await finish(self._last)
        assert self._file is not None  # noqa: S101 (tells mypy)
        return self._file

    async def inspect(self, judge: Callable[[Content], T]) -> T:
        """As in the port. ValueError if nothing was written."""
        if not self._size:
            raise ValueError("there is nothing to inspect")
        if self._memory is not None:
            content = bytes(self._memory)
            if len(content) <= INLINE:
                return judge(content)
            return await self._store.run(judge, content)
        file = await self._flushed()
        return await self._store.run(_inspect, file, self._size, judge)

    async def publish(self) -> bytes:
        """As in the port. ValueError if nothing was written."""
        small = await self._begin_to_publish()
        if small is None:
            return await self._publish_file()
        digest = await self._claim(small)
        await self._store.append(digest, small)
        return digest

    async def publish_to(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        """As in the port. ValueError if nothing was written."""
        small = await self._begin_to_publish()
        if small is None:
            return await add(await self._publish_file())
        digest = await self._claim(small)
        carrier = self._store.carrier
        if carrier is None:
            await self._store.append(digest, small)
            return await add(digest)
        carrier.carry(digest, small)
        try:
            return await add(digest)
        finally:
            carrier.drop(digest)

    async def _begin_to_publish(self) -> bytes | None:
        """The bytes if they are few."""
        if not self._size:
            raise ValueError("an empty blob cannot be published")
        if self._publishing or self._has_gap():
            raise StorageUnavailable
        self._publishing = True
        if self._memory is None and self._size <= self._store.small:
            await self._flushed()
            return await self._store.run(self._whole)
        memory, self._memory = self._memory, b""
        return None if memory is None else bytes(memory)

    async def _claim(self, data: bytes) -> bytes:
        """From now on nobody removes the blob."""
        if len(data) <= INLINE:
            digest = hashlib.sha256(data).digest()
            if self._store.claims.make(digest, wait=False):
                self._digest = digest
                return digest
        return await self._store.run(self._claim_in_thread, data)

    async def _publish_file(self) -> bytes:
        await self._flushed()
        await self._complete_hash()
        return await self._store.run(self._publish)

    async def settle(self) -> None:
        """As in the port. If the marker cannot be removed the next start does it: nothing is raised."""
        assert self._digest is not None  # noqa: S101 (tells mypy)
        if self._path is None and self._store.claims.settle(self._digest, wait=False):
            self._digest = None
            return
        try:
            settled = await self._store.run(self._settle)
        except (OSError, ConexionesError):
            log.warning("%s is left to the next start", self._path, exc_info=True)
        else:
            if not settled:  # the image may be deleted again already
                await self.discard()
                return
        self._close()

    async def discard(self) -> None:
        """As in the port. After `publish` the blob goes too, unless the catalog or another upload has it.

        If that cannot be found out, or the disk fails, the files are left to the next start.
        """
        self._memory = b""
        if self._jobs or self._path is not None or self._digest is not None or self._file is not None:
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
        if self._memory is not None:
            return len(self._memory) != self._size
        gathered = 0 if self._batch is None else self._batch.end - self._batch.start
        return self._submitted + gathered != self._size

    async def commit(self) -> int:
        """RuntimeError: only a named one can be committed."""
        raise RuntimeError("an upload without a name cannot be committed")

    async def release(self) -> None:
        """Of one without a name nothing can be kept: the same as `discard`."""
        await self.discard()

    async def _complete_hash(self) -> None:
        """Before it is published."""

    def _close(self) -> None:
        """Gives back what it has of the store's."""
        if (batch := self._take_batch()) is not None:
            self._release(batch)
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if self._sharing:
            self._sharing = False
            self._store.buffers.users -= 1

    def _release(self, batch: Batch) -> None:
        for unit in batch.units:
            self._store.buffers.give(unit)

    # In threads, from here on.

    def _create(self, path: Path) -> None:
        self._path = path
        self._file = DirectFile(path, os.O_CREAT | os.O_EXCL)

    def _append(self, batch: Batch, before: Future[None] | None) -> None:
        """Writes a batch while the one before it is hashed, and then hashes it.

        The pool starts jobs in the order they came, so the wait is for one that runs: no deadlock.
        """
        try:
            assert self._file is not None  # noqa: S101 (tells mypy)
            pieces = batch.pieces()
            self._file.write(pieces, batch.offset)
            if before is not None:
                before.result()  # raises what it raised
            for piece in pieces:
                self._hash(piece)
        finally:
            self._release(batch)

    def _hash(self, data: memoryview) -> None:
        self._sha.update(data)

    def _whole(self) -> bytes:
        assert self._file is not None  # noqa: S101 (tells mypy)
        return os.pread(self._file.descriptor, self._size, 0)

    def _claim_in_thread(self, data: bytes) -> bytes:
        digest = hashlib.sha256(data).digest()
        self._store.claims.make(digest)
        self._digest = digest
        return digest

    def _publish(self) -> bytes:
        assert self._file is not None  # noqa: S101 (tells mypy)
        assert self._path is not None  # noqa: S101 (tells mypy)
        digest = self._sha.digest()
        marker = self._mark(self._path, self._store.incoming / f"{digest.hex()}.{self._name}")
        # After the rename: fsync of a file that is new makes its name durable too on ext4, XFS and Btrfs,
        # so that a marker is there before its blob is. Elsewhere a power cut may leave a blob too many.
        os.fsync(self._file.descriptor)
        self._store.claims.make(digest)
        self._digest = digest
        self._link(marker, self._store.path(digest))
        return digest

    def _mark(self, path: Path, marker: Path) -> Path:
        """Gives the bytes their marker, and says where it is."""
        self._path = path.rename(marker)
        return self._path

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

    def _unlink(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def _inspect(file: DirectFile, size: int, judge: Callable[[Content], T]) -> T:
    view = FileView(file, size)
    try:
        return judge(view)
    finally:
        view.close()
