"""A message that comes in pieces and is needed as a whole."""

from mmap import mmap

MAPPED = 4 << 20
"""Bytes from which a message gets memory of its own from the system. It is touched only as bytes come, is
never moved while it grows, and goes back as soon as nobody refers to it."""


class Gathered:
    """The bytes of one message of `size` bytes, as far as they have come."""

    __slots__ = ("_came", "_grown", "_room", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._came = 0
        self._grown = bytearray()
        self._room = memoryview(mmap(-1, size)) if size >= MAPPED else None

    @property
    def missing(self) -> int:
        """The bytes that have not come yet."""
        return self.size - self._came

    def add(self, data: bytes | memoryview) -> None:
        """Takes the next bytes, at most as many as are missing."""
        end = self._came + len(data)
        if self._room is None:
            self._grown += data
        else:
            self._room[self._came : end] = data
        self._came = end

    def whole(self) -> memoryview:
        """What has come. Nothing may be added afterwards."""
        return memoryview(self._grown) if self._room is None else self._room[: self._came]
