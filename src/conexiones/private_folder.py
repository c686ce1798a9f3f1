"""Private folders of a running server: for the socket of Envoy's administration and copies of its key, for
copies of blobs, and for all else that is of no use after it."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "conexiones-"
"""How the name of a private folder begins."""

_LOCK = "private.lock"
"""Not as in data folders and in folders of backups: whatever these are called, nobody removes them."""


@contextmanager
def private_folder(place: Path | None = None) -> Iterator[Path]:
    """A new folder (0700) in `place`, or among the temporary ones, which is removed at the end.

    If the server is killed, the next server of the same user removes its folder, whatever data folder that
    one has: it removes all private folders whose lock nobody holds.

    The folder itself is locked, too, so that nothing of it is cleaned up as old: systemd-tmpfiles(8), which
    does that among temporary files after some days, passes folders by that are locked.
    """
    place = place or Path(tempfile.gettempdir())
    _sweep(place)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place) as folder:
        held = [_lock(Path(folder)), os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            with suppress(OSError):  # not all file systems can lock a folder
                fcntl.flock(held[1], fcntl.LOCK_SH | fcntl.LOCK_NB)
            yield Path(folder)
        finally:
            for descriptor in held:
                os.close(descriptor)


def _lock(folder: Path) -> int:
    """The descriptor of the lock's file. The file gets its name when it is locked, so that no other server
    finds it in between and takes this folder for one that was left."""
    unnamed = folder / f"{_LOCK}.new"
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    unnamed.rename(folder / _LOCK)
    return descriptor


def _sweep(temporary: Path) -> None:
    for folder in temporary.glob(f"{PREFIX}*"):
        remove_left(folder)


def remove_left(folder: Path) -> None:
    """Removes a private folder of a server that was killed, if it is one: whoever names it may be wrong."""
    with suppress(OSError):  # it is not ours, has no lock, is in use, or another server removes it too
        _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    """Raises OSError if the folder is in use, or is no private folder."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(lock)
