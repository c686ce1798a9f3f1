"""A stored file as a sequence of bytes that is never all in memory."""

import errno
from collections.abc import Callable
from mmap import mmap
from typing import overload

from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES
from conexiones.direct_file import DirectFile

WINDOW = BLOCK_BYTES
"""Bytes of the file that a view has in memory at a time: one block."""


class FileView:
    """A file's first `size` bytes as a sequence (ports.staging.Content), read as they are looked at.

    A failure of the disk is an OSError here. With a memory map of the file it would end the process (SIGBUS).
    `check` is called with the number and the bytes of each block that is read. What it raises comes out of
    whoever looks.
    """

    def __init__(
        self,
        file: DirectFile,
        size: int,
        check: Callable[[int, memoryview], None] = lambda _number, _data: None,
    ) -> None:
        self._file = file
        self._size = size
        self._check = check
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
                self._load(start - start % WINDOW)
                if start >= self._end:
                    raise OSError(errno.EIO, "the file is shorter than was written")
            piece = self._window[start - self._start : min(stop, self._end) - self._start]
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def _load(self, start: int) -> None:
        self._start = self._end = start  # nothing, if this raises
        end = min(start + self._file.read(self._window, start), self._size)
        with memoryview(self._window) as view, view[: end - start] as block:
            self._check(start // BLOCK_BYTES, block)
        self._end = end

    def close(self) -> None:
        self._window.close()
