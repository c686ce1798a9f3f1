"""The file that a download grows in, written past the page cache where the file system lets it."""

import fcntl
import os
from mmap import mmap
from pathlib import Path

from conexiones.direct_file import BLOCK, DirectFile

PIECE_BYTES = 4 << 20
"""Bytes that are written with one call."""


class Part:
    """The file "<name>.part", of this process alone. Everything blocks: it runs in threads, one at a time.

    To touch fresh pages of the page cache takes longer than the network, so bytes gather in memory that is
    used again and again. What was written is in the file after `flush`.
    """

    def __init__(self, path: Path) -> None:
        """Opens it, or creates it. Raises OSError, BlockingIOError if another process writes the same."""
        self._path = path
        self._file = DirectFile(path, os.O_CREAT, mode=0o666)
        try:
            fcntl.flock(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            self._file.close()
            raise
        self._memory = memoryview(mmap(-1, PIECE_BYTES))
        self._begin(0)

    def _begin(self, offset: int) -> None:
        """The next bytes are those from `offset` on: a block of the file is one of memory."""
        self._offset = offset
        self._start = self._end = offset % BLOCK

    @property
    def size(self) -> int:
        return os.fstat(self._file.descriptor).st_size

    def read(self) -> bytes:
        """The next bytes of what there is, of which one then goes on behind the last."""
        piece = os.pread(self._file.descriptor, PIECE_BYTES, self._offset)
        self._begin(self._offset + len(piece))
        return piece

    def empty(self) -> None:
        """Begins again."""
        os.ftruncate(self._file.descriptor, 0)
        self._begin(0)

    def write(self, data: bytes | memoryview) -> int:
        rest = memoryview(data)
        while rest:
            taken = min(len(rest), PIECE_BYTES - self._end)
            self._memory[self._end : self._end + taken] = rest[:taken]
            self._end += taken
            rest = rest[taken:]
            if self._end == PIECE_BYTES:
                self.flush()
        return len(data)

    def flush(self) -> None:
        if self._start < self._end:
            self._file.write([self._memory[self._start : self._end]], self._offset)
            self._begin(self._offset + self._end - self._start)

    def become(self, path: Path) -> None:
        """Takes that name, durably, and instead of what has it."""
        self.flush()
        os.fsync(self._file.descriptor)
        self._path.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """What was not flushed is lost. An empty file goes: there is nothing to go on with."""
        if not self.size and self._path.exists():
            self._path.unlink()
        self._file.close()
