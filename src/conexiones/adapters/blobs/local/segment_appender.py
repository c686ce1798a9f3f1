"""Appends to the segments (segments.py), in the writing process."""

import errno
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from mmap import mmap
from pathlib import Path

from conexiones.adapters.blobs.local.segment_index import Place, Recent, Record, SegmentIndex
from conexiones.adapters.blobs.local.segment_records import HEAD, head_of, read_head, write_all
from conexiones.adapters.system.ballast import Ballast
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.writer.messages import Blob, Position
from conexiones.adapters.writer.ring import SIZE
from conexiones.direct_file import BLOCK, DirectFile

SEGMENT = 1 << 30
"""Bytes at which a segment is full."""

ZEROS = 512 << 10
"""Bytes of zeros that there may be behind the last record."""

LARGE = 1 << 20
"""A group of so many bytes is written past the page cache, whose fresh memory takes longer than the disk."""

GATHERED = SIZE + (1 << 20)
"""Bytes of the memory in which such a group is put together: all that can be shared, and the heads."""


class Appender:
    """A BlobAppender of the writing process. Methods raise OSError and sqlite3.Error."""

    def __init__(self, memory: memoryview, folder: Path, end: Place) -> None:
        """Begins at `end`, behind the last record, and cuts off what is there. The index must be open in the
        server."""
        self._memory = memory
        self._folder = folder
        self._end = end
        self._ballast = Ballast(folder.parent)
        self._file: DirectFile | None = None  # None when it could not be relied on any more
        self._gathered = memoryview(mmap(-1, GATHERED))
        self._zeroed = 0  # the offset behind the zeros
        self._recent = Recent()
        self._index = SegmentIndex(folder / "index.sqlite3")
        self._index.join()
        try:
            self._begin(end.segment)
        except BaseException:
            self._index.close()
            raise

    def close(self) -> None:
        """Cuts the zeros off. Safe to call more than once."""
        self._close_segment()
        self._index.close()

    def tell(self, mark: Place, end: Place) -> None:
        """Adds all records before `end` to the index, and sets its mark."""
        told = self._recent.before(end)
        self._index.add(told, mark)
        for record in told:
            del self._recent[record.digest]

    def store(self, blobs: Sequence[Blob]) -> list[Position | None]:
        """Makes blobs durable with one write; gives segment and offset of those that were not there already.

        If it raises, none of them is stored.
        """
        file = self._file
        self._ballast.hold()
        if file is not None and not os.fstat(file.descriptor).st_nlink:
            raise OSError(errno.ESTALE, f"{self._path(self._end.segment)} was deleted")
        if self._end.offset >= SEGMENT or file is None:
            file = self._begin(self._end.segment + 1)
        indexed = self._index.find_all({blob.digest for blob in blobs})
        offset = self._end.offset
        places: list[Position | None] = []
        records: dict[bytes, Record] = {}
        parts: list[bytes | memoryview] = []
        for blob in blobs:
            known = self._recent.get(blob.digest) or indexed.get(blob.digest)
            if blob.digest in records or self._is_there(known, blob):
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
        """Writes durably at the end."""
        begin = self._end.offset % BLOCK  # so that blocks of the file are blocks of memory
        if not LARGE <= size <= GATHERED - begin:
            write_all(file.descriptor, parts, self._end.offset)
            return
        end = begin
        for part in parts:
            self._gathered[end : end + len(part)] = part
            end += len(part)
        file.write([self._gathered[begin:end]], self._end.offset)
        os.fdatasync(file.descriptor)

    def while_idle(self) -> None:
        """Writes zeros behind the end, for callers that come one by one: a write over something that is there
        already is durable without the file system's journal, in half the time."""
        start, end = max(self._zeroed, self._end.offset), self._end.offset + ZEROS
        if self._file is not None and start < end - ZEROS // 2 and self._ballast.is_held:
            with suppress(OSError):
                os.pwritev(self._file.descriptor, [bytes(end - start)], start, os.RWF_DSYNC)
                self._zeroed = end

    def _is_there(self, record: Record | None, blob: Blob) -> bool:
        """Whether the blob is stored where the index says, undamaged. The index may be out of date, and the
        disk may have changed the bytes: then the blob is stored again."""
        if record is None or record.size != blob.size:
            return False
        with suppress(OSError):
            descriptor = os.open(self._path(record.place.segment), os.O_RDONLY | os.O_CLOEXEC)
            try:
                whole = os.pread(descriptor, HEAD.size + record.size, record.place.offset)
            finally:
                os.close(descriptor)
            if read_head(whole[: HEAD.size]) != (record.size, record.digest):
                return False
            return whole[HEAD.size :] == self._memory[blob.start : blob.start + blob.size]
        return False

    def _abandon(self, file: DirectFile) -> None:
        """Gives up the bytes of a group that could not be written. Nobody refers to them: they are cut off;
        if that fails too, the segment is left as it is and gets no more records."""
        try:
            self._cut_off(file)
            os.fdatasync(file.descriptor)
        except OSError:
            file.close()
            self._file = None

    def _begin(self, number: int) -> DirectFile:
        """Opens or creates a segment, to append behind its last record."""
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
        """Cuts off what is behind the end."""
        os.ftruncate(file.descriptor, self._end.offset)
        self._zeroed = self._end.offset

    def _close_segment(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._cut_off(self._file)
            self._file.close()
            self._file = None

    def _path(self, number: int) -> Path:
        return segment_path(self._folder, number)


def segment_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08x}"


def segment_numbers(folder: Path) -> list[int]:
    """Of all segments in the folder, in order. What else is there has been put there by others."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name, 16) for path in folder.iterdir() if _SEGMENT.fullmatch(path.name))


_SEGMENT = re.compile(r"[0-9a-f]{8}")
