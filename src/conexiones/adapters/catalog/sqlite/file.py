"""The SQLite file of the catalog: how it is opened for reading and for writing."""

import os
import sqlite3
from pathlib import Path

from conexiones.adapters.catalog.sqlite.migrations import bring_up
from conexiones.adapters.catalog.sqlite.row_sums import add_row_sum
from conexiones.adapters.catalog.sqlite.schema import prepare_to_write
from conexiones.adapters.catalog.sqlite.search import add_functions
from conexiones.adapters.system.disk import sync_folder
from conexiones.adapters.system.sqlite_text import take_any_text

STATEMENTS = 256
"""Statements that a connection keeps ready: those that add images are of many lengths."""

BUSY_TIMEOUT = 5000
"""Milliseconds to wait for another program that looks into the file, such as the sqlite3 shell."""


def connect(path: Path, *, query_only: bool = False) -> sqlite3.Connection:
    """A connection to the file, which must be there with its tables."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",  # never creates it
        uri=True,
        # None: the driver begins no transactions of its own. Ours begin with BEGIN.
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    take_any_text(connection)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    add_row_sum(connection)
    if query_only:
        add_functions(connection)
        connection.execute("PRAGMA query_only = ON")
    return connection


def connect_to_write(path: Path) -> sqlite3.Connection:
    """The connection for writing. A file that is not there is created, one of an older version is migrated.

    ValueError if a newer version wrote it. Raises OSError, sqlite3.Error.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite would use 0644; its other files take their mode from this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_folder(path.parent)
    connection = connect(path)
    try:
        bring_up(connection, path)
        prepare_to_write(connection)
    except BaseException:
        connection.close()
        raise
    return connection
