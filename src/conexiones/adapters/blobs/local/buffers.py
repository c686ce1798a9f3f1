"""The memory of uploads: which of them may stay in memory, and the buffers by which others go to the disk.

The buffers are aligned for O_DIRECT. Memory that is touched for the first time is slower than the disk, so a
buffer that was used stays in a pool while there are uploads.
"""

import threading
from collections import deque
from collections.abc import Callable
from mmap import mmap
from weakref import WeakSet

from conexiones.shares import Caller, Shares

MEMORY = 192 << 20
UPLOADS = 1000
"""By default, so much memory is for so many uploads. See Buffers for what is done with it."""

UNIT = 1 << 20
"""Bytes of a unit of the pool."""

SMALL_UNITS = 4 << 10, 64 << 10
"""The least and the most bytes of a small unit, which is a power of two between them."""

KEPT_SMALL = 4 << 20
"""Bytes of small units that are kept for the next ones: mapping and clearing memory takes the event loop
longer than filling it."""

BATCH = 4
"""The most units that are written with one call."""

OUTSTANDING = 4
"""Batches of an upload that threads may be busy with while the next one is filled. One is written and one is
hashed; with two more, neither waits when the other takes longer."""


class Buffers:
    """The memory of all uploads of a store. `give` may be called from any thread, all else from one only.

    A third of the memory is for uploads that stay in memory, and a third is the pool. Of the rest each upload
    may have a small unit outside the pool, however many uploads there are: as long as it has no more bytes,
    and when it finds no unit in the pool and holds none. Of the pool each client has a share: one whose
    uploads stand still with units that are not full leaves some for the others.
    """

    def __init__(self, small: int, *, memory: int = MEMORY, uploads: int = UPLOADS) -> None:
        """No upload of more than `small` bytes stays in memory. All have at most `memory` bytes, while there
        are no more than `uploads`."""
        third = memory // 3
        least, most = SMALL_UNITS
        self._small_unit = max(least, min(most, 1 << (third // uploads).bit_length() - 1))
        self._memory = third
        self._units = max(1, third // UNIT)
        self._shares = Shares(self._units)
        self._lock = threading.Lock()  # for the shares
        self._small = small
        self._least = min(self._small_unit, small)
        self._large: WeakSet[object] = WeakSet()  # the uploads that have had more than that in memory
        self._free: deque[memoryview] = deque()
        self._free_small: deque[memoryview] = deque(maxlen=max(1, KEPT_SMALL // self._small_unit))
        self._made = 0
        self.waited: Callable[[float], None] = lambda seconds: None
        """Is told the seconds of each wait for a unit."""
        self.users = 0
        """Uploads that go to the disk now, among which the pool is shared."""

    @property
    def held(self) -> int:
        """Bytes of the pool that are in use."""
        return self._shares.held * UNIT

    @property
    def limit(self) -> int:
        return self._units * UNIT

    def may_stay(self, upload: object, size: int) -> bool:
        """Whether an upload of so many bytes may be in memory now: the more there are, the fewer bytes."""
        if size <= self._least:
            return True
        self._large.add(upload)
        return size <= min(self._small, self._memory // len(self._large))

    def batch(self) -> int:
        """Units that an upload may gather now before it writes them."""
        share = self._units // max(1, self.users) // (OUTSTANDING + 1)
        return max(1, min(BATCH, share))

    def take(self, caller: Caller) -> memoryview | None:
        """A unit, whose content is undefined, or None if all are in use, or enough by that client."""
        with self._lock:
            if not self._shares.free(1) or self._shares.full(caller.client):
                return None
            self._shares.take(caller, 1)
        if self._free:
            return self._free.pop()
        self._made += 1
        return memoryview(mmap(-1, UNIT))

    def small(self) -> memoryview:
        """A small unit outside the pool: so slow clients never empty the pool for all others."""
        if self._free_small:
            return self._free_small.pop()
        return memoryview(mmap(-1, self._small_unit))

    def leave(self) -> None:
        """One of the users has ended. After the last one, only what a single upload needs is kept."""
        self.users -= 1
        if not self.users:
            while len(self._free) > BATCH * (OUTSTANDING + 1):
                self._free.pop()
                self._made -= 1
            self._free_small.clear()

    def give(self, caller: Caller, unit: memoryview) -> None:
        """Takes back a unit, or a small one, of the caller."""
        if len(unit) == UNIT:
            self._free.append(unit)
            with self._lock:
                self._shares.give(caller, 1)
        elif self.users:
            self._free_small.append(unit)
