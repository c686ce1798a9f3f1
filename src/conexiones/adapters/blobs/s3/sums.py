"""The CRC-32C of each MiB of some bytes, 4 bytes each, as rows have them."""

import struct

import google_crc32c

from conexiones.errors import BlobCorrupt

PIECE = 1 << 20
"""Bytes of a piece that has a checksum, but for the last of a place."""

_SUM = struct.Struct(">I")


def sums_of(data: bytes | bytearray) -> bytes:
    with memoryview(data) as view:
        return b"".join(
            _SUM.pack(google_crc32c.value(bytes(view[at : at + PIECE]))) for at in range(0, len(data), PIECE)
        )


def check_piece(sums: bytes, number: int, data: bytes) -> None:
    """Whether these are the bytes of the piece with that number. Raises BlobCorrupt."""
    if _SUM.unpack_from(sums, number * _SUM.size)[0] != google_crc32c.value(data):
        raise BlobCorrupt


def pieces_of(size: int) -> int:
    return -(-size // PIECE)


def are_for(sums: bytes, size: int) -> bool:
    """Whether there is a checksum for every piece of so many bytes."""
    return len(sums) == pieces_of(size) * _SUM.size
