"""SQLite files of a server for programs beside it, which read them and leave them as they are."""

import os
import sqlite3
from pathlib import Path

BUSY_TIMEOUT = 5000
"""Milliseconds to wait for the server."""


UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises. The driver fails with the second where SQLite quotes damaged text."""


def open_beside(path: Path) -> sqlite3.Connection:
    """A connection for reading, whether the server runs or not. FileNotFoundError if the file is not there;
    raises sqlite3.Error.

    Where there is a log (WAL), the server runs, or was killed: then the log stays as it is. Where there is
    none, SQLite makes an empty one for the time being, and only a connection that may write removes it.
    """
    path.stat()
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    how = "ro" if has_log or not os.access(path, os.W_OK) else "rw"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={how}", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection
