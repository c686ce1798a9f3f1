"""What the adapters on a local disk share: failures and folders."""

import errno
import os
from pathlib import Path

from conexiones.errors import ConexionesError, StorageFull, StorageUnavailable

# No space, over the quota, over the file system's or the process's file size.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def storage_error(cause: OSError) -> ConexionesError:
    """The error to raise from what the operating system said."""
    return StorageFull() if cause.errno in _FULL else StorageUnavailable()


def sync_folder(folder: Path) -> None:
    """Makes the entries of a folder durable. Raises OSError."""
    _sync(folder, os.O_DIRECTORY)


def sync_file(file: Path) -> None:
    """Makes the bytes of a file durable, whoever wrote them. Raises OSError."""
    _sync(file, 0)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
