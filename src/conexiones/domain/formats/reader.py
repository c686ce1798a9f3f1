"""How the format modules look at a file: in pieces that are copied out of it, and within a budget of work.

All work on a file is paid for in parts, of which one is about a microsecond of a processor: a chunk, a
segment or a block is one, a TIFF directory several, and a value in a table a fraction. So the budget bounds
the time that any file can take, whatever its structure. It grows with the file, since large files have more
parts.
"""

import struct
from typing import Any, Final

from conexiones.ports.staging import Content

PARTS: Final = 250_000
"""Parts of any file."""

_BYTES_PER_PART = 8 << 10
"""For each such number of its bytes, a file may have one part more."""

PEEK_PARTS: Final = 4_000
"""Parts that are looked at in the first bytes of a file, which is done on the event loop."""

STRETCH: Final = 64 << 10
"""The most bytes that are searched at a time, and paid for then. A search holds the interpreter lock, and
other threads run between two of them."""

_FIRST_PIECE = 4 << 10
_LAST_PIECE = 64 << 10

_FORWARD_PARTS, _BACK_PARTS = 8, 64
"""What it costs to look elsewhere in a file, further on or further back. It may mean that a block of a MiB is
read from a disk; only who jumps back can have the same blocks read again and again."""


def affordable(size: int) -> int:
    """The parts that a file of `size` bytes may have."""
    return PARTS + size // _BYTES_PER_PART


class TooManyParts(Exception):
    """Looking at the rest of the file would take more parts than it may have."""


class Reader:
    """The bytes of one file, of which `size` are there, and the parts that are `left` to look at them.

    Of bytes that are not in memory, pieces are copied. They grow while a file is looked at from front to
    back, and are small again after a jump.
    """

    __slots__ = ("_base", "_data", "_end", "_piece", "_reach", "left", "size")

    def __init__(self, data: Content, parts: int) -> None:
        self._data = data
        self.size = len(data)
        self.left = parts
        # Bytes in memory are one piece, and are not copied.
        whole = isinstance(data, bytes)
        self._piece = data if isinstance(data, bytes) else b""
        self._base = 0
        self._end = self.size if whole else 0
        self._reach = _FIRST_PIECE // 4

    def spend(self, parts: int) -> None:
        """Pays for work. Raises TooManyParts."""
        self.left -= parts
        if self.left < 0:
            raise TooManyParts

    def near(self, position: int, need: int) -> tuple[bytes, int]:
        """A piece of the file that has the `need` bytes at `position`, and where they are in it.

        The piece is shorter at the end of the file. Raises IndexError for a position past the end.
        """
        if position < self._base or (position + need > self._end and self._end < self.size):
            self._load(position, need)
        at = position - self._base
        if at > len(self._piece):
            raise IndexError(position)
        return self._piece, at

    def _load(self, position: int, need: int) -> None:
        if self._base <= position <= self._end + _LAST_PIECE:
            self._reach = min(self._reach * 4, _LAST_PIECE)
        else:
            self._reach = _FIRST_PIECE
            self.spend(_BACK_PARTS if position < self._base else _FORWARD_PARTS)
        if position > self.size:
            raise IndexError(position)
        self._piece = self._data[position : position + max(self._reach, need)]
        self._base = position
        self._end = position + len(self._piece)

    def byte(self, position: int) -> int:
        """The byte at `position`. Raises IndexError past the end."""
        piece, at = self.near(position, 1)
        return piece[at]

    def unpack(self, layout: struct.Struct, position: int) -> tuple[Any, ...]:
        """The values of that layout at `position`. Raises struct.error or IndexError past the end."""
        piece, at = self.near(position, layout.size)
        return layout.unpack_from(piece, at)

    def bytes(self, start: int, stop: int) -> bytes:
        """A copy of these bytes; of fewer at the end of the file."""
        return self._data[start:stop]
