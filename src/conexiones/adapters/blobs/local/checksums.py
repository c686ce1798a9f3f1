"""CRC-32C of each block of a file, so that damage of any part of it is noticed without reading the rest."""

import ctypes
import struct
from array import array
from collections.abc import Iterable

import google_crc32c

from conexiones.errors import BlobCorrupt

BLOCK_BYTES = 1 << 20
"""Bytes of a block. The last block of a file may be shorter."""

_HEAD = struct.Struct(">4sQ")
_MAGIC = b"CXK1"
_CRC = struct.Struct(">I")


def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """The CRC-32C of the data, behind data whose CRC-32C is `before`. A memoryview has to be writable."""
    if isinstance(data, bytes):
        return int(google_crc32c.extend(before, data))
    # The library takes only objects that need no release. Of all views of writable memory, this is one that
    # need not be copied.
    view = (ctypes.c_char * len(data)).from_buffer(data)
    return int(google_crc32c.extend(before, view))


class Checksums:
    """The checksums of `size` bytes that were seen in order. Used by one thread at a time.

    `blocks` has those of all whole blocks; `tail` is that of the bytes behind them. The blocks before
    `first_known` were written before there were checksums, and are taken as they are when they are read.
    """

    def __init__(
        self, size: int = 0, *, blocks: "array[int] | None" = None, tail: int = 0, first_known: int = 0
    ) -> None:
        self.size = size
        self.blocks = array("I") if blocks is None else blocks
        self.tail = tail
        self.first_known = first_known

    def add(self, data: bytes | memoryview) -> None:
        """Takes the next bytes."""
        while data:
            part = data[: BLOCK_BYTES - self.size % BLOCK_BYTES]
            self.tail = crc32c(part, self.tail)
            self.size += len(part)
            if not self.size % BLOCK_BYTES:
                self.blocks.append(self.tail)
                self.tail = 0
            data = data[len(part) :]

    def check(self, number: int, data: bytes | memoryview) -> None:
        """Raises BlobCorrupt if that is not all of the block of that number, counted from 0."""
        self.check_pieces(number, (data,))

    def check_pieces(self, number: int, pieces: Iterable[bytes | memoryview]) -> None:
        """The same for a block in pieces."""
        whole = number < len(self.blocks)
        size = found = 0
        for data in pieces:
            size += len(data)
            found = crc32c(data, found)
        if size != (BLOCK_BYTES if whole else self.size % BLOCK_BYTES):
            raise BlobCorrupt
        if number < self.first_known:
            self.blocks[number] = found
        elif found != (self.blocks[number] if whole else self.tail):
            raise BlobCorrupt

    def pack(self) -> bytes:
        """All of it as bytes, for a file beside a blob.

            0   4   "CXK1"
            4   8   the size of the blob
            12  4   the CRC-32C of each block, of the first one first
            …   4   the CRC-32C of all bytes before

        Numbers are in big-endian order.
        """
        crcs = [*self.blocks, self.tail] if self.size % BLOCK_BYTES else list(self.blocks)
        packed = _HEAD.pack(_MAGIC, self.size) + b"".join(map(_CRC.pack, crcs))
        return packed + _CRC.pack(crc32c(packed))

    @classmethod
    def unpack(cls, packed: bytes) -> "Checksums | None":
        """What `pack` made bytes of, or None if these are others."""
        body = packed[:-4]
        if len(body) < _HEAD.size or _CRC.pack(crc32c(body)) != packed[-4:]:
            return None
        magic, size = _HEAD.unpack_from(body)
        blocks = array("I", (crc for (crc,) in _CRC.iter_unpack(body[_HEAD.size :])))
        if magic != _MAGIC or len(blocks) != -(-size // BLOCK_BYTES):
            return None
        tail = blocks.pop() if size % BLOCK_BYTES else 0
        return cls(size, blocks=blocks, tail=tail)
