"""How many bytes the large blobs have, without a walk through all of them whenever somebody asks."""

import os
import threading
from contextlib import suppress
from pathlib import Path

FOLDERS = 256


class FileSizes:
    """Of the files in the 256 folders of `blobs`. Safe between threads.

    `look` counts those of one folder after the other, so that after FOLDERS calls all are known. What is
    published and deleted is counted meanwhile. Should something have been missed, the next round finds it.
    """

    def __init__(self, blobs: Path) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._sizes = [0] * FOLDERS
        self._next = 0
        self._changed = False  # the folder that is being counted

    @property
    def is_complete(self) -> bool:
        """Whether each folder was counted once."""
        return self._next >= FOLDERS

    def total(self) -> int:
        return max(0, sum(self._sizes))

    def change(self, digest: bytes, by: int) -> None:
        """A blob has come, or gone with less than 0 bytes."""
        with self._lock:
            self._sizes[digest[0]] += by
            self._changed |= digest[0] == self._next % FOLDERS

    def look(self) -> None:
        """Counts the next folder; not if it changes meanwhile. Raises OSError."""
        number = self._next % FOLDERS
        self._changed = False
        found = 0
        with os.scandir(self._blobs / f"{number:02x}") as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # deleted a moment ago
                    found += entry.stat().st_size
        with self._lock:
            if not self._changed:
                self._sizes[number] = found
            self._next += 1
