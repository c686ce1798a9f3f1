"""A stored file as a sequence of bytes that is never all in memory."""

import errno
from mmap import mmap
from typing import overload

from conexiones.direct_file import BLOCK, DirectFile

WINDOW = 1 << 20
"""Bytes of the file that a view has in memory at a time."""


class FileView:
    """A file's first `size` bytes as a sequence (ports.staging.Content), read as they are looked at.

    A failure of the disk is an OSError here. With a memory map of the file it would end the process (SIGBUS).
    """

    def __init__(self, file: DirectFile, size: int) -> None:
        self._file = file
        self._size = size
        self._window = mmap(-1, WINDOW)
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: int | slice, /) -> int | bytes:
        if isinstance(key, slice):
            start, stop, _ = key.indices(self._size)
            return self._bytes(start, stop)
        if not -self._size <= key < self._size:
            raise IndexError(key)
        return self._bytes(key % self._size, key % self._size + 1)[0]

    def _bytes(self, start: int, stop: int) -> bytes:
        if self._start <= start and stop <= self._end:
            return self._window[start - self._start : stop - self._start]
        pieces = []
        while start < stop:
            if not self._start <= start < self._end:
                self._start = start - start % BLOCK
                self._end = min(self._start + self._file.read(self._window, self._start), self._size)
                if start >= self._end:
                    raise OSError(errno.EIO, "the file is shorter than was written")
            piece = self._window[start - self._start : min(stop, self._end) - self._start]
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._window.close()
