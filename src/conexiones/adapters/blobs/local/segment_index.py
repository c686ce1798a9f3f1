"""Where the records of the segments are: an SQLite file that can be made again from the segments.

So its commits are not synced (`synchronous=NORMAL`). After a power cut the index may be as it was a while
ago, and so is its mark, the place from which on the records have to be read again.
"""

import logging
import os
import sqlite3
from collections.abc import Collection, Iterable
from itertools import takewhile
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from conexiones.adapters.blobs.local.segment_records import HEAD

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    segment INTEGER,
    offset INTEGER,
    size INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (segment, offset)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS records_by_digest ON records (digest);
CREATE TABLE IF NOT EXISTS mark (id INTEGER PRIMARY KEY CHECK (id = 1), segment INTEGER, offset INTEGER);
"""

_INSERT = "INSERT OR REPLACE INTO records VALUES "

_CACHE = 16 << 20
"""Bytes of the index that may be in memory: digests come in any order, and each touches another page."""

_ROWS = 64
"""Rows of one statement, as each statement has a cost of its own."""


class Place(NamedTuple):
    """A position in a segment."""

    segment: int
    offset: int


class Record(NamedTuple):
    """A blob's record: where it begins, and the bytes of the blob."""

    place: Place
    size: int
    digest: bytes

    @property
    def end(self) -> int:
        """Where in its segment the next may begin."""
        return self.place.offset + HEAD.size + self.size


class Recent(dict[bytes, Record]):
    """Durable records of which the index may not know yet, by digest, in the order of their places."""

    def put(self, record: Record) -> None:
        # One of the same digest was damaged. The new one is the last in order.
        self.pop(record.digest, None)
        self[record.digest] = record

    def before(self, end: Place) -> list[Record]:
        return list(takewhile(lambda record: record.place < end, self.values()))


class SegmentIndex:
    """The index. Safe between threads; methods raise sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._reading = Lock()
        self._connections: list[sqlite3.Connection] = []

    def open(self) -> None:
        """Opens the file, or creates it. A damaged file is replaced by an empty one, without a mark."""
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self.open_anew(error)

    def open_anew(self, why: sqlite3.Error) -> None:
        """Opens an empty file in place of the one that is there."""
        log.warning("The index of small images cannot be used, and is made anew: %s", why)
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._open()

    def _open(self) -> None:
        # SQLite would use 0644; its other files take their mode from this one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._writer = self._connect()
        self._writer.execute("PRAGMA journal_mode = WAL")
        # A writing process that is being killed may still be in its last commit. When this transaction has
        # begun, that commit is in the file, or never will be.
        self._writer.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        self._reader = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA busy_timeout = 5000")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE >> 10}")
        self._connections.append(connection)
        return connection

    def join(self) -> None:
        """Opens the file in a second process, while the first has it open."""
        self._reader = self._writer = self._connect()

    def close(self) -> None:
        """Safe to call at any time."""
        while self._connections:
            self._connections.pop().close()

    def find(self, digest: bytes) -> Record | None:
        return self.find_all([digest]).get(digest)

    def find_all(self, digests: Collection[bytes]) -> dict[bytes, Record]:
        """The records of those of at most 1,000 digests that have one."""
        select = "SELECT segment, offset, size, digest FROM records WHERE digest IN"
        with self._reading:
            rows = self._reader.execute(
                f"{select} ({','.join('?' * len(digests))})", tuple(digests)
            ).fetchall()
        return {record.digest: record for record in map(_record, rows)}

    def neighbours(self, place: Place) -> tuple[Record | None, Record | None]:
        """The records before and after the place in its segment."""
        select = "SELECT segment, offset, size, digest FROM records WHERE segment = ? AND offset"
        with self._reading:
            before = _first(
                self._reader, f"{select} < ? ORDER BY offset DESC LIMIT 1", place.segment, place.offset
            )
            after = _first(self._reader, f"{select} > ? ORDER BY offset LIMIT 1", place.segment, place.offset)
        return before, after

    def segments(self) -> set[int]:
        """The numbers of the segments that have a record."""
        with self._reading:
            return {segment for (segment,) in self._reader.execute("SELECT DISTINCT segment FROM records")}

    def mark(self) -> Place:
        """The place before which there is no record that the index or the catalog might not know."""
        with self._reading:
            row = self._reader.execute("SELECT segment, offset FROM mark").fetchone()
        return Place(*row) if row else Place(0, 0)

    def add(self, records: Iterable[Record], mark: Place) -> None:
        """Adds records, each in place of one of the same digest, and sets the mark, in one transaction."""
        values = [
            value
            for record in records
            for value in (record.place.segment, record.place.offset, record.size, record.digest)
        ]
        with self._lock, self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            for start in range(0, len(values), 4 * _ROWS):
                some = values[start : start + 4 * _ROWS]
                insert = _INSERT + ",".join(["(?,?,?,?)"] * (len(some) // 4))
                self._writer.execute(insert, some)
            self._writer.execute("INSERT OR REPLACE INTO mark VALUES (1, ?, ?)", (mark.segment, mark.offset))

    def remove(self, place: Place) -> None:
        with self._lock:
            self._writer.execute(
                "DELETE FROM records WHERE segment = ? AND offset = ?", (place.segment, place.offset)
            )


def _first(connection: sqlite3.Connection, select: str, *values: object) -> Record | None:
    row = connection.execute(select, values).fetchone()
    return _record(row) if row else None


def _record(row: tuple[int, int, int, bytes]) -> Record:
    return Record(Place(row[0], row[1]), row[2], row[3])
