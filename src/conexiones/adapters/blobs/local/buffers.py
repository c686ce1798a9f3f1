"""Memory through which large uploads go to the disk: aligned for O_DIRECT, and used again and again.

Memory that is touched for the first time is slower than the disk: a unit that was used stays in the pool.
"""

from collections import deque
from mmap import mmap

UNIT = 1 << 20
"""Bytes of a unit of the pool."""

UNITS = 64
"""Units in the pool: 64 MiB for all uploads together."""

SMALL_UNIT = 64 << 10
"""Bytes that an upload gets for itself where the pool is empty and it holds nothing."""

BATCH = 4
"""The most units that are written with one call."""

OUTSTANDING = 4
"""Batches of an upload that threads may be busy with, while one more is being filled: one is written, one is
hashed, and with two more neither waits when the other takes longer."""


class Buffers:
    """The pool. `take` belongs to one thread, `give` may be called from any."""

    def __init__(self) -> None:
        self._free: deque[memoryview] = deque()
        self._made = 0
        self.users = 0
        """Uploads that go to the disk now, among which the pool is shared."""

    def batch(self) -> int:
        """Units that an upload may gather now before it writes them."""
        share = UNITS // max(1, self.users) // (OUTSTANDING + 1)
        return max(1, min(BATCH, share))

    def take(self) -> memoryview | None:
        """A unit, or None if all are in use. What it holds is undefined."""
        if self._free:
            return self._free.pop()
        if self._made == UNITS:
            return None
        self._made += 1
        return memoryview(mmap(-1, UNIT))

    def small(self) -> memoryview:
        """A unit outside the pool: a slow client that holds one of the pool's keeps nobody else waiting."""
        return memoryview(mmap(-1, SMALL_UNIT))

    def give(self, unit: memoryview) -> None:
        if len(unit) == UNIT:
            self._free.append(unit)
