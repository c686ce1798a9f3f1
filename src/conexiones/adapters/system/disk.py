"""What adapters on a local disk share: its failures as a caller sees them, and how bytes become durable."""

import errno
import os
import sqlite3
from pathlib import Path

from conexiones.errors import ConexionesError, StorageFull, StorageUnavailable

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, over the quota, over the file system's or the process's file size."""

LOST = frozenset({errno.EIO, errno.EUCLEAN, errno.EBADMSG})
"""The disk does not give the bytes any more, or the file system knows that it is damaged where they were."""


def storage_error(cause: OSError | sqlite3.Error) -> ConexionesError:
    """The error to raise from what the operating system or SQLite said."""
    if isinstance(cause, OSError):
        return StorageFull() if cause.errno in FULL else StorageUnavailable()
    code = getattr(cause, "sqlite_errorcode", 0)  # absent where the driver itself complains
    # The low byte of a code is its kind. SHMSIZE: no room for the WAL's index.
    full = code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE
    return StorageFull() if full else StorageUnavailable()


def as_storage_error(error: Exception) -> Exception:
    """The error for a caller, with `error` as its cause. What is no failure of the storage stays as it is."""
    if not isinstance(error, OSError | sqlite3.Error):
        return error
    found = storage_error(error)
    found.__cause__ = error
    return found


def sync_folder(folder: Path) -> None:
    """Makes the entries of a folder durable. Raises OSError."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(file: Path) -> None:
    """Makes the bytes of a file durable, whoever wrote them. Raises OSError."""
    _sync(file, 0)


def write_durably(path: Path, data: bytes) -> None:
    """Creates a file (0600), or replaces its content, and makes its bytes durable; not its name. Raises
    OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.pwritev(descriptor, [data], 0, os.RWF_DSYNC) != len(data):
            raise OSError(errno.ENOSPC, "only a part was written")
    finally:
        os.close(descriptor)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
