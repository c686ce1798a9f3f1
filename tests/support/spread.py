"""Folders of tests, each in another part of the disk.

A folder is in the part of its parent. Before ext4 without a journal makes a file, it looks at every file of
the same part that was deleted within the last minutes: where thousands of tests make and delete files in one
part, that takes an eighth of their time, and half of some.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

# From linux/fs.h.
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_TOP_FOLDER = 0x00020000


def spread(folder: Path) -> None:
    """Folders that are made in this one get parts of their own, as `chattr +T` says to ext4."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # it is another file system
            flags = int.from_bytes(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(8))[:4], "little")
            fcntl.ioctl(descriptor, _SET_FLAGS, (flags | _TOP_FOLDER).to_bytes(8, "little"))
    finally:
        os.close(descriptor)
