"""The blobs of a data folder for programs beside its server: they read them, and change nothing.

The server may store and delete meanwhile. A blob that cannot be read may have been deleted since it was
known: whoever asks for it asks the catalog again. All of it blocks, and raises OSError.
"""

import errno
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES
from conexiones.adapters.blobs.local.segment_appender import segment_numbers, segment_path
from conexiones.adapters.blobs.local.segment_index import Place, Record
from conexiones.adapters.blobs.local.segment_records import HEAD, next_head, read_head
from conexiones.adapters.system.disk import LOST
from conexiones.adapters.system.sqlite_beside import UNREADABLE, open_beside
from conexiones.errors import BlobCorrupt

PIECE = BLOCK_BYTES
"""Bytes of the largest piece."""

_ROWS = 1000
"""Rows of the index that are in memory at a time."""

SETTLE_SECONDS = 1.0
"""After which what the server is just changing is looked at again."""


class BlobsBeside:
    """The blobs below `root`. Used by one thread at a time."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._segments = root / "segments"
        self._index: sqlite3.Connection | None = None
        self._unindexed: dict[bytes, Record] = {}  # behind the mark of the index, which learns of them late
        self._scanned = Place(0, 0)
        try:
            self._open_index()
        except (OSError, *UNREADABLE):
            self.close()  # without it, all records are looked for in the segments

    def close(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            index.close()

    def _open_index(self) -> None:
        self._index = open_beside(self._segments / "index.sqlite3")
        mark = self._index.execute("SELECT segment, offset FROM mark").fetchone()
        self._scanned = Place(*mark) if mark else Place(0, 0)

    def pieces(self, digest: bytes) -> Iterator[bytes]:
        """The bytes of a blob. The last piece is given only if all of them have the digest; BlobCorrupt if
        not, or if the blob is not there."""
        records = self.find(digest)
        data = self._whole(records, digest)
        if data is None and records:
            # It may have been deleted since it was found, and stored again.
            self._unindexed.pop(digest, None)
            self._scan()
            data = self._whole(self._known(digest), digest)
        if data is not None:
            yield data
        elif records and not self.path(digest).exists():
            raise BlobCorrupt
        else:
            yield from read_file(self.path(digest), digest)

    def _whole(self, records: list[Record], digest: bytes) -> bytes | None:
        """The bytes of the first record that has the digest."""
        for record in records:
            data = self._read(record)
            if hashlib.sha256(data).digest() == digest:
                return data
        return None

    def where(self, digest: bytes) -> str:
        """The file that has a blob, or should have it, below the data folder."""
        for record in self.find(digest):
            return f"segments/{record.place.segment:08x}, the record at {record.place.offset}"
        return str(self.path(digest).relative_to(self._blobs.parent))

    def path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._blobs / name[:2] / name

    def find(self, digest: bytes) -> list[Record]:
        """The records of a small blob: usually one, none if it is a large one, and two if the first was
        found damaged when its bytes came again."""
        found = self._known(digest)
        if not found and not self.path(digest).exists():
            self._scan()
            found = self._known(digest)
        return found

    def _known(self, digest: bytes) -> list[Record]:
        records = [self._unindexed[digest]] if digest in self._unindexed else []
        if self._index is not None:
            asked = "SELECT segment, offset, size, digest FROM records WHERE digest = ?"
            with suppress(*UNREADABLE):
                records += [
                    Record(Place(row[0], row[1]), row[2], row[3])
                    for row in self._index.execute(asked, (digest,)).fetchall()
                ]
        return records

    def _scan(self) -> None:
        """Looks for records behind the last one that was seen."""
        for number in segment_numbers(self._segments):
            if number >= self._scanned.segment:
                start = self._scanned.offset if number == self._scanned.segment else 0
                for record in records_in(segment_path(self._segments, number), number, start):
                    self._unindexed[record.digest] = record
                    self._scanned = Place(number, record.end)

    def _read(self, record: Record) -> bytes:
        try:
            descriptor = os.open(
                segment_path(self._segments, record.place.segment), os.O_RDONLY | os.O_CLOEXEC
            )
        except FileNotFoundError:
            return b""
        try:
            start = record.place.offset + HEAD.size
            _forget(descriptor, start, record.size)
            return _pread(descriptor, record.size, start)
        finally:
            os.close(descriptor)


def read_file(path: Path, digest: bytes) -> Iterator[bytes]:
    """The bytes of a large blob, from the disk rather than from memory. As `BlobsBeside.pieces`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as cause:
        if cause.errno == errno.ENOENT or cause.errno in LOST:
            raise BlobCorrupt from cause
        raise
    try:
        _forget(descriptor, 0, 0)
        sha, at, last = hashlib.sha256(), 0, b""
        while data := _pread(descriptor, PIECE, at):
            if last:
                yield last
            sha.update(data)
            _forget(descriptor, at, len(data))
            at += len(data)
            last = data
        if sha.digest() != digest:
            raise BlobCorrupt
        yield last
    finally:
        os.close(descriptor)


def records_in(path: Path, number: int, start: int = 0) -> Iterator[Record]:
    """The live records of a segment by their heads; the bytes are not looked at. Behind a damaged head, or
    the hole of a deleted record, the next head may be one that is within the bytes of an image."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # its last record was deleted
        return
    try:
        at: int | None = start
        while at is not None:
            head = os.pread(descriptor, HEAD.size, at)
            found = read_head(head, state=None)
            if found is None:
                at = next_head(descriptor, at + 1)
                continue
            if read_head(head) is not None:
                yield Record(Place(number, at), *found)
            at += HEAD.size + found[0]
    finally:
        os.close(descriptor)


def check_index(folder: Path) -> tuple[list[str], list[Record]]:
    """What SQLite finds wrong with the index of the segments, and the records that are not where it says.
    Raises sqlite3.Error."""
    with closing(open_beside(folder / "index.sqlite3")) as index:
        problems = [text for (text,) in index.execute("PRAGMA integrity_check(100)") if text != "ok"]
        wrong = []
        if not problems:
            # The server may have deleted it: then the index has forgotten it, too, or will in a moment.
            wrong = [one for one in _indexed(index) if not head_is_live(folder, one)]
        if wrong:
            time.sleep(SETTLE_SECONDS)
            asked = "SELECT 1 FROM records WHERE segment = ? AND offset = ? AND size = ? AND digest = ?"
            wrong = [
                one
                for one in wrong
                if index.execute(asked, (*one.place, one.size, one.digest)).fetchall()
                and not head_is_live(folder, one)
            ]
    return problems, wrong


def _indexed(index: sqlite3.Connection) -> Iterator[Record]:
    """The records of the index, some at a time: all would take too much memory, and a statement that goes on
    for long would keep the server from emptying the log."""
    after = Place(-1, -1)
    asked = (
        "SELECT segment, offset, size, digest FROM records WHERE (segment, offset) > (?, ?)"
        " ORDER BY segment, offset LIMIT ?"
    )
    while rows := index.execute(asked, (*after, _ROWS)).fetchall():
        for segment, offset, size, digest in rows:
            yield Record(Place(segment, offset), size, digest)
        after = Place(*rows[-1][:2])


def head_is_live(folder: Path, record: Record) -> bool:
    """Whether there is the head of that very record."""
    try:
        descriptor = os.open(segment_path(folder, record.place.segment), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        head = os.pread(descriptor, HEAD.size, record.place.offset)
    finally:
        os.close(descriptor)
    return read_head(head) == (record.size, record.digest)


def _pread(descriptor: int, size: int, offset: int) -> bytes:
    """BlobCorrupt where the disk has lost the bytes."""
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        if error.errno not in LOST:
            raise
        raise BlobCorrupt from error


def _forget(descriptor: int, start: int, size: int) -> None:
    """Has the system drop what it has of a file in memory, so that the disk is read."""
    with suppress(OSError):
        os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)
