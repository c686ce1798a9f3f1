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

from conexiones.adapters.catalog.sqlite.schema import STEPS
from conexiones.adapters.system.disk import sync_file, sync_folder


def newest() -> int:
    """The newest version that this program knows."""
    return max(STEPS)


def bring_up(connection: sqlite3.Connection, path: Path) -> None:
    """Creates the tables in an empty file, or migrates those of an older version.

    ValueError if a newer version wrote the file, which is left as it is. Raises OSError, sqlite3.Error.
    """
    if (version := _version(connection)) > newest():
        raise ValueError(
            f"{path} has schema version {version}, and this server knows {newest()} at most:"
            " start the newer server that wrote it."
        )
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise ValueError(
            f"{path} is on a file system without shared memory: SQLite cannot use its WAL there."
        )
    # A step may replace a table that another refers to. SQLite ignores this pragma within a transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    # A writing process that is being killed may still be in its last commit. When this transaction has begun,
    # that commit is in the file, or never will be.
    with transaction(connection):
        version = _version(connection)
        if version == 0:
            while version < newest():
                version += 1
                _take_step(connection, version)
    if version < newest():
        _keep_aside(connection, path, version)
    while version < newest():
        version += 1
        with transaction(connection):
            _take_step(connection, version)
    connection.execute("PRAGMA foreign_keys = ON")


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
    try:
        connection.execute("VACUUM INTO ?", (str(unfinished),))
        sync_file(unfinished)
    except BaseException:
        # On a disk that it has filled, the older program could not go on.
        unfinished.unlink(missing_ok=True)
        raise
    unfinished.replace(kept)
    sync_folder(kept.parent)


def _take_step(connection: sqlite3.Connection, version: int) -> None:
    """Brings the tables from the version before to this one, in the transaction that is open."""
    for statement in STEPS[version]:
        connection.execute(statement)
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise sqlite3.IntegrityError(f"version {version} would leave references to rows that are gone")
    connection.execute(f"PRAGMA user_version = {version}")


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
