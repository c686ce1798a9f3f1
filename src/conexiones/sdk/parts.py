"""The file into which a download is written, past the page cache where the file system allows it."""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import NoReturn

from conexiones.direct_file import BLOCK, DirectFile
from conexiones.sdk.places import beside

SUFFIX = ".part"

PIECE_BYTES = 4 << 20
"""Bytes that are written with one system call."""


class Part:
    """The file "<name>.part" beside a file, which it replaces in the end, locked by this process. All methods
    block: call them in threads, one at a time.

    Filling fresh pages of the page cache takes longer than receiving the bytes, so the bytes are collected in
    one buffer that is reused. They are in the file after `flush`.
    """

    def __init__(self, place: Path) -> None:
        """Opens or creates the part of the file `place`. Raises OSError: about `place` if its folder takes no
        file or it may not be written to, and BlockingIOError if another process downloads to it."""
        self._place = place
        self._path = beside(place, SUFFIX)
        if place.exists() and not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        self._file = self._opened()
        self._memory = memoryview(mmap(-1, PIECE_BYTES))
        self._begin(0)

    def _opened(self) -> DirectFile:
        while True:
            try:
                # Without O_NONBLOCK, a pipe of that name would wait for its writer.
                file = DirectFile(self._path, os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, mode=0o666)
            except OSError as error:
                in_the_way = error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}
                self._in_the_way(error) if in_the_way else self._about_place(error)
            try:
                if not stat.S_ISREG(os.fstat(file.descriptor).st_mode):
                    self._in_the_way(None)
                self._lock(file)
                if self._is(file):
                    return file
            except BaseException:
                file.close()
                raise
            file.close()  # another process has finished with it, and it is no part any more

    def _lock(self, file: DirectFile) -> None:
        try:
            fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            why = "Another process downloads to this file"
            raise BlockingIOError(error.errno, why, str(self._place)) from None

    def _is(self, file: DirectFile) -> bool:
        """Whether the file is still the one with that name."""
        try:
            found, ours = self._path.lstat(), os.fstat(file.descriptor)
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def _in_the_way(self, error: OSError | None) -> NoReturn:
        why = "This is in the way of a download: it is no regular file"
        raise FileExistsError(errno.EEXIST, why, str(self._path)) from error

    def _about_place(self, error: OSError) -> NoReturn:
        raise OSError(error.errno, error.strerror, str(self._place)) from None

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
        """Raises OSError, about `place`, as `write` does: that the disk is full, for example."""
        if self._start < self._end:
            try:
                self._file.write([self._memory[self._start : self._end]], self._offset)
            except OSError as error:
                self._about_place(error)
            self._begin(self._offset + self._end - self._start)

    def finish(self) -> None:
        """Puts the file in its place, with the permissions of the file that it replaces, and makes contents
        and name durable. Raises OSError, about `place`."""
        self.flush()
        try:
            self._put()
        except OSError as error:
            self._about_place(error)

    def _put(self) -> None:
        with suppress(FileNotFoundError):
            before = self._place.stat()
            with suppress(OSError):  # only root gives files away
                os.fchown(self._file.descriptor, before.st_uid, before.st_gid)
            os.fchmod(self._file.descriptor, before.st_mode & 0o777)
        os.fsync(self._file.descriptor)
        self._path.replace(self._place)
        folder = os.open(self._place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Closes the file without flushing. Removes it if it is empty: there is nothing to resume."""
        if not self.size and self._is(self._file):
            self._path.unlink()
        self._file.close()
