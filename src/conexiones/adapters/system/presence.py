"""Whether a file or folder that is in use is still under its path."""

import errno
from pathlib import Path


class Presence:
    """A file that is open, or a folder that is in use. What is written to one that was deleted, or on a file
    system that was unmounted, is lost, though no write fails."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._found = self._look()

    def check(self) -> None:
        """Raises OSError if it has gone, or something else has taken its place. Takes about 2 µs."""
        try:
            same = self._look() == self._found
        except FileNotFoundError:
            same = False
        if not same:
            raise OSError(errno.ESTALE, f"{self._path} has gone while the server was using it")

    def _look(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_dev, found.st_ino
