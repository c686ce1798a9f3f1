"""The file into which a download is written, past the page cache where the file system allows it."""

import fcntl
import os
from mmap import mmap
from pathlib import Path

from conexiones.direct_file import BLOCK, DirectFile

PIECE_BYTES = 4 << 20
"""Bytes that are written with one system call."""


class Part:
    """The file "<name>.part", locked by this process. All methods block: call them in threads, one at a time.

    Filling fresh pages of the page cache takes longer than receiving the bytes, so the bytes are collected in
    one buffer that is reused. They are in the file after `flush`.
    """

    def __init__(self, path: Path) -> None:
        """Opens or creates the file. Raises OSError; BlockingIOError if another process writes to it."""
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
        """Sets the offset of the next bytes. The buffer is filled from the same place within a block, so that
        blocks of the file are blocks of memory."""
        self._offset = offset
        self._start = self._end = offset % BLOCK

    @property
    def size(self) -> int:
        return os.fstat(self._file.descriptor).st_size

    def read(self) -> bytes:
        """The next bytes that the file has, empty at its end. Writing continues after the last byte read."""
        piece = os.pread(self._file.descriptor, PIECE_BYTES, self._offset)
        self._begin(self._offset + len(piece))
        return piece

    def empty(self) -> None:
        """Removes all bytes, to start again."""
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
        """Renames the file to `path`, replacing any file there, and makes contents and name durable."""
        self.flush()
        os.fsync(self._file.descriptor)
        self._path.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Closes the file without flushing. Removes it if it is empty: there is nothing to resume."""
        if not self.size and self._path.exists():
            self._path.unlink()
        self._file.close()
