"""Uploads that outlive connections and restarts, in the files of FileBlobs.

    root/uploads/<name>         the bytes: those that were committed, and perhaps more
    root/uploads/<name>.copy    a copy that was cut short

The catalog knows how many bytes are committed; what the file has beyond was never acknowledged, and is cut
off by whoever resumes it. To publish, the file gets a marker and a blob as further names and keeps its own,
so that nothing is lost if the catalog is never told. As long as it has those names its bytes may be
another image's too: they are written no more, and who resumes it goes on with a copy.
"""

import asyncio
import hashlib
import os
import re
import secrets
from concurrent.futures import Future
from mmap import mmap
from pathlib import Path
from typing import TYPE_CHECKING

from conexiones.adapters.blobs.local.file_view import WINDOW
from conexiones.adapters.blobs.local.staged import Batch, FileStaged
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.system.threads import finish, to_end
from conexiones.direct_file import DirectFile
from conexiones.errors import BlobCorrupt, StorageUnavailable

if TYPE_CHECKING:
    from conexiones.adapters.blobs.local.store import FileBlobs

NAME = re.compile(r"[A-Za-z0-9-]{1,64}")

PART = 64 << 20
"""Bytes of a file that are hashed before others get their turn in the thread, or copied at once."""


class NamedStaged(FileStaged):
    """A Staged that FileBlobs resumed. Used by one task at a time; holds its name until it ends.

    After a write or a fsync that failed, or a write that was cancelled, it commits and publishes no more:
    release it, and resume. Calls that make no sense any more raise RuntimeError.
    """

    def __init__(self, store: "FileBlobs", name: str) -> None:
        super().__init__(store)
        self._memory = None  # what is committed is in its file
        self._name = secrets.token_hex(16)  # of its marker
        self._sha = hashlib.sha256()
        self._upload = name
        self._holding = True
        self._committed = 0
        # Hashed as it is written only from its first byte on. Else, when it is published: the bytes that
        # are there already may take a minute to read.
        self._hashing = True
        self._marked: Path | None = None

    async def write(self, data: bytes | memoryview) -> None:
        self._check_open()
        await super().write(data)

    async def commit(self) -> int:
        self._check_open()
        if self._has_gap():
            raise StorageUnavailable
        if self._committed < self._size:
            batch = self._take_batch() or Batch(self._submitted)
            # As the last job it has failed for all that come after it: a fsync that failed once may
            # succeed the next time with the bytes lost.
            self._submit(self._commit, batch)
            while self._jobs:
                await finish(self._jobs.popleft())
            self._committed = self._size
        return self._committed

    async def _begin_to_publish(self) -> bytes | None:
        self._check_held()
        return await super()._begin_to_publish()

    async def settle(self) -> None:
        await super().settle()
        self._let_go()

    async def discard(self) -> None:
        """As in the port. Its committed bytes are gone then: only for an upload that ended, or was never
        acknowledged a byte. Where the catalog did not answer, `release` is right."""
        try:
            await super().discard()
        finally:
            self._let_go()

    async def release(self) -> None:
        """As in the port. After `publish` the blob goes too, unless the catalog or another upload has it."""
        try:
            if self._holding:
                await to_end(asyncio.ensure_future(self._give_up(self._unmark if self._marked else None)))
        finally:
            self._let_go()

    async def _complete_hash(self) -> None:
        if self._hashing:
            return
        offset = 0
        while offset < self._size:
            offset = await self._store.run(self._hash_file, offset)

    def _check_held(self) -> None:
        if not self._holding:
            raise RuntimeError(f"upload {self._upload} was let go")

    def _check_open(self) -> None:
        self._check_held()
        if self._publishing:
            raise RuntimeError(f"upload {self._upload} is published")

    def _let_go(self) -> None:
        if self._holding:
            self._holding = False
            self._store.held.discard(self._upload)

    # In threads, from here on.

    def open(self, size: int) -> None:
        """Opens the file with its first `size` bytes, or creates it."""
        path = self._store.uploads / self._upload
        try:
            self._file = DirectFile(path)
        except FileNotFoundError as cause:
            if size:
                raise BlobCorrupt from cause
            self._file = DirectFile(path, os.O_CREAT | os.O_EXCL)
        file = os.fstat(self._file.descriptor)
        if file.st_size < size:
            raise BlobCorrupt
        if file.st_nlink > 1:
            self._copy(path, size)
        elif file.st_size > size:
            os.ftruncate(self._file.descriptor, size)
        if not size:  # new, or it may be that whoever created it did not get so far as this
            sync_folder(path.parent)
        self._path = path
        self._size = self._submitted = self._committed = size
        self._hashing = not size

    def _copy(self, path: Path, size: int) -> None:
        """Puts a copy in the place of a file whose bytes are a blob's too; durable before the file goes."""
        copy = path.with_name(f"{path.name}.copy")
        target = DirectFile(copy, os.O_CREAT | os.O_TRUNC)
        assert self._file is not None  # noqa: S101 (tells mypy)
        source, self._file = self._file, target
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
        assert self._file is not None  # noqa: S101 (tells mypy)
        os.fdatasync(self._file.descriptor)

    def _hash(self, data: memoryview) -> None:
        if self._hashing:
            super()._hash(data)

    def _hash_file(self, offset: int) -> int:
        """Hashes some of the file from `offset` on, and says where to go on."""
        assert self._file is not None  # noqa: S101 (tells mypy)
        end = min(self._size, offset + PART)
        with mmap(-1, WINDOW) as window:
            while offset < end:
                read = min(self._file.read(window, offset), self._size - offset)
                if not read:
                    raise BlobCorrupt
                with memoryview(window) as view:
                    self._sha.update(view[:read])
                offset += read
        return offset

    def _mark(self, path: Path, marker: Path) -> Path:
        self._marked = marker
        self._marked.hardlink_to(path)
        sync_folder(self._marked.parent)
        return self._marked

    def _unmark(self) -> None:
        if self._marked is not None:
            self._marked.unlink(missing_ok=True)
            self._marked = None

    def _unlink(self) -> None:
        super()._unlink()
        self._unmark()
