"""Space that is kept in reserve, so that deleting works on a full disk.

    root/ballast    SIZE bytes that nobody reads

Deleting an image writes too: to the logs of SQLite, and a marker. When that finds no space, STEP bytes of the
ballast are given up: not all at once, as another program may take what is free. Until the ballast is whole
again, nothing but what frees space is written: otherwise other writers would take the space before it helps.
Whoever wants to write anything else tries to make the ballast whole first.
"""

import errno
import os
from pathlib import Path

from conexiones.adapters.system.disk import FULL

FILE = "ballast"

SIZE = 1 << 20
"""Bytes."""

STEP = SIZE // 4
"""Bytes. Deleting an image takes less than half of it."""

_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class Ballast:
    """The ballast in a folder. Safe between threads and processes. Methods block, for microseconds if there
    is nothing to do."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    @property
    def is_held(self) -> bool:
        """Whether it is whole."""
        return self._size() >= SIZE

    def hold(self) -> None:
        """Makes the ballast whole if it is not. Raises OSError, ENOSPC if there is no space for it."""
        if self.is_held:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(descriptor).st_size
            try:
                _allocate(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)

    def give_up(self) -> bool:
        """Frees some of the space. Gives whether there was any left."""
        size = self._size()
        if size > STEP:
            os.truncate(self._path, size - STEP)
        else:
            self._path.unlink(missing_ok=True)
        return size > 0

    def give_up_if_full(self, error: OSError) -> None:
        """After `error`, what frees space is to be tried again. Raises the error if that cannot help."""
        if error.errno not in FULL:
            raise error
        self.give_up()

    def sweep(self) -> None:
        """Removes what a crash of an earlier version left, when nobody else uses the folder."""
        for left in self._path.parent.glob("ballast.*"):
            left.unlink()

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0


def _allocate(descriptor: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, SIZE)
    except OSError as error:
        if error.errno not in _NO_FALLOCATE:
            raise
        os.pwrite(descriptor, bytes(SIZE), 0)
