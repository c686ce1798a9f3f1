"""Space that is kept in reserve, so that deleting works on a full disk.

    root/ballast    SIZE bytes that nobody reads

Deleting an image writes too: to the logs of SQLite, and a marker. When that finds no space, the ballast is
given up. Until it is back, nothing but what frees space is written: otherwise other writers would take the
space before it helps. Whoever wants to write anything else tries to make the ballast again first.
"""

import errno
import os
from pathlib import Path
from threading import get_ident

from conexiones.adapters.system.disk import FULL

SIZE = 1 << 20
"""Bytes. Deleting an image takes less than a tenth of it."""

_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class Ballast:
    """The ballast in a folder. Safe between threads and processes. Methods block, for microseconds if there
    is nothing to do."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ballast"

    @property
    def is_held(self) -> bool:
        return self._path.exists()

    def hold(self) -> None:
        """Makes the ballast if it is not there. Raises OSError, ENOSPC if there is no space for it."""
        if self.is_held:
            return
        new = self._path.with_name(f"ballast.{os.getpid()}.{get_ident()}")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                _allocate(descriptor)
            finally:
                os.close(descriptor)
            new.replace(self._path)
        except OSError:
            new.unlink(missing_ok=True)
            raise

    def give_up(self) -> None:
        """Frees the space. A ballast that is not there is no error."""
        self._path.unlink(missing_ok=True)

    def give_up_if_full(self, error: OSError) -> None:
        """After `error`, what frees space is to be tried again. Raises the error if that cannot help."""
        if error.errno not in FULL:
            raise error
        self.give_up()

    def sweep(self) -> None:
        """Removes what a crash left, when nobody else uses the folder."""
        for left in self._path.parent.glob("ballast.*"):
            left.unlink()


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
    except OSError as error:
        if error.errno not in _NO_FALLOCATE:
            raise
        os.pwrite(descriptor, bytes(SIZE), 0)
