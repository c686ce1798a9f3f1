"""Bytes on their way in: in memory while they are few, then into a file as they come.

A large upload fills aligned buffers. Threads write a batch of them, past the page cache where that is
possible, while the batch before is hashed. So the event loop copies bytes and does nothing else, and memory
is bounded by the pool of buffers.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from conexiones.adapters.blobs.local.buffers import OUTSTANDING, UNIT, Buffers
from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums
from conexiones.adapters.blobs.local.file_view import FileView
from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.system.disk import sync_folder, write_durably
from conexiones.adapters.system.threads import finish
from conexiones.direct_file import BLOCK, DirectFile
from conexiones.errors import ConexionesError, StorageUnavailable
from conexiones.ports.staging import Content
from conexiones.seldom import Seldom
from conexiones.shares import acting_for
from conexiones.whole import to_end

INLINE = 128 << 10
"""Bytes up to which an upload in memory is inspected and hashed on the event loop: handing it to a thread
would take longer."""

NO_ROOM = memoryview(b"")

T = TypeVar("T")

log = logging.getLogger(__name__)

_LEFT = Seldom()
"""For the log, where a disk that fails does so in many calls."""


@dataclass(slots=True)
class Batch:
    """Bytes for the file from `offset` on. They are in the units, from `start` to `end` of all of them
    together.

    `start` and `offset` have the same remainder by BLOCK, so that blocks of the file are blocks of memory.
    """

    offset: int
    units: list[memoryview] = field(default_factory=list)
    room: memoryview = NO_ROOM  # what is free of the last unit
    start: int = 0
    end: int = 0

    def pieces(self) -> list[memoryview]:
        found, at = [], 0
        for unit in self.units:
            found.append(unit[max(0, self.start - at) : self.end - at])
            at += len(unit)
        return found


class LocalStaged:
    """A Staged. A write that failed or was cancelled makes `publish` raise at the latest."""

    def __init__(self, folder: Folder, buffers: Buffers, small: int) -> None:
        """A blob of at most `small` bytes goes into a segment."""
        self._folder = folder
        self._buffers = buffers
        self._small = small
        self._caller = acting_for()
        self._size = 0
        self._memory: bytes | bytearray | None = b""  # None when there is a file
        self._batch: Batch | None = None
        self._submitted = 0  # bytes handed to threads: the offset of the next batch
        self._publishing = False
        self._jobs: deque[Future[None]] = deque()  # handed to threads and not yet waited for
        self._last: Future[None] | None = None
        self._counted = False  # whether this is one of the users of the buffers
        self._digest: bytes | None = None  # while a reference is held
        # From here on: changed in threads, while the task waits for them.
        self._path: Path | None = None
        self._file: DirectFile | None = None
        self._synced = 0.0  # the seconds that the last fsync took
        self._beside: Path | None = None  # the checksums, on their way to be beside the blob

    @property
    def size(self) -> int:
        return self._size

    async def write(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        if self._memory is not None and self._buffers.may_stay(self, self._size):
            self._gather(data)
            return
        if self._batch is not None and len(data) <= len(self._batch.room):
            await self._fill(data)  # copies, and needs no turn for that
            return
        async with self._folder.writing:
            if self._memory is not None:
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
        self._checksums = Checksums()
        memory, self._memory = self._memory, None
        self._counted = True
        self._buffers.users += 1
        await self._folder.run(self._create, self._folder.incoming / self._name)
        await self._fill(memory or b"")

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
        buffers = self._buffers
        batch = self._batch
        if batch is not None and (len(batch.units) >= buffers.batch() or len(batch.units[-1]) < UNIT):
            await self._hand_over()
            batch = None
        while (unit := buffers.take(self._caller)) is None:
            if batch is not None:
                await self._hand_over()
                batch = None
            if not self._jobs:
                unit = buffers.small()
                break
            begun = time.monotonic()
            await finish(self._jobs.popleft())
            buffers.waited(time.monotonic() - begun)
        if batch is None:
            start = self._submitted % BLOCK
            batch = self._batch = Batch(self._submitted, [unit], unit[start:], start=start, end=start)
        else:
            batch.units.append(unit)
            batch.room = unit
        return batch

    async def _hand_over(self) -> None:
        """Gives what is gathered to a thread, once fewer than OUTSTANDING batches are with threads."""
        while len(self._jobs) >= OUTSTANDING:
            await finish(self._jobs.popleft())
        if (batch := self._take_batch()) is not None:
            self._submit(self._append, batch)

    def _take_batch(self) -> Batch | None:
        batch, self._batch = self._batch, None
        return batch

    def _submit(self, work: Callable[[Batch, Future[None] | None], None], batch: Batch) -> None:
        try:
            self._last = self._folder.submit_for(self._caller, work, batch, self._last)
        except BaseException:
            self._release(batch)
            raise
        self._jobs.append(self._last)
        self._submitted = batch.offset + batch.end - batch.start

    async def _flushed(self) -> DirectFile:
        """The file, with all that was written in it. Raises what any of the jobs raised, as each fails with
        the one before it."""
        await self._hand_over()
        while self._jobs:
            await finish(self._jobs.popleft())
        if self._last is not None:
            await finish(self._last)
        return self._open_file()

    def _open_file(self) -> DirectFile:
        """The file. StorageUnavailable if creating it failed or was cancelled."""
        if self._file is None:
            raise StorageUnavailable
        return self._file

    async def inspect(self, judge: Callable[[Content], T], *, slow: bool = False) -> T:
        """As in the port. ValueError if nothing was written."""
        if not self._size:
            raise ValueError("there is nothing to inspect")
        if self._memory is not None:
            content = bytes(self._memory)
            if len(content) <= INLINE and not slow:
                return judge(content)
            return await self._folder.run(judge, content)
        file = await self._flushed()
        return await self._folder.run(_inspect, FileView(file, self._size, self._check_block), judge)

    async def publish(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        """As in the port. A small blob is durable in one step with its row if the catalog's writer can carry
        it, and otherwise before `add` is called."""
        small = await self._begin_to_publish()
        if small is None:
            return await add(await self._publish_file())
        digest = await self._refer_to(small)
        carrier = self._folder.carrier
        if carrier is None:
            await self._folder.append(digest, small)
            return await add(digest)
        carried = carrier.carry(digest, small)
        try:
            added = await add(digest)
            if not carried.durable:  # `add` gave the catalog nothing to take along with the blob
                await self._folder.append(digest, small)
            return added
        finally:
            carrier.drop(digest)

    async def _begin_to_publish(self) -> bytes | None:
        """The bytes, if they go into a segment."""
        if not self._size:
            raise ValueError("an empty blob cannot be published")
        if self._publishing or self._has_gap():
            raise StorageUnavailable
        self._publishing = True
        if self._memory is None and self._size <= self._small:
            file = await self._flushed()
            return await self._folder.run(self._read_small, file)
        memory, self._memory = self._memory, b""
        return None if memory is None else bytes(memory)

    async def _refer_to(self, data: bytes) -> bytes:
        """Acquires a reference, so that nobody deletes the blob from now on, and gives the digest."""
        if len(data) <= INLINE:
            digest = hashlib.sha256(data).digest()
            if self._folder.counts.acquire(digest, wait=False):
                self._digest = digest
                return digest
        return await self._folder.run(self._refer_to_in_thread, data)

    async def _publish_file(self) -> bytes:
        file = await self._flushed()
        await self._complete_hash(file)
        digest = await self._folder.run(self._publish, file)
        self._folder.fsyncs.of("blob").record(self._synced)
        return digest

    async def settle(self) -> None:
        """As in the port. If the marker cannot be removed nothing is raised, and the next start does it.
        RuntimeError if nothing is published."""
        digest = self._digest
        if digest is None:
            raise RuntimeError("there is nothing to settle")
        if self._path is None and self._folder.counts.settle(digest, wait=False):
            self._digest = None
            return
        try:
            settled = await self._folder.run(self._settle, digest)
        except (OSError, ConexionesError) as error:
            self._say_left(error)
        else:
            if not settled:  # the image may have been deleted since
                await self.discard()
                return
        await self._close()

    async def discard(self) -> None:
        """As in the port. If the catalog does not answer, or the disk fails, what is left goes with the next
        start."""
        self._memory = b""
        if self._jobs or self._path is not None or self._digest is not None or self._file is not None:
            await to_end(asyncio.ensure_future(self._give_up(self._unlink)))

    async def _give_up(self, clear: Callable[[], None] | None) -> None:
        """Ends the reference if there is one, and has a thread clear the files away."""
        while self._jobs:
            with suppress(Exception):  # what was to be written is not needed any more
                await finish(self._jobs.popleft())
        digest, self._digest = self._digest, None
        try:
            if digest is not None:
                await self._folder.give_up(digest)
            if clear is not None:
                await self._folder.run(clear)
        except Exception as error:
            self._say_left(error)
        finally:
            await self._close()
            self._path = None

    def _say_left(self, error: Exception) -> None:
        why = error.__cause__ or error
        _LEFT.log(log, logging.WARNING, "%s is left to the next start: %r", self._path, why)

    def _has_gap(self) -> bool:
        """Whether a call before this one failed or was cancelled, so that bytes are missing."""
        if self._memory is not None:
            return len(self._memory) != self._size
        gathered = 0 if self._batch is None else self._batch.end - self._batch.start
        return self._submitted + gathered != self._size

    async def _complete_hash(self, file: DirectFile) -> None:
        """Hashes what was not hashed as it was written. Here there is nothing of that kind."""

    async def _close(self) -> None:
        """Closes the file, and gives the buffers back."""
        if (batch := self._take_batch()) is not None:
            self._release(batch)
        if self._counted:
            self._counted = False
            self._buffers.leave()
        file, self._file = self._file, None
        if file is not None:
            await self._folder.close(file.close)

    def _release(self, batch: Batch) -> None:
        for unit in batch.units:
            self._buffers.give(self._caller, unit)

    # For threads.

    def _create(self, path: Path) -> None:
        self._path = path
        self._folder.ballast.hold()
        self._file = DirectFile(path, os.O_CREAT | os.O_EXCL)

    def _append(self, batch: Batch, before: Future[None] | None) -> None:
        """Writes a batch while the batch before it is hashed, and then hashes it.

        Threads start jobs of a caller in the order in which they came. So the job that is waited for runs
        already, and there is no deadlock.
        """
        try:
            self._folder.ballast.hold()
            pieces = batch.pieces()
            self._open_file().write(pieces, batch.offset)
            if before is not None:
                before.result()  # raises what that job raised
            for piece in pieces:
                self._hash(piece)
        finally:
            self._release(batch)

    def _hash(self, data: memoryview) -> None:
        self._sha.update(data)
        self._checksums.add(data)

    def _read_small(self, file: DirectFile) -> bytes:
        """All bytes, of an upload of less than a block."""
        data = os.pread(file.descriptor, self._size, 0)
        self._check_block(0, data)
        return data

    def _check_block(self, number: int, data: bytes | memoryview) -> None:
        """Is called with each block that is read back. Here nobody was told that the bytes are kept: what
        the disk does to them is noticed when the blob is read."""

    def _refer_to_in_thread(self, data: bytes) -> bytes:
        digest = hashlib.sha256(data).digest()
        self._folder.counts.acquire(digest)
        self._digest = digest
        return digest

    def _publish(self, file: DirectFile) -> bytes:
        digest = self._sha.digest()
        marker = self._folder.incoming / f"{digest.hex()}.{self._name}"
        if self._size > BLOCK_BYTES:
            self._beside = self._folder.incoming / f"{self._name}.crc32c"
            write_durably(self._beside, self._checksums.pack())
        self._mark(marker)
        # After the rename: fsync of a new file makes its name durable too on ext4, XFS and Btrfs, so that a
        # marker is there before its blob is. Elsewhere a power cut may leave a blob too many.
        begun = time.monotonic()
        os.fsync(file.descriptor)
        self._synced = time.monotonic() - begun
        self._folder.counts.acquire(digest)
        self._digest = digest
        if self._beside is not None:  # before the blob, so that no reader finds that without its checksums
            self._beside.replace(self._folder.checksums_path(digest))
            self._beside = None
        self._link(marker, self._folder.path(digest))
        return digest

    def _mark(self, marker: Path) -> None:
        """Gives the bytes the name of their marker."""
        if self._path is None:
            raise StorageUnavailable
        self._path = self._path.rename(marker)

    def _link(self, marker: Path, blob: Path) -> None:
        """Makes the blob visible, durably. These bytes take the place of those that are there: they are known
        to be good, whatever the disk has done to the others. Who reads those goes on reading them."""
        try:
            blob.hardlink_to(marker)
            self._folder.sizes.change(bytes.fromhex(blob.name), self._size)
        except FileExistsError:
            whole = self._folder.incoming / f"{self._name}.whole"
            whole.hardlink_to(marker)
            whole.replace(blob)
        sync_folder(blob.parent)

    def _settle(self, digest: bytes) -> bool:
        if not self._folder.counts.settle(digest):
            return False
        self._digest = None
        self._unlink()
        return True

    def _unlink(self) -> None:
        self._unlink_beside()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None

    def _unlink_beside(self) -> None:
        if self._beside is not None:
            self._beside.unlink(missing_ok=True)
            self._beside = None


def _inspect(view: FileView, judge: Callable[[Content], T]) -> T:
    try:
        return judge(view)
    finally:
        view.close()
