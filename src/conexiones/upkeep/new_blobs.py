"""The images of a data folder that is being made, as adapters/blobs/local/store.py has them."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

from conexiones.adapters.blobs.local.beside import read_file, records_in
from conexiones.adapters.blobs.local.checksum_log import ChecksumLog
from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums
from conexiones.adapters.blobs.local.segment_appender import segment_numbers
from conexiones.adapters.blobs.local.segment_records import HEAD, head_of
from conexiones.adapters.blobs.local.store import SMALL
from conexiones.adapters.system.disk import sync_file, sync_folder, write_durably
from conexiones.errors import BlobCorrupt
from conexiones.upkeep.packs import drop_cached, write_whole
from conexiones.upkeep.problem import Problem

SEGMENT = 256 << 20
"""Bytes at which a segment is full."""


class NewBlobs:
    """Blobs and segments below a root, which is there. Used by one thread at a time."""

    def __init__(self, root: Path, *, read_back: bool = False) -> None:
        """With `read_back`, all that is written is read from the disk and compared."""
        self._root = root
        self._blobs = root / "blobs"
        self._segments = root / "segments"
        self._work = root / "incoming"
        self._uploads = root / "uploads"
        self._read_back = read_back
        fan = (self._blobs / f"{number:02x}" for number in range(256))
        for folder in (self._blobs, self._segments, self._work, self._uploads, *fan):
            folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._blobs)
        sync_folder(root)
        for left in self._work.iterdir():
            left.unlink()
        self._small = _Digests()
        numbers = segment_numbers(self._segments)
        for number in numbers:
            self._small.add(one.digest for one in records_in(self._segments / f"{number:08x}", number))
        self._number = max(numbers, default=-1) + 1
        self._descriptor = -1
        self._end = 0

    def close(self) -> None:
        """What is not finished is for the next run to begin anew."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._small.close()

    def has(self, digest: bytes, size: int) -> bool:
        """Whether an earlier run has added a content."""
        if size <= SMALL:
            return digest in self._small
        path = self._path(digest)
        return path.exists() and path.stat().st_size == size

    def add(self, digest: bytes, size: int, pieces: Iterator[bytes]) -> None:
        """Adds a content, durably at `finish`. Raises BlobCorrupt, and then adds nothing."""
        if size <= SMALL:
            self.add_small(digest, b"".join(pieces))
            return
        with self.large(digest, size) as large:
            for piece in pieces:
                large.write(piece)
            large.complete()

    def add_small(self, digest: bytes, data: bytes) -> None:
        """Adds a small content, durably at `finish`."""
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._work / f"{self._number:08x}", flags, 0o600)
            self._end = 0
        write_whole(self._descriptor, head_of(len(data), digest) + data)
        self._end += HEAD.size + len(data)
        if self._end >= SEGMENT:
            self.finish()

    def finish(self) -> None:
        if self._descriptor < 0:
            return
        os.fsync(self._descriptor)
        drop_cached(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        name = f"{self._number:08x}"
        if self._read_back:
            _check_segment(self._work / name, self._end)
        (self._work / name).replace(self._segments / name)
        sync_folder(self._segments)
        self._number += 1

    def large(self, digest: bytes, size: int) -> "NewLarge":
        """The context in which a large content is written."""
        return NewLarge(self._work, self._path(digest), digest, size, read_back=self._read_back)

    def upload(self, upload: str, size: int) -> "NewUpload":
        """The context in which the bytes of an upload under way are written."""
        return NewUpload(self._uploads / upload, size)

    def forget_uploads(self) -> None:
        for path in self._uploads.iterdir():
            path.unlink()

    def keep_only(self, needed: Callable[[bytes], bool]) -> None:
        """Removes large contents that are not needed. Of small ones, the first start does so."""
        for path in self._blobs.glob("??/*"):
            if not needed(bytes.fromhex(path.name.partition(".")[0])):
                path.unlink()

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._blobs / name[:2] / name


class _NewFile:
    """A file on its way, with the checksums of what was written."""

    def __init__(self, path: Path, size: int) -> None:
        self._new = path
        self._size = size
        self._checksums = Checksums()

    def __enter__(self) -> Self:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor = os.open(self._new, flags, 0o600)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def write(self, piece: bytes) -> None:
        write_whole(self._descriptor, piece)
        self._checksums.add(piece)

    def _sync(self) -> None:
        """BlobCorrupt unless it has the size that it has to have."""
        if self._checksums.size != self._size:
            raise BlobCorrupt
        os.fsync(self._descriptor)


class NewLarge(_NewFile):
    """A large content on its way, which is there after `complete`."""

    def __init__(self, work: Path, path: Path, digest: bytes, size: int, *, read_back: bool) -> None:
        super().__init__(work / "blob", size)
        self._beside = work / "checksums"
        self._path = path
        self._digest = digest
        self._read_back = read_back

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._new.unlink(missing_ok=True)  # unless it is complete

    def complete(self) -> None:
        self._sync()
        drop_cached(self._descriptor)
        if self._read_back:
            try:
                for _ in read_file(self._new, self._digest):
                    pass
            except BlobCorrupt:
                raise _unreliable(self._new) from None
        if self._size > BLOCK_BYTES:  # before the blob, as whoever finds that looks for them
            write_durably(self._beside, self._checksums.pack())
            self._beside.replace(self._path.with_name(f"{self._path.name}.crc32c"))
        self._new.replace(self._path)
        sync_folder(self._path.parent)


class NewUpload(_NewFile):
    """The acknowledged bytes of an upload on their way."""

    _is_complete = False

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if not self._is_complete:
            self._new.unlink(missing_ok=True)

    def complete(self) -> None:
        self._sync()
        path = self._new.with_name(f"{self._new.name}.crc32c")
        log = ChecksumLog(path)
        try:
            log.create(Checksums())
            log.append(self._checksums)
        finally:
            log.close()
        sync_file(path)
        sync_folder(path.parent)
        self._is_complete = True


class _Digests:
    """Digests, on the disk when they become many: a temporary file of SQLite, which has no name."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._file.execute("CREATE TABLE digests (digest BLOB PRIMARY KEY) WITHOUT ROWID")

    def __contains__(self, digest: bytes) -> bool:
        with closing(self._file.execute("SELECT 1 FROM digests WHERE digest = ?", (digest,))) as found:
            return found.fetchone() is not None

    def add(self, digests: Iterable[bytes]) -> None:
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR IGNORE INTO digests VALUES (?)", ((one,) for one in digests))
        self._file.execute("COMMIT")

    def close(self) -> None:
        self._file.close()


def _check_segment(path: Path, size: int) -> None:
    """Reads a segment of so many bytes from the disk."""
    at = 0
    with path.open("rb") as file:
        for record in records_in(path, 0):
            file.seek(record.place.offset + HEAD.size)
            if record.place.offset != at or hashlib.sha256(file.read(record.size)).digest() != record.digest:
                raise _unreliable(path)
            at = record.end
    if at != size:
        raise _unreliable(path)


def _unreliable(path: Path) -> Problem:
    return Problem(f"{path} reads back other bytes than were written: its disk cannot be relied on.")
