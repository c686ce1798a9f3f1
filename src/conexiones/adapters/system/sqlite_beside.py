"""SQLite files of a server for programs beside it, which read them and leave them as they are."""

import errno
import os
import sqlite3
from pathlib import Path

from conexiones.adapters.system.sqlite_text import take_any_text

BUSY_TIMEOUT = 5000
"""Milliseconds to wait for the server."""


UNREADABLE = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What reading a damaged file raises. The driver fails with the second where SQLite quotes damaged text."""

_AROUND = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
"""Codes of failures that say nothing of the file."""


def is_damage(error: Exception) -> bool:
    """Whether one of UNREADABLE was raised for what is in the file, so that a backup would help."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF not in _AROUND


def open_beside(path: Path) -> sqlite3.Connection:
    """A connection for reading, whether the server runs or not. FileNotFoundError if the file is not there,
    another OSError if it may not be read; raises sqlite3.Error.

    Where there is a log (WAL), the server runs, or was killed: then the log stays as it is. Where there is
    none, SQLite makes an empty one for the time being, and only a connection that may write removes it. On a
    file system that is mounted for reading, such as a snapshot, it makes none: nobody changes the file.
    """
    path.stat()
    log = path.with_name(f"{path.name}-wal")
    has_log = log.exists() and log.stat().st_size > 0
    for_reading = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    how = "ro" if has_log or not os.access(path, os.W_OK) else "rw"
    if for_reading and not has_log:
        how = "ro&immutable=1"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={how}", uri=True, isolation_level=None, check_same_thread=False
    )
    take_any_text(connection)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA schema_version").fetchone()  # until here, SQLite has opened nothing
    except sqlite3.OperationalError as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CANTOPEN:
            raise
        # No damage, so that nobody restores a backup for it.
        if for_reading:
            says = "its log can be read only where SQLite may make a file beside it: copy the folder"
            raise OSError(errno.EROFS, says, str(path)) from error
        raise PermissionError(
            errno.EACCES, "it, or a file beside it, may not be opened", str(path)
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection
