"""The bytes of resumable uploads, which outlive connections and restarts.

    root/uploads/<id>           the bytes: those that were committed, and perhaps more
    root/uploads/<id>.copy      a copy that is not finished
    root/uploads/<id>.crc32c    their checksums (checksum_log.py)

The catalog knows how many bytes are committed. What the file has beyond was never acknowledged, and `open`
cuts it off. The checksums of committed bytes are durable before the catalog counts them. All bytes are read
back to publish them, and whatever `inspect` shows: if a block is not what was committed, both raise
BlobCorrupt. An upload that an earlier version began has no checksums: its bytes are taken as they are, and
those that come later have checksums.

To publish, the file gets the names of a marker and of a blob besides its own, so that nothing is
lost if the catalog is never told. As long as it has those names, its bytes may be those of another image too:
they are not changed any more, and whoever resumes the upload goes on with a copy.
"""

import asyncio
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import TypeVar

from conexiones.adapters.blobs.holds import Hold
from conexiones.adapters.blobs.local.buffers import Buffers
from conexiones.adapters.blobs.local.checksum_log import ChecksumLog
from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums
from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.blobs.local.staged import Batch, LocalStaged
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.system.threads import finish
from conexiones.direct_file import DirectFile
from conexiones.errors import BlobCorrupt, StorageUnavailable
from conexiones.whole import to_end

PART = 64 << 20
"""Bytes of a file that are copied at a time."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class LocalResumableStaged(LocalStaged):
    """A ResumableStaged. Holds its upload until it is settled, discarded or released.

    After a write or an fsync that failed, or a write that was cancelled, `commit` and `publish` raise
    StorageUnavailable: release it, and resume. Calls after its end, and writing after `publish`, are a
    RuntimeError.
    """

    def __init__(self, folder: Folder, buffers: Buffers, small: int, hold: Hold) -> None:
        super().__init__(folder, buffers, small)
        self._memory = None  # all bytes are in the file
        self._name = secrets.token_hex(16)  # of its marker
        self._hold = hold
        self._log = ChecksumLog(checksums_path(folder, hold.upload))
        self._committed = 0
        self._marked: Path | None = None

    async def write(self, data: bytes | memoryview) -> None:
        self._check_open()
        await super().write(data)

    async def commit(self, advance: Callable[[int], Awaitable[T]]) -> T:
        await self._sync()
        return await advance(self._committed)

    async def _sync(self) -> None:
        self._check_open()
        if self._has_gap():
            raise StorageUnavailable
        if self._committed < self._size:
            batch = self._take_batch() or Batch(self._submitted)
            # If this job fails, so do all that come after it: an fsync that failed once may succeed the next
            # time, with the bytes lost.
            self._submit(self._commit, batch)
            while self._jobs:
                await finish(self._jobs.popleft())
            self._committed = self._size
            self._folder.fsyncs.of("upload").record(self._synced)

    async def _begin_to_publish(self) -> bytes | None:
        self._hold.check()
        return await super()._begin_to_publish()

    async def settle(self) -> None:
        await super().settle()
        self._hold.end()

    async def discard(self) -> None:
        """As in the port. The committed bytes are gone then: it is only for an upload that has ended, or of
        which no byte was acknowledged. Where the catalog did not answer, `release` is right."""
        try:
            await super().discard()
        finally:
            self._hold.end()

    async def release(self) -> None:
        try:
            if self._hold.lasts:
                await to_end(asyncio.ensure_future(self._give_up(self._unmark if self._marked else None)))
        finally:
            self._hold.end()

    async def _complete_hash(self, file: DirectFile) -> None:
        """Reads all bytes, the next block while one is hashed. Raises BlobCorrupt."""
        self._sha = hashlib.sha256()
        windows = [mmap(-1, BLOCK_BYTES) for _ in range(2)]
        offset = 0
        reading = self._folder.submit(file.read, windows[0], offset)
        try:
            while offset < self._size:
                read = min(await finish(reading), self._size - offset)
                windows.reverse()
                ahead = offset + BLOCK_BYTES
                if ahead < self._size:
                    reading = self._folder.submit(file.read, windows[0], ahead)
                await self._folder.run(self._hash_block, windows[1], offset, read)
                offset = ahead
        finally:
            with suppress(Exception):  # it must not go on in a window that is closed
                await finish(reading)
            for window in windows:
                window.close()

    def _check_open(self) -> None:
        self._hold.check()
        if self._publishing:
            raise RuntimeError(f"upload {self._hold.upload} is published")

    # For threads.

    def open(self, size: int) -> None:
        """Opens the file with its first `size` bytes, or creates it. BlobCorrupt if it has fewer."""
        path = self._folder.uploads / self._hold.upload
        try:
            file = self._file = DirectFile(path)
        except FileNotFoundError as cause:
            if size:
                raise BlobCorrupt from cause
            file = self._file = DirectFile(path, os.O_CREAT | os.O_EXCL)
        found = os.fstat(file.descriptor)
        if found.st_size < size:
            raise BlobCorrupt
        named = self._open_log(size, file.descriptor)
        if found.st_nlink > 1:
            self._replace_by_copy(file, path, size)
        elif found.st_size > size:
            os.ftruncate(file.descriptor, size)
        if not size or not named:  # they are new, or whoever created them may not have got as far as this
            sync_folder(path.parent)
        self._path = path
        self._size = self._submitted = self._committed = size

    def _open_log(self, size: int, upload: int) -> bool:
        """Whether there is a log already; otherwise one is begun. Raises BlobCorrupt."""
        if size:
            with suppress(FileNotFoundError):
                self._checksums = self._log.open(size, upload)
                return True
        self._checksums = Checksums(size - size % BLOCK_BYTES, first_known=size // BLOCK_BYTES)
        self._checksums.blocks.extend([0] * self._checksums.first_known)
        self._checksums.add(os.pread(upload, size % BLOCK_BYTES, self._checksums.size))
        self._log.create(self._checksums)
        return False

    def _replace_by_copy(self, source: DirectFile, path: Path, size: int) -> None:
        """Puts a copy in the place of a file whose bytes are a blob too. The copy is durable before that."""
        copy = path.with_name(f"{path.name}.copy")
        target = self._file = DirectFile(copy, os.O_CREAT | os.O_TRUNC)
        try:
            offset = 0
            while offset < size:
                sent = os.sendfile(target.descriptor, source.descriptor, offset, min(PART, size - offset))
                if not sent:
                    raise BlobCorrupt
                offset += sent
            os.fsync(target.descriptor)
            copy.replace(path)
            sync_folder(path.parent)
        finally:
            source.close()

    def _commit(self, batch: Batch, before: Future[None] | None) -> None:
        self._append(batch, before)
        self._log.append(self._checksums)
        begun = time.monotonic()
        os.fdatasync(self._open_file().descriptor)
        self._synced = time.monotonic() - begun

    def _hash(self, data: memoryview) -> None:
        self._checksums.add(data)  # the SHA-256 is that of the bytes on the disk

    def _hash_block(self, window: mmap, offset: int, size: int) -> None:
        with memoryview(window) as view, view[:size] as block:
            self._check_block(offset // BLOCK_BYTES, block)
            self._sha.update(block)

    def _check_block(self, number: int, data: bytes | memoryview) -> None:
        try:
            self._checksums.check(number, data)
        except BlobCorrupt:
            log.error("%s is damaged in the MiB from byte %d on", self._path, number * BLOCK_BYTES)
            raise

    def _mark(self, marker: Path) -> None:
        if self._path is None:
            raise StorageUnavailable
        self._marked = marker
        marker.hardlink_to(self._path)
        sync_folder(marker.parent)

    def _unmark(self) -> None:
        self._unlink_beside()
        if self._marked is not None:
            self._marked.unlink(missing_ok=True)
            self._marked = None

    def _unlink(self) -> None:
        super()._unlink()
        self._log.unlink()
        self._unmark()

    async def _close(self) -> None:
        self._log.close()
        await super()._close()


def checksums_path(folder: Folder, upload_id: str) -> Path:
    """Where the log of an upload's checksums is."""
    return folder.uploads / f"{upload_id}.crc32c"
