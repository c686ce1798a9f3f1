"""The records of the segments in their files: heads, durable writes, and holes."""

import ctypes
import os
import struct
import zlib
from pathlib import Path

HEAD = struct.Struct(">3scIQ32s")
_FACTS = struct.Struct(">Q32s")
_MAGIC, LIVE, DELETED = b"CXB", b"L", b"D"
STATE = 3  # the offset of the state in the head

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_NEXT_WINDOW = 1 << 20


def head_of(size: int, digest: bytes) -> bytes:
    """The head of a live record."""
    crc = zlib.crc32(_FACTS.pack(size, digest))
    return HEAD.pack(_MAGIC, LIVE, crc, size, digest)


def read_head(head: bytes, state: bytes | None = LIVE) -> tuple[int, bytes] | None:
    """The size and digest in a head; None if it is no head, or not in that state. None is any state."""
    if len(head) < HEAD.size:
        return None
    magic, found, crc, size, digest = HEAD.unpack(head)
    if magic != _MAGIC or crc != zlib.crc32(head[8:]) or (state is not None and found != state):
        return None
    return size, digest


def next_head(descriptor: int, start: int) -> int | None:
    """The offset of the next head, at `start` or behind it; None if there is none."""
    size = os.fstat(descriptor).st_size
    at = start
    while at < size:
        window = os.pread(descriptor, _NEXT_WINDOW, at)
        found = window.find(_MAGIC)
        while found >= 0:
            if read_head(os.pread(descriptor, HEAD.size, at + found), state=None):
                return at + found
            found = window.find(_MAGIC, found + 1)
        at += max(1, len(window) - len(_MAGIC) + 1)
    return None


def write_all(descriptor: int, parts: list[bytes | memoryview], offset: int) -> None:
    """Writes the parts one behind the other, durably; with one call, unless the disk takes only some."""
    size = sum(map(len, parts))
    written = os.pwritev(descriptor, parts, offset, os.RWF_DSYNC)
    if written < size:
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            more = os.pwrite(descriptor, rest, offset + written)
            written += more
            rest = rest[more:]
        os.fdatasync(descriptor)


def mark_deleted(path: Path, offset: int) -> None:
    """Marks the record at `offset` as deleted, durably."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # In the hole of a record that was deleted before, a write would need space.
        if os.pread(descriptor, 1, offset + STATE) == LIVE:
            os.pwrite(descriptor, DELETED, offset + STATE)
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def punch(path: Path, offset: int, size: int) -> None:
    """Gives the space of a range back, if the file system can do that. The range reads as zeros then."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None)
        libc.fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_int64(offset), ctypes.c_int64(size))
    finally:
        os.close(descriptor)
