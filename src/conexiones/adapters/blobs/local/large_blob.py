"""A large blob that is open for reading, block by block. All of it is for threads."""

import errno
import hashlib
import os
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums
from conexiones.adapters.system.disk import LOST
from conexiones.errors import BlobCorrupt

HASHED = 4096
"""Files that are known to have the right SHA-256, at most."""


class Identity(NamedTuple):
    """Of a file with its bytes. Whoever writes to a file, or puts another one in its place, changes it."""

    device: int
    inode: int
    size: int
    modified: int  # nanoseconds, as is the next
    changed: int

    @classmethod
    def of(cls, descriptor: int) -> "Identity":
        found = os.fstat(descriptor)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Hashed:
    """The files that this process has read whole, and that had the SHA-256 of their blob. Used from any
    thread.

    As long as such a file is the same, the checksums of its blocks show whether the disk has damaged its
    bytes. Hashing them again would take three times as long as reading and checking them.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._files: OrderedDict[bytes, tuple[Identity, Checksums | None]] = OrderedDict()  # by digest

    def get(self, digest: bytes, identity: Identity) -> tuple[bool, Checksums | None]:
        """Whether the file is one of them, and the checksums that it was added with."""
        with self._lock:
            known, checksums = self._files.get(digest, (None, None))
            if known != identity:
                return False, None
            self._files.move_to_end(digest)
            return True, checksums

    def add(self, digest: bytes, identity: Identity, checksums: Checksums | None) -> None:
        """`checksums` are those of a blob that has none on the disk."""
        with self._lock:
            self._files[digest] = identity, checksums
            self._files.move_to_end(digest)
            if len(self._files) > HASHED:
                self._files.popitem(last=False)


class LargeBlob(NamedTuple):
    """A blob in a file of its own, which is open."""

    digest: bytes
    descriptor: int
    identity: Identity
    checksums: Checksums | None

    @property
    def size(self) -> int:
        return self.identity.size

    @classmethod
    def open(cls, digest: bytes, path: Path, checksums_path: Path) -> "LargeBlob":
        """Raises FileNotFoundError, and BlobCorrupt if the checksums are of a file of another size.

        The checksums are looked for first: they are there before the blob, and go after it.
        """
        checksums = None
        try:
            checksums = Checksums.unpack(checksums_path.read_bytes())
        except OSError as error:  # those that the disk has lost are made anew, as damaged ones are
            if error.errno != errno.ENOENT and error.errno not in LOST:
                raise
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        blob = cls(digest, descriptor, Identity.of(descriptor), checksums)
        if checksums is not None and checksums.size != blob.size:
            blob.close()
            raise BlobCorrupt
        return blob

    def close(self) -> None:
        os.close(self.descriptor)

    def forget(self) -> None:
        """Has the system drop what it has of the file in memory, so that the disk is read."""
        with suppress(OSError):
            os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def closes_fast(self) -> bool:
        """Whether the file has a name: closing one that was deleted frees its space."""
        return os.fstat(self.descriptor).st_nlink > 0


class Blocks:
    """Reads a blob from an offset to its end, each block in pieces of at most `piece` bytes. Used by one
    thread at a time.

    Each block is checked before it is given. What is read from the first block on is hashed unless that was
    done before; then the last block is given only if the whole has the digest.

    `made` are checksums of a blob that has none, once all of it was read.
    """

    def __init__(self, blob: LargeBlob, offset: int, hashed: Hashed, *, piece: int) -> None:
        """Raises BlobCorrupt if the blob ends before the offset."""
        if offset > blob.size:
            raise BlobCorrupt
        self._blob = blob
        self._hashed = hashed
        self._piece = piece
        self._start = offset - offset % BLOCK_BYTES  # of the next block
        self._skip = offset - self._start
        is_hashed, made = hashed.get(blob.digest, blob.identity)
        self._known = blob.checksums or made
        self._sha = None if is_hashed and self._known else hashlib.sha256()
        if self._start:
            self._sha = None
        self._making = None if self._known or self._sha is None else Checksums()
        self.made: Checksums | None = None

    @property
    def ended(self) -> bool:
        return self._start + self._skip >= self._blob.size

    def next(self) -> list[bytes]:
        """The pieces of the next block. Raises BlobCorrupt."""
        size = min(BLOCK_BYTES, self._blob.size - self._start)
        pieces = [self._read(at, min(self._piece, size - at)) for at in range(0, size, self._piece)]
        self._check(pieces)
        self._start += size
        if self._start == self._blob.size and self._sha is not None:
            if self._sha.digest() != self._blob.digest:
                raise BlobCorrupt
            self.made = self._making
            keep = self.made if size == self._blob.size else None  # of one block: these are never on the disk
            self._hashed.add(self._blob.digest, self._blob.identity, keep)
        skip, self._skip = self._skip, 0
        while skip >= len(pieces[0]):
            skip -= len(pieces.pop(0))
        pieces[0] = pieces[0][skip:]
        return pieces

    def _read(self, at: int, size: int) -> bytes:
        data = os.pread(self._blob.descriptor, size, self._start + at)
        if len(data) != size:
            raise BlobCorrupt
        return data

    def _check(self, pieces: list[bytes]) -> None:
        if self._known is not None:
            self._known.check_pieces(self._start // BLOCK_BYTES, pieces)
        for data in pieces:
            if self._making is not None:
                self._making.add(data)
            if self._sha is not None:
                self._sha.update(data)
