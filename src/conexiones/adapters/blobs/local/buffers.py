"""The memory of uploads: which of them may stay in memory, and the buffers by which others go to the disk.

The buffers are aligned for O_DIRECT. Memory that is touched for the first time is slower than the disk, so a
buffer that was used stays in a pool.
"""

from collections import deque
from mmap import mmap
from weakref import WeakSet

MEMORY = 64 << 20
"""Bytes for all uploads that have more than LEAST in memory, while there are no more than a thousand. The
buffers of those that go to files come on top."""

LEAST = 64 << 10
"""Bytes that an upload may have in memory, however many uploads there are."""

UNIT = 1 << 20
"""Bytes of a unit of the pool."""

UNITS = 64
"""Units in the pool: 64 MiB for all uploads together."""

SMALL_UNIT = 64 << 10
"""Bytes that an upload gets outside the pool when the pool is empty and the upload holds nothing of it."""

BATCH = 4
"""The most units that are written with one call."""

OUTSTANDING = 4
"""Batches of an upload that threads may be busy with while the next one is filled. One is written and one is
hashed; with two more, neither waits when the other takes longer."""


class Buffers:
    """The memory of all uploads of a store. `give` may be called from any thread, all else from one only."""

    def __init__(self, small: int) -> None:
        """No upload of more than `small` bytes stays in memory."""
        self._small = small
        self._least = min(LEAST, small)
        self._large: WeakSet[object] = WeakSet()  # the uploads that have had more than that in memory
        self._free: deque[memoryview] = deque()
        self._made = 0
        self.users = 0
        """Uploads that go to the disk now, among which the pool is shared."""

    def may_stay(self, upload: object, size: int) -> bool:
        """Whether an upload of so many bytes may be in memory now: the more there are, the fewer bytes."""
        if size <= self._least:
            return True
        self._large.add(upload)
        return size <= min(self._small, MEMORY // len(self._large))

    def batch(self) -> int:
        """Units that an upload may gather now before it writes them."""
        share = UNITS // max(1, self.users) // (OUTSTANDING + 1)
        return max(1, min(BATCH, share))

    def take(self) -> memoryview | None:
        """A unit, whose content is undefined, or None if all are in use."""
        if self._free:
            return self._free.pop()
        if self._made == UNITS:
            return None
        self._made += 1
        return memoryview(mmap(-1, UNIT))

    def small(self) -> memoryview:
        """A small unit outside the pool: so slow clients never empty the pool for all others."""
        return memoryview(mmap(-1, SMALL_UNIT))

    def give(self, unit: memoryview) -> None:
        if len(unit) == UNIT:
            self._free.append(unit)
