"""What a path names: a regular file, or something whose bytes go by once (a pipe, a device, a socket, or an
open descriptor such as /dev/stdin). Nothing is ever created beside the latter."""

import errno
import os
import re
import select
import socket
import stat
import threading
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

MAX_NAME_BYTES = 255
"""The longest name of a file, of all usual file systems."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://|(data|file):", re.IGNORECASE)
_SHOWN = 100
"""Characters of a URL that an error has."""
_LINKS = 40
"""Links that are followed, as by Linux."""


def descriptor(path: Path) -> int | None:
    """The number of the descriptor of this process that the path names, if it does: /dev/stdin, /dev/fd/63,
    or a link to one.

    Such a path is not opened: that would begin a file anew which the shell has opened and positioned.
    """
    for _ in range(_LINKS):
        try:
            folder = path.parent.resolve()
        except (OSError, RuntimeError):  # links in a circle
            return None
        here = re.fullmatch(rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd", str(folder))
        if here and path.name.isdecimal():
            return int(path.name)
        place = folder / path.name
        if not place.is_symlink():
            return None
        path = folder / place.readlink()
    return None


def is_url(text: str) -> bool:
    """Whether it is a URL, such as those of `http:`, `file:` and `data:`, and not the path of a file."""
    try:
        return bool(_URL.match(text)) and not Path(text).exists()
    except OSError:  # too long a name is none
        return True


def refuse_url(target: str | os.PathLike[str]) -> None:
    """Raises ValueError for a URL as the target of a download."""
    text = os.fspath(target)
    if _URL.match(text) and not Path(text).parent.is_dir():
        raise ValueError(f"{shortened(text)} is a URL, and a target is a path or a binary file.")


def shortened(url: str) -> str:
    return url if len(url) <= _SHOWN else f"{url[:_SHOWN]}…"


def is_regular(path: Path) -> bool:
    """Whether a path, or what a link names, is a regular file that is there and not given as a descriptor."""
    try:
        # No link, and no number: it is the file itself. Most paths are, and need no closer look.
        if stat.S_ISREG(path.lstat().st_mode) and not path.name.isdecimal():
            return True
        return stat.S_ISREG(path.stat().st_mode) and descriptor(path) is None
    except OSError:
        return False


def regular(path: Path) -> Path | None:
    """Where to put a file so that it is found at `path`: the file that the path, or the link there, names.
    None if something else is there, which is to be written to.

    Raises IsADirectoryError, and OSError if a folder on the way is none or cannot be entered.
    """
    if descriptor(path) is not None:
        return None
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        place = path.resolve()
        if not place.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(place.parent)) from None
        return place
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "This is a folder", str(path))
    return path.resolve() if stat.S_ISREG(mode) else None


def beside(path: Path, suffix: str) -> Path:
    """The path of another file in the same folder, named by this one. Long names are cut and made unique."""
    name = path.name + suffix
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        encoded = os.fsencode(path.name)
        digest = sha256(encoded).hexdigest()[:16]
        room = MAX_NAME_BYTES - len(digest) - len(suffix) - 1
        name = f"{os.fsdecode(encoded[:room])}.{digest}{suffix}"
    return path.with_name(name)


def opened(path: Path) -> BinaryIO:
    """What the path names, for reading its bytes once. Blocks until a pipe has a writer. Raises OSError."""
    return cast(BinaryIO, FileIO(_open(path, os.O_RDONLY), "rb"))


class Sink:
    """What the path names, for writing bytes to it. It is opened with the first byte, so that nothing waits
    for a reader before there is something to read. `write` may block.

    A download that is cancelled leaves a `write` that blocks. What the path names may be something else when
    that goes on, such as another file that has got the number of a descriptor. So nothing is written, nor
    opened again, after `close`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._turn = threading.Lock()
        self._closed = False

    def write(self, data: bytes | memoryview) -> int:
        """Raises OSError, with the path as its `filename`, and ValueError after `close`."""
        try:
            with self._turn:
                if self._closed:
                    raise ValueError("The sink is closed.")
                return self._written(data)
        finally:
            if self._closed:
                self._release()

    def close(self) -> None:
        """Returns at once. A `write` that is under way closes the descriptor when it ends."""
        self._closed = True
        if not self._turn.locked():
            self._release()

    def _written(self, data: bytes | memoryview) -> int:
        try:
            if self._descriptor is None:
                self._descriptor = _open(self._path, os.O_WRONLY)
            return os.write(self._descriptor, data)
        except BlockingIOError:
            select.select([], [cast(int, self._descriptor)], [])
            return 0
        except OSError as error:
            error.filename = error.filename or str(self._path)
            raise

    def _release(self) -> None:
        with self._turn:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def _open(path: Path, how: int) -> int:
    number = descriptor(path)
    if number is not None:
        try:
            return os.dup(number)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
    if stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as peer:
            try:
                peer.connect(os.fspath(path))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None
            return peer.detach()
    return os.open(path, how | os.O_NOCTTY | os.O_CLOEXEC)
