"""Memory that two processes share: bytes are written once here, and read in place there."""

import os
from collections import deque
from mmap import mmap

SIZE = 8 << 20
"""Bytes that may be on their way at once."""


class Ring:
    """Holds pieces until they are released, in the order in which they were put in. Used by one thread."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("conexiones", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, SIZE)
        self._memory = mmap(self.descriptor, SIZE)
        self._held: deque[tuple[int, int]] = deque()  # the start and end of each piece, oldest first

    def put(self, data: bytes) -> int | None:
        """Copies a piece of at most SIZE bytes in, and gives its start; None if there is no room now."""
        size = len(data)
        start = 0  # while nothing is held, the same few pages are used over and over
        if self._held:
            first, start = self._held[0][0], self._held[-1][1]
            if start > first:
                if SIZE - start < size:
                    start = 0
                    if first < size:
                        return None
            elif first - start < size:
                return None
        self._memory[start : start + size] = data
        self._held.append((start, start + size))
        return start

    def release(self) -> None:
        """Frees the room of the oldest piece."""
        self._held.popleft()

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)
