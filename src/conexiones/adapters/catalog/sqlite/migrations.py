"""How the catalog's file becomes one of this version: created, or migrated from the version that wrote it.

`PRAGMA user_version` is the version of the tables. Each step to the next version is a transaction of its own:
kill -9 in the middle of a migration leaves a file of one version or the next, and the following start goes on
from there.

Before the first step of a start, the file as it was is kept aside as `<file>.v<its version>`, from which the
older program can be started again, without what was stored since. The server never removes that copy, nor
reads it: the operator does, when the newer version has proved itself. Where there is no space for the copy
nothing is migrated, and the server does not start.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conexiones.adapters.catalog.sqlite.schema import create
from conexiones.adapters.system.disk import sync_file, sync_folder

STEPS: dict[int, tuple[str, ...]] = {
    2: (  # uploads and events; images by time, users by image
        "CREATE INDEX images_by_time ON images (create_time)",
        "CREATE INDEX users_by_image ON users (image_id)",
        """
        CREATE TABLE events (
            sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            image_id TEXT NOT NULL,
            user TEXT,
            time INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE uploads (
            id TEXT NOT NULL,
            request_id TEXT NOT NULL,
            state TEXT NOT NULL,
            committed_size INTEGER NOT NULL,
            declared_size INTEGER,
            writer_epoch INTEGER NOT NULL,
            user TEXT,
            image_id TEXT,
            failure TEXT,
            create_time INTEGER NOT NULL,
            update_time INTEGER NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (request_id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX uploads_by_state ON uploads (state, update_time)",
    ),
    3: (  # facts
        """
        CREATE TABLE facts (
            digest BLOB NOT NULL,
            problem TEXT NOT NULL,
            color_space TEXT NOT NULL,
            bits_per_sample INTEGER NOT NULL,
            has_alpha BOOLEAN NOT NULL,
            dominant_color TEXT NOT NULL,
            blur_hash TEXT NOT NULL,
            PRIMARY KEY (digest)
        ) WITHOUT ROWID
        """,
    ),
    4: (  # images without a user are not in images_by_user
        "DROP INDEX images_by_user",
        "CREATE INDEX images_by_user ON images (user, id) WHERE user IS NOT NULL",
    ),
}
"""The statements that make the tables of each version from those of the version before. A released step never
changes; a new one comes with the same change of schema.py, which is what a new file gets."""


def newest() -> int:
    """The version of the tables in schema.py, which is the newest that this program knows."""
    return max(STEPS)


def bring_up(connection: sqlite3.Connection, path: Path) -> None:
    """Creates the tables in an empty file, or migrates those of an older version.

    ValueError if a newer version wrote the file, which is left as it is. Raises OSError, sqlite3.Error.
    """
    _refuse_newer(connection, path)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise ValueError(
            f"{path} is on a file system without shared memory: SQLite cannot use its WAL there."
        )
    # A writing process that is being killed may still be in its last commit. When this transaction has begun,
    # that commit is in the file, or never will be.
    with transaction(connection):
        version = _version(connection)
        if version == 0:
            version = newest()
            create(connection)
            connection.execute(f"PRAGMA user_version = {version}")
    if version < newest():
        _keep_aside(connection, path, version)
        for number in range(version + 1, newest() + 1):
            _migrate(connection, number)


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    if (version := _version(connection)) > newest():
        raise ValueError(
            f"{path} has schema version {version}, and this server knows {newest()} at most:"
            " start the newer server that wrote it."
        )


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _keep_aside(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Copies the file, durably. A copy of an earlier attempt is replaced, whole: the older program may have
    stored more since."""
    kept = path.with_name(f"{path.name}.v{version}")
    unfinished = kept.with_name(f"{kept.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    # SQLite would use 0644.
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection.execute("VACUUM INTO ?", (str(unfinished),))
    sync_file(unfinished)
    unfinished.replace(kept)
    sync_folder(kept.parent)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Brings the tables from the version before to this one."""
    # A step may replace a table that another refers to. SQLite ignores this pragma within a transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    with transaction(connection):
        for statement in STEPS[version]:
            connection.execute(statement)
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise sqlite3.IntegrityError(f"version {version} would leave references to rows that are gone")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("PRAGMA foreign_keys = ON")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits at the end; rolls back, and raises, what the body or the commit raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise
