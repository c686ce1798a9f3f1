"""Files that are written and read past the page cache (O_DIRECT), where the file system allows it.

O_DIRECT transfers whole blocks only. Parts of blocks, at the beginning and end of a write, go through the
page cache by a second descriptor. All methods block: call them in threads.
"""

import errno
import os
import sys
from mmap import mmap
from pathlib import Path

BLOCK = 4096
"""Bytes. Addresses, offsets and lengths of O_DIRECT must be multiples of this."""

_LINUX = sys.platform == "linux"


class DirectFile:
    """A file open for reading and writing. I/O with its `descriptor` goes through the page cache."""

    def __init__(self, path: Path, flags: int = 0, *, mode: int = 0o600) -> None:
        """Opens the file. With O_CREAT in `flags`, it is created with `mode` if it is missing. Raises
        OSError."""
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, mode)
        try:
            self._direct = _opened_directly(self.descriptor) if _LINUX else -1
        except BaseException:
            os.close(self.descriptor)
            raise

    def write(self, pieces: list[memoryview], offset: int) -> None:
        """Writes the pieces, one after the other, at `offset`. Raises OSError.

        The first piece may begin, and the last may end, within a block. All other borders between pieces must
        be borders of blocks.
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
        """Reads into the window from `offset`, a multiple of BLOCK. Returns the number of bytes, which is
        less than the window's size at the end of the file."""
        with memoryview(window) as view:
            if self._direct >= 0:
                try:
                    return _read(self._direct, view, offset)
                except OSError as error:
                    self._give_up_direct(error)
            return _read(self.descriptor, view, offset)

    def _give_up_direct(self, error: OSError) -> None:
        """Stops using O_DIRECT. Some file systems accept it when a file is opened, and refuse the first I/O
        with EINVAL. Raises any other error."""
        if error.errno != errno.EINVAL:
            raise error
        os.close(self._direct)
        self._direct = -1

    def close(self) -> None:
        """Closes the file. Calling it again is a no-op."""
        for descriptor in (self.descriptor, self._direct):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._direct = -1


def _opened_directly(descriptor: int) -> int:
    """A descriptor of the same file, whatever its name leads to by now; -1 where it cannot be had. Raises
    OSError."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # ENOENT without /proc
            raise
        return -1


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
