"""Small blobs, many to a file, so that one fsync makes all durable that came in at the same time.

    root/segments/<8 hex digits>      records, one behind the other; a new file is begun at SEGMENT bytes
    root/segments/index.sqlite3       where each blob's record is (segment_index.py)

A record is a head of 48 bytes, in big-endian order, and the blob's bytes:

    0   3   "CXB"
    3   1   "L" live, "D" deleted: the one byte that ever changes
    4   4   CRC-32 of bytes 8 to 47
    8   8   the blob's size
    16  32  its SHA-256

One thread appends: it takes all that waits, writes it with one call, syncs once, and tells everyone: the more
callers, the larger the group, and nobody waits for company. Another writes the index later, for many at once.

A crash may leave zeros behind the last record, a torn tail, or records that the catalog was never told of.
The index keeps a mark before which neither can be; `open` reads the records behind it, checks them, asks the
catalog, and deletes the rest. A record that is deleted gives its space back (a hole in the file), with those
beside it that were deleted before; a segment without a live record is removed. Whenever a record is read, its
bytes are checked by their SHA-256: damage is never served, and costs that record alone.
"""

import errno
import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from conexiones.adapters.claims import Claims
from conexiones.adapters.disk import sync_folder
from conexiones.adapters.segment_index import Place, Record, SegmentIndex
from conexiones.adapters.segment_records import (
    DELETED,
    HEAD,
    LIVE,
    STATE,
    head_of,
    next_head,
    punch,
    read_head,
    write_all,
)
from conexiones.adapters.waiting import Outcome
from conexiones.errors import BlobCorrupt, StorageUnavailable

SEGMENT = 1 << 30
"""Bytes at which a segment is full."""

GROUP = 4 << 20
"""Bytes that are written with one call,"""

GROUP_RECORDS = 256
"""and records, at the most."""

FEW = 4
AHEAD = 512 << 10
"""After a group of so few, there are up to so many bytes of zeros behind the last record."""

TOLD_RECORDS = 2048
TOLD_BYTES = 64 << 20
TOLD_SECONDS = 0.1
"""The index is told of so many records, or of records of so many bytes, at a time, or of fewer when no more
have come for that long."""

LOOK = 1000
"""Records that are looked at together when the store is opened."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Append:
    data: bytes
    outcome: Outcome[bytes]
    digest: bytes = b""  # when it is claimed
    error: BaseException | None = None


@dataclass(slots=True)
class _Group:
    """Appends that become durable together, and what of them has to be written."""

    appends: list[_Append] = field(default_factory=list)
    size: int = 0
    records: dict[bytes, Record] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)


class Segments:
    """The segments in a folder, which must be there. Each digest that `append` gives comes with a claim.

    To open: `open`, then `look` and `admit` in turn until there is nothing more to look at, then `start`. All
    but `append` belongs in threads; `find`, `read` and `remove` may be called from several at once.
    """

    def __init__(self, folder: Path, claims: Claims) -> None:
        self._folder = folder
        self._claims = claims
        self._index = SegmentIndex(folder / "index.sqlite3")
        self._queue: SimpleQueue[_Append | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._tell: Callable[[Callable[[], None]], None]
        self._indexing = Lock()
        self._told = Place(0, 0)  # the mark of the index
        self._doubtful: set[Place] = set()  # found by `look` where a head before was damaged
        # From here on the appending thread's own, but that others look into `_recent`.
        self._descriptor = -1
        self._end = Place(0, 0)
        self._zeroed = 0  # there are zeros up to there
        self._recent: dict[bytes, Record] = {}  # durable, and not in the index yet
        self._untold = 0  # bytes that came since the index was to be told last
        self._marks: SimpleQueue[Place | None] = SimpleQueue()  # to tell the index of
        self._telling = False
        self._unsettled: dict[Place, bytes] = {}  # records that the catalog may not know yet, in order

    # On the event loop.

    def append(self, data: bytes, outcome: Outcome[bytes]) -> None:
        """Stores a blob; its digest is the outcome. Raises StorageUnavailable if it is not open."""
        if self._thread is None:
            raise StorageUnavailable
        self._queue.put(_Append(data, outcome))

    # In threads.

    def open(self, tell: Callable[[Callable[[], None]], None]) -> None:
        """`tell` calls a function on the event loop. Raises OSError, sqlite3.Error."""
        self._tell = tell
        self._index.open()
        self._told = self._index.mark()
        self._scanning = self._scan_all(self._told)

    def look(self) -> list[Record]:
        """The next records that the catalog may not know, to be told to `admit`; none when all were seen."""
        return list(islice(self._scanning, LOOK))

    def admit(self, known: list[Record], unknown: list[Record]) -> None:
        """Deletes the records that the catalog does not know, and takes in the others."""
        for record in unknown:
            if not self._is_inside_another(record):
                self._delete(record)
        self._told = self._end
        self._index.add(
            [one for one in known if one.place not in self._doubtful or not self._index.find(one.digest)],
            self._told,
        )

    def _is_inside_another(self, record: Record) -> bool:
        if record.place not in self._doubtful:
            return False
        before, _ = self._index.neighbours(record.place)
        return before is not None and before.place.offset + HEAD.size + before.size > record.place.offset

    def start(self) -> None:
        """Removes segments without a record, and begins to append."""
        self._begin(self._end.segment)
        used = self._index.segments() | {self._end.segment}
        for number in self._numbers():
            if number not in used:
                self._path(number).unlink()
        self._doubtful.clear()
        self._thread = Thread(target=self._serve, name="segments", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finishes what waits. Safe to call at any time."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()
        self._close_segment()
        self._index.close()

    def find(self, digest: bytes) -> Record | None:
        """The record of a blob, if it is here."""
        try:
            return self._recent.get(digest) or self._index.find(digest)
        except sqlite3.Error as error:
            raise OSError(errno.EIO, "the index of the segments cannot be read") from error

    def read(self, record: Record) -> bytes:
        """The bytes of a record. BlobCorrupt if they are not those that were stored."""
        descriptor = os.open(self._path(record.place.segment), os.O_RDONLY | os.O_CLOEXEC)
        try:
            whole = os.pread(descriptor, HEAD.size + record.size, record.place.offset)
        finally:
            os.close(descriptor)
        data = whole[HEAD.size :]
        if len(data) != record.size or hashlib.sha256(data).digest() != record.digest:
            raise BlobCorrupt
        return data

    def remove(self, digest: bytes) -> None:
        """Removes a blob that nobody claims, durably, and gives its space back. Raises OSError."""
        record = self.find(digest)
        if record is not None:
            self._delete(record)

    # The appending thread.

    def _serve(self) -> None:
        telling = Thread(target=self._serve_index, name="segments-index", daemon=True)
        telling.start()
        closing = False
        while not closing:
            group = _Group()
            append = self._next()
            with suppress(Empty):
                while append is not None:
                    group.appends.append(append)
                    group.size += len(append.data)
                    if group.size >= GROUP or len(group.appends) == GROUP_RECORDS:
                        break
                    append = self._queue.get_nowait()
            closing = append is None
            if group.appends:
                self._store(group)
                if len(group.appends) <= FEW and self._queue.empty():
                    self._zero_ahead()
        self._marks.put(None)
        telling.join()
        self._tell_index(self._mark())

    def _next(self) -> _Append | None:
        """The next that comes; the index is told when there are enough for it, or no more come."""
        while self._recent:
            few = len(self._recent) < TOLD_RECORDS and self._untold < TOLD_BYTES
            if few or self._telling:
                with suppress(Empty):
                    return self._queue.get(timeout=TOLD_SECONDS)
            if not self._telling:
                self._telling, self._untold = True, 0
                self._marks.put(self._mark())
                break
        return self._queue.get()

    def _serve_index(self) -> None:
        while (mark := self._marks.get()) is not None:
            self._tell_index(mark)
            self._telling = False

    def _store(self, group: _Group) -> None:
        try:
            self._write(group)
        except Exception as error:
            log.warning("A group of %d blobs was not stored", len(group.appends), exc_info=error)
            self._abandon(group, error)
        self._recent.update(group.records)
        self._untold += group.size
        with suppress(RuntimeError):  # the loop was closed without close(): nobody to tell
            self._tell(lambda: _resolve(group.appends))

    def _tell_index(self, mark: Place | None = None) -> None:
        """Until it knows them, a start has the more to look at. In any thread."""
        try:
            with self._indexing:
                self._told = mark or self._told
                recent = list(self._recent.values())
                self._index.add(recent, self._told)
                for record in recent:
                    now = self._recent.pop(record.digest, record)
                    if now is not record:  # it was damaged, and stored again meanwhile
                        self._recent.setdefault(record.digest, now)
        except sqlite3.Error:
            # Tried again with the next; after a crash the records speak for themselves.
            log.warning("The index of the segments could not be written", exc_info=True)

    def _write(self, group: _Group) -> None:
        if self._end.offset >= SEGMENT or self._descriptor < 0:
            self._begin(self._end.segment + 1)
        offset = self._end.offset
        for append in group.appends:
            digest = hashlib.sha256(append.data).digest()
            self._claims.make(digest)  # from now on nobody removes it
            append.digest = digest
        indexed = self._index.find_all({append.digest for append in group.appends})
        for append in group.appends:
            digest = append.digest
            if digest in group.records or self._is_there(self._recent.get(digest) or indexed.get(digest)):
                continue
            place = Place(self._end.segment, offset)
            group.records[digest] = Record(place, len(append.data), digest)
            group.parts += (head_of(append.data, digest), append.data)
            offset += HEAD.size + len(append.data)
        if group.parts:
            write_all(self._descriptor, group.parts, self._end.offset)
        self._end = Place(self._end.segment, offset)
        for record in group.records.values():
            self._unsettled[record.place] = record.digest

    def _zero_ahead(self) -> None:
        """Writes zeros behind the end: where there is something already, a write is durable without the file
        system's journal, in half the time. Done while nobody waits, for those who come one by one."""
        start, end = max(self._zeroed, self._end.offset), self._end.offset + AHEAD
        if self._descriptor >= 0 and start < end - AHEAD // 2:
            with suppress(OSError):
                os.pwritev(self._descriptor, [bytes(end - start)], start, os.RWF_DSYNC)
                self._zeroed = end

    def _abandon(self, group: _Group, error: Exception) -> None:
        """Nothing of the group counts. What of it is on the disk nobody refers to: it is written over, or, if
        even that cannot be relied on, left behind in a segment that gets no more."""
        group.records.clear()
        for append in group.appends:
            if append.digest:
                self._claims.forget(append.digest)
            append.error = error
        try:
            self._cut_off()
            os.fdatasync(self._descriptor)
        except OSError:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

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

    def _mark(self) -> Place:
        for place, digest in list(self._unsettled.items()):
            if self._claims.held(digest):
                return place
            del self._unsettled[place]
        return self._end

    # Files.

    def _begin(self, number: int) -> None:
        """Opens the segment to append to, behind its last record."""
        path = self._path(number)
        self._close_segment()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_folder(self._folder)
        end = os.fstat(self._descriptor).st_size
        if self._end.segment == number and self._end.offset < end:  # a torn tail
            os.ftruncate(self._descriptor, self._end.offset)
            end = self._end.offset
        self._end = Place(number, end)
        self._zeroed = end

    def _cut_off(self) -> None:
        """Removes what is behind the end."""
        os.ftruncate(self._descriptor, self._end.offset)
        self._zeroed = self._end.offset

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                self._cut_off()
            os.close(self._descriptor)
            self._descriptor = -1

    def _scan_all(self, mark: Place) -> Iterator[Record]:
        """The live records behind the mark. `_end` is always behind the last that was given."""
        self._end = mark
        for number in self._numbers():
            if number >= mark.segment:
                yield from self._scan(number, mark.offset if number == mark.segment else 0)

    def _scan(self, number: int, start: int) -> Iterator[Record]:
        descriptor = os.open(self._path(number), os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._end = Place(number, start)
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
                    # Torn or damaged, or the hole of what was deleted: others may still follow. But what
                    # looks like a record may be bytes of one: its size, unless they have its digest, and its
                    # place are doubtful.
                    at, doubtful = next_head(descriptor, at + 1), True
                    continue
                place = Place(number, at)
                at += HEAD.size + found[0]
                self._end = Place(number, at)
                if live:
                    if doubtful:
                        self._doubtful.add(place)
                    yield Record(place, *found)
        finally:
            os.close(descriptor)

    def _delete(self, record: Record) -> None:
        """Marks a record as deleted, durably, gives its space back, and forgets it."""
        start, end = record.place.offset, record.place.offset + HEAD.size + record.size
        path = self._path(record.place.segment)
        if record.digest in self._recent:
            self._tell_index()
        try:
            if self._index.find(record.digest) == record:
                # Those before it are in the index too, so between its neighbours there is nothing else.
                before, after = self._index.neighbours(record.place)
                start = before.place.offset + HEAD.size + before.size if before else 0
                end = after.place.offset if after else end
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    os.pwrite(descriptor, DELETED, record.place.offset + STATE)
                    os.fdatasync(descriptor)
                    punch(descriptor, start, end - start)
                finally:
                    os.close(descriptor)
            with self._indexing:
                self._recent.pop(record.digest, None)
                self._index.remove(record.place)
                full = record.place.segment < self._end.segment
                used = any(one.place.segment == record.place.segment for one in list(self._recent.values()))
                if full and not used and self._index.neighbours(record.place) == (None, None):
                    path.unlink(missing_ok=True)
        except sqlite3.Error as error:
            raise OSError(errno.EIO, "the index of the segments failed") from error

    def _numbers(self) -> list[int]:
        return sorted(
            int(path.name, 16) for path in self._folder.iterdir() if len(path.name) == 8 and not path.suffix
        )

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08x}"


def _resolve(appends: list[_Append]) -> None:
    for append in appends:
        append.outcome.decide(append.digest, append.error)
