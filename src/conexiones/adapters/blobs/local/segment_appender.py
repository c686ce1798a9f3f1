"""Appends to the segments of segments.py, in the process that does nothing else but write."""

import os
from collections.abc import Sequence
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from conexiones.adapters.blobs.local.segment_index import Place, Recent, Record, SegmentIndex
from conexiones.adapters.blobs.local.segment_records import HEAD, head_of, read_head, write_all
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.writer.ring import SIZE
from conexiones.direct_file import BLOCK, DirectFile
from conexiones.errors import StorageUnavailable

SEGMENT = 1 << 30
"""Bytes at which a segment is full."""

AHEAD = 512 << 10
"""Bytes of zeros that there may be behind the last record."""

LARGE = 1 << 20
"""Bytes of a group that is written past the page cache, whose fresh memory takes longer than the disk."""

GATHERED = SIZE + (1 << 20)
"""Bytes of the memory in which such a group is put together: all that can be shared, and the heads."""


class Blob(NamedTuple):
    """A blob to be appended: its bytes are in the shared memory."""

    digest: bytes
    start: int
    size: int


class Appender:
    """Methods raise OSError and sqlite3.Error; StorageUnavailable while it is not open."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._folder: Path | None = None
        self._file: DirectFile | None = None
        self._gathered = memoryview(mmap(-1, GATHERED))
        self._end = Place(0, 0)
        self._zeroed = 0  # there are zeros up to there
        self._recent = Recent()

    def open(self, folder: Path, end: Place) -> None:
        """Begins behind the last record, and cuts off what is there."""
        self.close()
        self._index = SegmentIndex(folder / "index.sqlite3")
        self._index.join()
        self._folder, self._end = folder, end
        self._begin(end.segment)

    def close(self) -> None:
        """Cuts the zeros off. Safe to call at any time."""
        if self._folder is not None:
            self._close_segment()
            self._index.close()
            self._folder = None
            self._recent.clear()

    def tell(self, mark: Place, end: Place) -> None:
        """Has the index know all records before `end`, and the mark."""
        told = self._recent.before(end)
        self._index.add(told, mark)
        for record in told:
            del self._recent[record.digest]

    def store(self, blobs: Sequence[Blob]) -> list[tuple[int, int] | None]:
        """Makes blobs durable with one call; gives segment and offset of those that were not there already.

        If it raises, nothing of them counts.
        """
        if self._folder is None:
            raise StorageUnavailable
        file = self._file
        if self._end.offset >= SEGMENT or file is None:
            file = self._begin(self._end.segment + 1)
        indexed = self._index.find_all({blob.digest for blob in blobs})
        offset = self._end.offset
        places: list[tuple[int, int] | None] = []
        records: dict[bytes, Record] = {}
        parts: list[bytes | memoryview] = []
        for blob in blobs:
            known = self._recent.get(blob.digest) or indexed.get(blob.digest)
            if blob.digest in records or self._is_there(known):
                places.append(None)
                continue
            place = Place(self._end.segment, offset)
            records[blob.digest] = Record(place, blob.size, blob.digest)
            places.append((place.segment, offset))
            parts += (
                head_of(blob.size, blob.digest),
                self._memory[blob.start : blob.start + blob.size],
            )
            offset += HEAD.size + blob.size
        if parts:
            try:
                self._write(file, parts, offset - self._end.offset)
            except BaseException:
                self._abandon(file)
                raise
        self._end = Place(self._end.segment, offset)
        for record in records.values():
            self._recent.put(record)
        return places

    def _write(self, file: DirectFile, parts: list[bytes | memoryview], size: int) -> None:
        """Durably, at the end."""
        begin = self._end.offset % BLOCK  # so that a block of the file is one of memory
        if not LARGE <= size <= GATHERED - begin:
            write_all(file.descriptor, parts, self._end.offset)
            return
        end = begin
        for part in parts:
            self._gathered[end : end + len(part)] = part
            end += len(part)
        file.write([self._gathered[begin:end]], self._end.offset)
        os.fdatasync(file.descriptor)

    def zero_ahead(self) -> None:
        """Writes zeros behind the end: where there is something already, a write is durable without the file
        system's journal, in half the time. Done while nobody waits, for those who come one by one."""
        start, end = max(self._zeroed, self._end.offset), self._end.offset + AHEAD
        if self._file is not None and start < end - AHEAD // 2:
            with suppress(OSError):
                os.pwritev(self._file.descriptor, [bytes(end - start)], start, os.RWF_DSYNC)
                self._zeroed = end

    def _is_there(self, record: Record | None) -> bool:
        """Whether it is stored as the index says. That may be older than the record, which is asked too."""
        if record is None:
            return False
        with suppress(OSError):
            descriptor = os.open(self._path(record.place.segment), os.O_RDONLY | os.O_CLOEXEC)
            try:
                head = os.pread(descriptor, HEAD.size, record.place.offset)
            finally:
                os.close(descriptor)
            return read_head(head) == (record.size, record.digest)
        return False

    def _abandon(self, file: DirectFile) -> None:
        """What of a group is on the disk nobody refers to: it is written over, or, if even that cannot be
        relied on, left behind in a segment that gets no more."""
        try:
            self._cut_off(file)
            os.fdatasync(file.descriptor)
        except OSError:
            file.close()
            self._file = None

    def _begin(self, number: int) -> DirectFile:
        """Opens a segment to append to it, behind its last record."""
        self._close_segment()
        file = self._file = DirectFile(self._path(number), os.O_CREAT)
        sync_folder(self._path(number).parent)
        end = os.fstat(file.descriptor).st_size
        if self._end.segment == number and self._end.offset < end:  # a torn tail
            end = self._end.offset
            os.ftruncate(file.descriptor, end)
        self._end = Place(number, end)
        self._zeroed = end
        return file

    def _cut_off(self, file: DirectFile) -> None:
        """Removes what is behind the end."""
        os.ftruncate(file.descriptor, self._end.offset)
        self._zeroed = self._end.offset

    def _close_segment(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._cut_off(self._file)
            self._file.close()
            self._file = None

    def _path(self, number: int) -> Path:
        assert self._folder is not None  # noqa: S101 (tells mypy)
        return segment_path(self._folder, number)


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08x}"
