"""The catalog's file for programs beside the server: they read it while the server writes, check it, and copy
it. Nothing here changes the file of a data folder; `remove_contents` and `prepare_restored` change copies.

All of it blocks, and raises OSError and sqlite3.Error.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from conexiones.adapters.catalog.sqlite.file import connect
from conexiones.adapters.catalog.sqlite.layout import layout_problems
from conexiones.adapters.catalog.sqlite.migrations import newest, transaction
from conexiones.adapters.catalog.sqlite.transactions import (
    all_rows,
    delete_image,
    get_upload,
    has_digest,
    identity,
    newest_event,
)
from conexiones.adapters.catalog.tables import TABLES
from conexiones.adapters.system.disk import sync_file
from conexiones.adapters.system.sqlite_beside import UNREADABLE, open_beside
from conexiones.adapters.system.sqlite_text import take_any_text
from conexiones.ports.records import ImageRecord, UploadRecord

PAGES = 2048
"""Pages of the file that are copied between two calls of `progress`."""

_DIGEST_BYTES = 32

PROBLEMS = 100
"""The most problems that SQLite names."""

JUMP = 1 << 32
"""By how much the numbers of events go on in a restored catalog. Whoever has watched the server since the
backup has the number of an event that a restored server would give again, to another event."""


class Contents(NamedTuple):
    """Bytes that images have: their digest, how many they are, and how many images have them."""

    digest: bytes
    size: int
    images: int


class CatalogFile:
    """A catalog that is open for reading. Used by one thread at a time."""

    def __init__(self, path: Path, *, alone: bool = False) -> None:
        """`alone`: nobody else uses the file, and it is all there is, as of the copy in a backup. That may
        be of an earlier version of the program.

        FileNotFoundError if it is not there; ValueError, whose sentence says what to do, if another version
        of the program wrote it.
        """
        self._connection = _open_alone(path) if alone else open_beside(path)
        try:
            self.schema: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
            _check_version(path, self.schema, older=alone)
            self.identity = identity(self._connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def problems(self) -> list[str]:
        """What is wrong with tables and indexes, with each other and in themselves."""
        found: list[str] = [
            text
            for (text,) in self._connection.execute(f"PRAGMA integrity_check({PROBLEMS})")
            if text != "ok"
        ]
        if not found:
            found = layout_problems(self._connection, self.schema)
        if not found:
            found = [
                f"a row of {table} refers to a row of {parent} that is missing"
                for table, _, parent, _ in self._connection.execute("PRAGMA foreign_key_check")
            ]
        return found[:PROBLEMS]

    def totals(self) -> tuple[int, int, int]:
        """How many images there are, how many different contents they have, and the bytes of the contents."""
        ((images, contents, size),) = self._connection.execute(
            "SELECT (SELECT count(*) FROM images), count(*), coalesce(sum(size), 0)"
            " FROM (SELECT max(size) AS size FROM images GROUP BY digest)"
        ).fetchall()
        return images, contents, size

    def contents(self) -> Iterator[Contents]:
        """All contents of all images, in the order in which they came, which is about that of their places on
        the disk. The iterator holds its snapshot. It raises sqlite3.DatabaseError at a row that no server has
        written: a digest is a part of paths."""
        asked = "SELECT digest, max(size), count(*) FROM images GROUP BY digest ORDER BY min(id)"
        for digest, size, images in self._connection.execute(asked):
            if not isinstance(digest, bytes) or len(digest) != _DIGEST_BYTES or not isinstance(size, int):
                raise sqlite3.DatabaseError("an image has a digest or a size that is none")
            yield Contents(digest, size, images)

    def images(self, before: str | None, limit: int) -> list[tuple[ImageRecord, bool]]:
        """The newest images with ids less than `before`, each with whether its row is what was written."""
        return all_rows(self._connection, before, limit)

    def has_digest(self, digest: bytes) -> bool:
        return has_digest(self._connection, digest)

    def open_uploads(self) -> list[str]:
        """The ids of the uploads under way."""
        asked = "SELECT id FROM uploads WHERE state = 'OPEN' ORDER BY id"
        return [upload_id for (upload_id,) in self._connection.execute(asked)]

    def upload(self, upload_id: str) -> UploadRecord | None:
        return get_upload(self._connection, upload_id)

    def images_of(self, digest: bytes, limit: int) -> list[str]:
        """The ids of images that have a content, at most so many."""
        asked = "SELECT id FROM images WHERE digest = ? ORDER BY id LIMIT ?"
        return [image_id for (image_id,) in self._connection.execute(asked, (digest, limit))]

    def rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        """All rows of one of TABLES."""
        return self._connection.execute(f"SELECT {', '.join(TABLES[table])} FROM {table} ORDER BY 1")  # noqa: S608 (our own names)

    def row_count(self) -> int:
        """The rows of all of TABLES together."""
        counts = " + ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)  # noqa: S608 (our own names)
        ((rows,),) = self._connection.execute(f"SELECT {counts}").fetchall()
        return int(rows)

    def newest_event(self) -> int:
        return newest_event(self._connection)

    def copy(self, into: Path, progress: Callable[[int, int], None]) -> None:
        """Copies the catalog as it is at one moment to a new file (0600), durably but for its name. Whoever
        writes goes on meanwhile. `progress` gets the pages that were copied, and all pages.

        The copy is one file, without a WAL, so that it can be on any file system.
        """
        os.close(os.open(into, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(into, isolation_level=None)) as target:
            # With this mode SQLite needs no shared memory, which not all file systems have.
            target.execute("PRAGMA locking_mode = EXCLUSIVE")
            target.execute("PRAGMA synchronous = OFF")
            # One transaction for all steps: otherwise each commit of the server would begin the copy anew.
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                self._connection.backup(
                    target, pages=PAGES, progress=lambda _, left, total: progress(total - left, total)
                )
            finally:
                self._connection.execute("ROLLBACK")
            target.execute("PRAGMA journal_mode = DELETE").fetchone()
        sync_file(into)


def fault_of_kept(path: Path) -> str:
    """What SQLite finds wrong with a catalog that was kept aside, of whatever version; empty if nothing."""
    try:
        with closing(_open_alone(path)) as kept:
            ((found,),) = kept.execute("PRAGMA integrity_check(1)").fetchall()
            return "" if found == "ok" else str(found)
    except UNREADABLE as error:
        return str(error)


def remove_contents(path: Path, digests: Iterable[bytes], now: int) -> int:
    """Takes all images of these contents out of a copy, as the server does when they are deleted. Gives how
    many they were."""
    removed = 0
    with closing(_connect_alone(path)) as connection, transaction(connection):
        for digest in digests:
            ids = connection.execute("SELECT id FROM images WHERE digest = ?", (digest,)).fetchall()
            for (image_id,) in ids:
                delete_image(connection, image_id, now)
            removed += len(ids)
    sync_file(path)
    return removed


def prepare_restored(path: Path, now: int) -> int:
    """Makes a copy ready for a server that goes on with it. Gives how many uploads were under way, whose
    bytes are in no backup: they are EXPIRED, upon which clients begin anew.

    Events are forgotten, so that everybody who watches gets a Resync instead of events of another past.
    """
    with closing(_connect_alone(path)) as connection, transaction(connection):
        ended = connection.execute(
            "UPDATE uploads SET state = 'EXPIRED', update_time = ? WHERE state = 'OPEN'", (now,)
        ).rowcount
        connection.execute("DELETE FROM events")
        if not connection.execute(
            "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'events'", (JUMP,)
        ).rowcount:
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (JUMP,))
    sync_file(path)
    return ended


def _open_alone(path: Path) -> sqlite3.Connection:
    path.stat()
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    take_any_text(connection)
    return connection


def _connect_alone(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def _check_version(path: Path, version: int, *, older: bool) -> None:
    if version > newest():
        raise ValueError(
            f"{path} has schema version {version}, and this program knows {newest()} at most:"
            " use the newer one that wrote it."
        )
    if version < newest() and not older:
        raise ValueError(
            f"{path} has schema version {version}, and this program {newest()}: start its server once, which"
            " migrates it, or use the program that wrote it."
        )
