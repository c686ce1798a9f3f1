"""Small blobs, many to a file, so that one fsync makes durable all that came in at the same time.

    root/segments/<8 hex digits>      records, one behind the other; a new file begins at SEGMENT bytes
    root/segments/index.sqlite3       where the record of each blob is (segment_index.py)

A record is a head of 48 bytes, in big-endian order, and the blob's bytes:

    0   3   "CXB"
    3   1   "L" live, "D" deleted: the only byte that ever changes
    4   4   CRC-32 of bytes 8 to 47
    8   8   the blob's size
    16  32  its SHA-256

The writing process appends (segment_appender.py): it makes durable together all that waits, past the page
cache if it is much. The index learns of records later, of many at once.

A crash may leave zeros behind the last record, a torn tail, or records that the catalog was never told of.
The index keeps a mark, and none of these can be before it. To open, the records behind the mark are read,
checked, and deleted unless the catalog has them. A record that is deleted gives its space back, as a hole in
the file, together with those beside it that were deleted before. A segment without a live record is removed.
Whenever a record is read, its bytes are checked by their SHA-256: damage is never served, and costs that
record alone.
"""

import asyncio
import errno
import hashlib
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from threading import Lock

from conexiones.adapters.blobs.local.reference_counts import ReferenceCounts
from conexiones.adapters.blobs.local.segment_appender import Appender, segment_numbers, segment_path
from conexiones.adapters.blobs.local.segment_index import Place, Recent, Record, SegmentIndex
from conexiones.adapters.blobs.local.segment_records import (
    HEAD,
    LIVE,
    STATE,
    mark_deleted,
    next_head,
    punch,
    read_head,
)
from conexiones.adapters.system.disk import storage_error
from conexiones.adapters.system.threads import Outcome
from conexiones.adapters.writer.client import WriterClient
from conexiones.adapters.writer.messages import Stored
from conexiones.errors import BlobCorrupt, StorageFull, StorageUnavailable

TOLD_RECORDS = 2048
TOLD_BYTES = 64 << 20
TOLD_SECONDS = 0.1
"""The index is told of records when they are so many, or of so many bytes; or of fewer, when no more have
come for that long."""

LOOK = 1000
"""Records about which the catalog is asked together when the store is opened."""

log = logging.getLogger(__name__)


class Segments:
    """The segments in a folder, which must be there. Whoever appends a blob holds a reference to it.

    To open: `open`, then `look` and `admit` in turn until there is nothing more to look at, then `start`, and
    `append_from_here`. When the writing process was replaced, the same again with `look_again` for `open`.

    The methods for threads raise OSError. Of them `find`, `read` and `delete` may be called from several
    threads at once.
    """

    def __init__(self, folder: Path, counts: ReferenceCounts) -> None:
        self._folder = folder
        self._counts = counts
        self._index = SegmentIndex(folder / "index.sqlite3")
        self._told = Place(0, 0)  # the mark of the index
        self._trusting = False  # whether the index is all that it can be, as after it was made anew
        self._doubtful: set[Place] = set()  # found by `look` where a head before was damaged
        self._end = Place(0, 0)  # behind the last record that is known to be durable
        self._scanned = Place(0, 0)  # where `look` is
        self._forgetting = Lock()
        # From here on: changed on the event loop only, except by `look_again`.
        self._writer: WriterClient | None = None
        self._recent = Recent()
        self._unsettled: deque[tuple[Place, bytes]] = deque()  # records that the catalog may not know yet
        self._untold = 0  # bytes that were stored since the index was last told
        self._news = False  # whether records have come since the timer was last due
        self._telling = False
        self._timer: asyncio.TimerHandle | None = None

    # For the event loop.

    async def append_from_here(self, writer: WriterClient) -> None:
        """Has the writing process go on behind the last record."""
        writer.on_stored = self._add
        await writer.attach(Appender, self._folder, self._end)
        self._writer = writer

    def append(self, digest: bytes, data: bytes) -> Outcome[None]:
        """Stores a blob. Raises StorageUnavailable if the segments are not open."""
        if self._writer is None:
            raise StorageUnavailable
        return self._writer.append(digest, data)

    async def make_deletable(self, digest: bytes) -> None:
        """Tells the index of the blob, if it does not know of it yet, as `delete` needs the neighbours of a
        record. Raises StorageUnavailable."""
        if digest in self._recent:
            await self._tell()

    def pause(self) -> None:
        """Refuses to append until `append_from_here`."""
        self._writer = None

    async def stop(self) -> None:
        """Finishes what waits; `close` comes next. Safe to call at any time."""
        with suppress(StorageUnavailable):
            self._tell()
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(StorageUnavailable):
                await writer.detach()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _add(self, stored: list[Stored]) -> None:
        for position, size, digest in stored:
            record = Record(Place(*position), size, digest)
            self._recent.put(record)
            self._unsettled.append((record.place, digest))
            self._untold += size
        self._end = Place(record.place.segment, record.end)
        self._news = True
        if len(self._recent) >= TOLD_RECORDS or self._untold >= TOLD_BYTES:
            self._begin_to_tell()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TOLD_SECONDS, self._tell_if_quiet)

    def _tell_if_quiet(self) -> None:
        self._timer = None
        if self._news or self._telling:
            self._news = False
            self._timer = asyncio.get_running_loop().call_later(TOLD_SECONDS, self._tell_if_quiet)
        elif self._recent:
            self._begin_to_tell()

    def _begin_to_tell(self) -> None:
        if not self._telling:
            with suppress(StorageUnavailable):
                self._tell()

    def _tell(self) -> Outcome[None]:
        """Has the writing process tell the index of all that is durable now. Raises StorageUnavailable."""
        if self._writer is None:
            raise StorageUnavailable
        mark, end = self._mark(self._end), self._end
        telling = self._writer.order(Appender.tell, mark, end)
        telling.add_done_callback(lambda told: self._have_told(told.exception(), mark, end))
        self._telling, self._untold = True, 0
        return telling

    def _have_told(self, error: BaseException | None, mark: Place, end: Place) -> None:
        self._telling = False
        if error is not None:
            # The next attempt tells of these too. After a crash they are found behind the mark.
            log.warning("The index of the segments could not be written", exc_info=error)
            return
        self._told = mark
        for record in self._recent.before(end):
            del self._recent[record.digest]

    # For threads.

    def open(self) -> None:
        """Opens the index. Raises sqlite3.Error too, as do `look_again`, `admit` and `start`."""
        self._index.open()
        self._begin(trusting=False)

    def open_anew(self, why: sqlite3.Error) -> None:
        """The same with an empty index, where that which is there is damaged: all records are looked at."""
        self._index.open_anew(why)
        self._doubtful.clear()
        self._begin(trusting=True)

    def _begin(self, *, trusting: bool) -> None:
        self._trusting = trusting
        self._told = self._index.mark()
        self._scanning = self._scan_all(self._told)

    def look_again(self) -> None:
        """Begins to look behind the last record that is known, where a writing process that ended may have
        left more."""
        self._trusting = True
        self._index.add(self._recent.values(), self._told)
        self._recent.clear()
        self._scanning = self._scan_all(self._end)

    def look(self) -> list[Record]:
        """The next records that the catalog may not know, for `admit`; none when all were seen."""
        return list(islice(self._scanning, LOOK))

    def admit(self, known: list[Record], unknown: list[Record]) -> None:
        """Deletes the records that the catalog does not know, and adds the others to the index."""
        for record in unknown:
            if not self._is_inside_another(record):
                self._delete(record)
        mark = self._mark(self._scanned)
        self._index.add(
            [one for one in known if one.place not in self._doubtful or not self._index.find(one.digest)],
            mark,
        )
        self._told, self._end = mark, self._scanned

    def _is_inside_another(self, record: Record) -> bool:
        if record.place not in self._doubtful:
            return False
        before, _ = self._index.neighbours(record.place)
        return before is not None and before.end > record.place.offset

    def start(self) -> None:
        """Removes the segments that have no record. Raises sqlite3.DatabaseError if the index has lost those
        of one."""
        self._end = self._scanned
        used = self._index.segments() | {self._end.segment}
        used |= {record.place.segment for record in self._recent.values()}
        for number in segment_numbers(self._folder):
            if number not in used:
                if all(self._index.find(one.digest) for one in self._scan(number, 0)):
                    self._path(number).unlink()
                elif not self._trusting:
                    raise sqlite3.DatabaseError(f"it has lost the records of {number:08x}")
        self._doubtful.clear()
        self._scanned = self._end

    def close(self) -> None:
        """After `stop`. Safe to call at any time."""
        self._index.close()

    def find(self, digest: bytes) -> Record | None:
        """The record of a blob, if it is here."""
        try:
            return self._recent.get(digest) or self._index.find(digest)
        except sqlite3.Error as error:
            raise OSError(errno.EIO, "the index of the segments cannot be read") from error

    def read_afresh(self, record: Record) -> bytes:
        """As `read`, from the disk rather than from what the system has of it in memory. BlobCorrupt if the
        segment is gone, too."""
        try:
            return self.read(record, afresh=True)
        except FileNotFoundError as cause:
            raise BlobCorrupt from cause

    def read(self, record: Record, *, afresh: bool = False) -> bytes:
        """The bytes of a record. BlobCorrupt if they are not those that were stored."""
        descriptor = os.open(self._path(record.place.segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            if afresh:
                with suppress(OSError):
                    os.posix_fadvise(
                        descriptor, record.place.offset, HEAD.size + record.size, os.POSIX_FADV_DONTNEED
                    )
            whole = os.pread(descriptor, HEAD.size + record.size, record.place.offset)
        finally:
            os.close(descriptor)
        data = whole[HEAD.size :]
        if len(data) != record.size or hashlib.sha256(data).digest() != record.digest:
            raise BlobCorrupt
        return data

    def delete(self, digest: bytes) -> None:
        """Deletes a blob to which nobody refers, durably, and gives its space back."""
        record = self.find(digest)
        if record is not None:
            self._delete(record)

    def _mark(self, end: Place) -> Place:
        """The mark, once the index knows the records before `end`: the catalog may not know those behind."""
        while self._unsettled:
            place, digest = self._unsettled[0]
            if self._counts.is_unsettled(digest):
                return place
            self._unsettled.popleft()
        return end

    # Files.

    def _scan_all(self, mark: Place) -> Iterator[Record]:
        """The live records behind the mark. `_scanned` is always behind the last one that was given."""
        self._scanned = mark
        for number in segment_numbers(self._folder):
            if number >= mark.segment:
                yield from self._scan(number, mark.offset if number == mark.segment else 0)

    def _scan(self, number: int, start: int) -> Iterator[Record]:
        descriptor = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._scanned = Place(number, start)
            at: int | None = start
            doubtful = False
            size = os.fstat(descriptor).st_size
            while at is not None:
                head = os.pread(descriptor, HEAD.size, at)
                found = read_head(head, state=None)
                live = head[STATE : STATE + 1] == LIVE
                if found is not None and live:
                    data = os.pread(descriptor, min(found[0], size), at + HEAD.size)
                    if hashlib.sha256(data).digest() != found[1]:
                        found = None
                if found is None or (doubtful and not live):
                    # A torn or damaged record, or the hole of deleted ones: others may still follow. But what
                    # looks like a record from here on may be bytes inside of one. Its place is doubtful, and
                    # so is its size unless the bytes have its digest.
                    at, doubtful = next_head(descriptor, at + 1), True
                    continue
                place = Place(number, at)
                at += HEAD.size + found[0]
                self._scanned = Place(number, at)
                if live:
                    if doubtful:
                        self._doubtful.add(place)
                    yield Record(place, *found)
        finally:
            os.close(descriptor)

    def _delete(self, record: Record) -> None:
        """Marks a record as deleted, durably, gives its space back, and forgets it."""
        path = self._path(record.place.segment)
        try:
            with suppress(FileNotFoundError):
                mark_deleted(path, record.place.offset)  # of several at once, the disk makes one wait
            with self._forgetting:
                self._forget(path, record)
        except sqlite3.Error as error:
            full = isinstance(storage_error(error), StorageFull)
            number = errno.ENOSPC if full else errno.EIO
            raise OSError(number, "the index of the segments cannot be written") from error

    def _forget(self, path: Path, record: Record) -> None:
        """One after the other, so that a hole begins where the hole beside it ends: only a hole that has all
        of a block gives its space back."""
        start, end = record.place.offset, record.end
        if self._index.find(record.digest) == record:
            # The index knows all records before this one too, so there is nothing else between its
            # neighbours.
            before, after = self._index.neighbours(record.place)
            start = before.end if before else 0
            end = after.place.offset if after else end
        with suppress(FileNotFoundError):
            punch(path, start, end - start)
        self._index.remove(record.place)
        full = record.place.segment < self._end.segment
        # Before the index is asked, as a record leaves `_recent` only when the index has it.
        used = any(one.place.segment == record.place.segment for one in list(self._recent.values()))
        if full and not used and self._index.neighbours(record.place) == (None, None):
            path.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return segment_path(self._folder, number)
