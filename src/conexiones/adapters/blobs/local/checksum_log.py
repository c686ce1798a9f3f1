"""The checksums of a resumable upload, on disk from the moment that its bytes are acknowledged.

    root/uploads/<id>.crc32c       a head and records, one behind the other
    root/uploads/<id>.crc32c.new   a shorter one that is not finished

Each commit appends a record for each block that is whole by now, and one for the bytes behind the last block.
Numbers are in big-endian order:

    head    0   4   "CXL1"
            4   8   the size from which on checksums are known: 0, unless an earlier version began the upload
            12  4   the CRC-32C of the bytes from the beginning of the last block to that size
            16  4   the CRC-32C of bytes 0 to 15

    record  0   8   a size of the upload
            8   4   the CRC-32C of the bytes from the beginning of the last block to that size
            12  4   the CRC-32C of bytes 0 to 11

Sizes increase. Records are durable before the catalog has the size that they are for. So a crash may leave
records of sizes that were never acknowledged, whole or torn: `open` cuts them off.
"""

import errno
import os
import struct
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums, crc32c
from conexiones.adapters.system.disk import sync_folder
from conexiones.errors import BlobCorrupt

_HEAD = struct.Struct(">4sQII")
_RECORD = struct.Struct(">QII")
_MAGIC = b"CXL1"

RECENT = 256
"""The newest records, all of which are kept: the catalog may be a few sizes behind."""

SPARE = 4096
"""Records that are not needed any more, from which on the log is written anew without them. They come from
commits of less than a block."""


class ChecksumLog:
    """The log of one upload. Methods block and raise OSError: call them in threads, one at a time.

    After `append` has raised, the log must be opened again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._head = b""
        self._end = 0  # the offset behind the last record
        self._size = 0  # the size of the upload in that record
        self._recent: deque[bytes] = deque(maxlen=RECENT)

    def create(self, checksums: Checksums) -> None:
        """Begins the log of an upload that has no bytes, or whose bytes an earlier version wrote. The caller
        makes the name durable."""
        self._head = _with_crc(_HEAD.pack(_MAGIC, checksums.size, checksums.tail, 0)[:-4])
        self._size = checksums.size
        self._open(os.O_CREAT | os.O_TRUNC)
        self._append(self._head)

    def open(self, size: int, upload: int) -> Checksums:
        """The checksums of the first `size` bytes of the upload, whose file has the descriptor `upload`.
        FileNotFoundError if there is no log; BlobCorrupt if it does not have them.

        If no record is of that very size, the next one vouches for the bytes up to it, which must still be in
        the file.
        """
        self._open(0)
        log = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        checksums = self._read(log, size, upload)
        if self._size < size:
            self.append(checksums)
        if len(log) > self._end:
            os.ftruncate(self._descriptor, self._end)
        return checksums

    @classmethod
    def look(cls, path: Path, size: int, upload: int) -> Checksums:
        """The same checksums, for a program beside the server: the log stays as it is."""
        return cls(path)._read(path.read_bytes(), size, upload)

    def _read(self, log: bytes, size: int, upload: int) -> Checksums:
        self._head = log[: _HEAD.size]
        if len(self._head) < _HEAD.size or _with_crc(self._head[:-4]) != self._head:
            raise BlobCorrupt
        _, self._size, tail, _ = _HEAD.unpack(self._head)
        unknown = self._size // BLOCK_BYTES
        checksums = Checksums(self._size, tail=tail, first_known=unknown)
        checksums.blocks.extend([0] * unknown)
        self._end = _HEAD.size
        after = (0, 0)
        for record in _records(log):
            upto, crc, _ = _RECORD.unpack(record)
            if upto > size:
                after = (upto, crc)
                break
            self._recent.append(record)
            self._end += _RECORD.size
            self._size = upto
            checksums.tail = crc
            if not upto % BLOCK_BYTES:
                checksums.blocks.append(crc)
                checksums.tail = 0
        checksums.size = self._size
        if len(checksums.blocks) != size // BLOCK_BYTES or self._size > size:
            raise BlobCorrupt
        if self._size < size:
            checksums.tail = _tail(upload, size, after)
            checksums.size = size
        return checksums

    def append(self, checksums: Checksums) -> None:
        """Makes durable the checksums of all that came since the last call."""
        records = [
            _record((number + 1) * BLOCK_BYTES, checksums.blocks[number])
            for number in range(self._size // BLOCK_BYTES, len(checksums.blocks))
        ]
        if checksums.size % BLOCK_BYTES and checksums.size > self._size:
            records.append(_record(checksums.size, checksums.tail))
        self._recent.extend(records)
        self._append(b"".join(records))
        self._size = checksums.size
        needed = len(checksums.blocks) + RECENT
        if (self._end - _HEAD.size) // _RECORD.size > needed + SPARE:
            self._shorten(checksums)

    def close(self) -> None:
        """Calling it again is a no-op."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def unlink(self) -> None:
        self._path.unlink(missing_ok=True)

    def _open(self, flags: int) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        self._end = 0

    def _append(self, data: bytes) -> None:
        if os.pwritev(self._descriptor, [data], self._end, os.RWF_DSYNC) != len(data):
            raise OSError(errno.ENOSPC, "only a part was written")
        self._end += len(data)

    def _shorten(self, checksums: Checksums) -> None:
        """Writes the log anew with the whole blocks and the newest records, and puts it in its own place."""
        oldest, _, _ = _RECORD.unpack(self._recent[0])
        blocks = (
            _record((number + 1) * BLOCK_BYTES, checksums.blocks[number])
            for number in range(checksums.first_known, (oldest - 1) // BLOCK_BYTES)
        )
        new = self._path.with_name(f"{self._path.name}.new")
        shorter = ChecksumLog(new)
        try:
            shorter._open(os.O_CREAT | os.O_TRUNC)
            shorter._append(b"".join((self._head, *blocks, *self._recent)))
            new.replace(self._path)
            sync_folder(self._path.parent)
        except BaseException:
            shorter.close()
            raise
        self.close()
        self._descriptor, self._end = shorter._descriptor, shorter._end


def _tail(upload: int, size: int, after: tuple[int, int]) -> int:
    """The CRC-32C of the upload's bytes from the beginning of the last block to `size`, of which a record of
    a greater size says that they are whole. BlobCorrupt if they are not."""
    upto, crc = after
    start = size - size % BLOCK_BYTES
    block = os.pread(upload, max(0, upto - start), start)
    if not size < upto <= start + BLOCK_BYTES or len(block) != upto - start or crc32c(block) != crc:
        raise BlobCorrupt
    return crc32c(block[: size - start])


def _with_crc(data: bytes) -> bytes:
    return data + crc32c(data).to_bytes(4)


def _record(size: int, crc: int) -> bytes:
    return _with_crc(_RECORD.pack(size, crc, 0)[:-4])


def _records(log: bytes) -> Iterator[bytes]:
    """The records of a log until the first one that is torn."""
    for start in range(_HEAD.size, len(log) - _RECORD.size + 1, _RECORD.size):
        record = log[start : start + _RECORD.size]
        if _with_crc(record[:-4]) != record:
            return
        yield record
