"""The SQLite file of the catalog: how it is opened, and what its failures are to a caller."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conexiones.adapters.catalog.sqlite.schema import VERSION, create, prepare_to_write
from conexiones.adapters.system.disk import storage_error, sync_folder
from conexiones.errors import StorageFull, StorageUnavailable

STATEMENTS = 256
"""Statements that a connection keeps ready: those that add images are of many lengths."""

BUSY_TIMEOUT = 5000
"""Milliseconds to wait for another program that looks into the file, such as the sqlite3 shell."""


def connect(path: Path, *, query_only: bool = False) -> sqlite3.Connection:
    """A connection to the file, which must be there with its schema."""
    connection = sqlite3.connect(
        path,
        # None: the driver begins no transactions of its own, we say BEGIN where we mean it.
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if query_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def connect_to_write(path: Path) -> sqlite3.Connection:
    """The connection for writing; the file and what is missing in it are created.

    ValueError if a newer version wrote it. Raises OSError, sqlite3.Error.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite would use 0644; its other files take their mode from this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_folder(path.parent)
    connection = connect(path)
    try:
        _prepare(connection, path)
        prepare_to_write(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Creates the schema in an empty file, or brings an older one up; refuses what a newer version wrote."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise ValueError(
            f"{path} has schema version {version}, and this server knows {VERSION} at most:"
            " start the newer server that wrote it."
        )
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise ValueError(
            f"{path} is on a file system without shared memory: SQLite cannot use its WAL there."
        )
    # A writer that is being killed may still be in its last commit: after this it is in the file, or not.
    with transaction(connection):
        if version < VERSION:
            create(connection)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def failure(error: Exception) -> Exception:
    """The error for the caller, its cause chained; what is no failure of the storage stays as it is."""
    if isinstance(error, OSError):
        found: Exception = storage_error(error)
    elif isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0)  # absent where the driver itself complains
        # SHMSIZE: no room for the WAL's index. The low byte of a code is its kind.
        full = code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
        found = StorageFull() if full else StorageUnavailable()
    else:
        return error
    found.__cause__ = error
    return found
