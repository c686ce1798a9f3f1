"""Files that are written and read past the page cache (O_DIRECT), where the file system lets them.

O_DIRECT takes whole blocks only. What is not one, at the edges of a write, goes through the page cache by a
second descriptor. Everything here blocks: it runs in threads.
"""

import errno
import os
from mmap import mmap
from pathlib import Path
from typing import overload

from conexiones.adapters.buffers import BLOCK

WINDOW = 1 << 20
"""Bytes that a view has in memory."""


class DirectFile:
    """A file that is open for reading and writing. `descriptor` goes through the page cache."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        """Opens it; `flags` may create it. Raises OSError."""
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        try:
            self._direct = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                os.close(self.descriptor)
                raise
            self._direct = -1

    def write(self, pieces: list[memoryview], offset: int) -> None:
        """Writes the pieces, one after the other, at `offset`. Raises OSError.

        The first may begin, and the last may end, where no block does; between two is a border of blocks.
        """
        if self._direct < 0 or not pieces:
            _write(self.descriptor, pieces, offset)
            return
        first = pieces[0]
        head = min(-offset % BLOCK, len(first))
        if head:
            _write(self.descriptor, [first[:head]], offset)
            offset += head
            pieces = [first[head:], *pieces[1:]]
        tail = len(pieces[-1]) % BLOCK
        whole = [*pieces[:-1], pieces[-1][: len(pieces[-1]) - tail]]
        size = sum(map(len, whole))
        if size:
            try:
                _write(self._direct, [piece for piece in whole if piece], offset)
            except OSError as error:
                self._give_up_direct(error)
                _write(self.descriptor, whole, offset)
        if tail:
            _write(self.descriptor, [pieces[-1][-tail:]], offset + size)

    def read(self, window: mmap, offset: int) -> int:
        """Fills the window from `offset`, a multiple of BLOCK, as far as the file goes; gives how far."""
        with memoryview(window) as view:
            if self._direct >= 0:
                try:
                    return _read(self._direct, view, offset)
                except OSError as error:
                    self._give_up_direct(error)
            return _read(self.descriptor, view, offset)

    def _give_up_direct(self, error: OSError) -> None:
        """Some file systems let a file be opened so and refuse it after all. Raises any other error."""
        if error.errno != errno.EINVAL:
            raise error
        os.close(self._direct)
        self._direct = -1

    def close(self) -> None:
        """May be called again."""
        for descriptor in (self.descriptor, self._direct):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._direct = -1


def _write(descriptor: int, pieces: list[memoryview], offset: int) -> None:
    while pieces:
        written = os.pwritev(descriptor, pieces, offset)
        offset += written
        while pieces and written >= len(pieces[0]):
            written -= len(pieces[0])
            pieces = pieces[1:]
        if written:
            pieces = [pieces[0][written:], *pieces[1:]]


def _read(descriptor: int, view: memoryview, offset: int) -> int:
    size = 0
    while size < len(view) and (read := os.preadv(descriptor, [view[size:]], offset + size)):
        size += read
        if size % BLOCK:
            break  # the end of the file
    return size


class FileView:
    """A file's first `size` bytes as a sequence, read as they are looked at: a Buffer of domain.formats.

    An error of the disk is an OSError here; with a map of the file it would be the end of the process.
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
