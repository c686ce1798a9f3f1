"""Bytes for another process, in memory that both have: written once here, read in place there."""

import os
from collections import deque
from mmap import mmap

SIZE = 8 << 20
"""Bytes that may be on their way at once."""


class Ring:
    """Holds pieces until they are let go of, in the order in which they came."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("conexiones", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, SIZE)
        self._memory = mmap(self.descriptor, SIZE)
        self._held: deque[tuple[int, int]] = deque()  # from and to, in order

    def put(self, data: bytes) -> int | None:
        """Where the piece, of at most SIZE bytes, is; None if there is no room now."""
        size = len(data)
        start = 0  # while nothing is held: the same few pages over and over
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

    def let_go(self) -> None:
        """Of the oldest piece."""
        self._held.popleft()

    def close(self) -> None:
        self._memory.close()
        os.close(self.descriptor)
