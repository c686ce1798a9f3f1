"""A cache in memory of what was read and checked, so that what is asked for often costs no thread."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Hashable
from types import TracebackType
from typing import Generic, TypeVar

from conexiones.adapters.system.cache_metrics import CacheMetrics
from conexiones.metrics import Metrics

LARGEST = 64 << 10
"""Bytes of the largest value that is kept."""

IDLE_SECONDS = 120.0
"""What nobody has asked for in this time is given back."""

ENTRY = 400
"""Bytes that an entry takes besides its value, with its key."""

V = TypeVar("V")


class _Entry(Generic[V]):
    __slots__ = ("size", "used", "value")

    def __init__(self, value: V, size: int) -> None:
        self.value = value
        self.size = size
        self.used = time.monotonic()


class MemoryCache(Generic[V]):
    """Values by key, of `limit` bytes in all; the least recently used are dropped first. Belongs to one event
    loop, and needs one only while it keeps something.

    What was dropped is never given again by a read that began before: see `reading`.
    """

    def __init__(self, limit: int, *, metrics: Metrics | None = None) -> None:
        self.limit = limit
        self._entries: OrderedDict[Hashable, _Entry[V]] = OrderedDict()  # the least recently used first
        self._readings: dict[Hashable, set[Reading[V]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.held = 0  # bytes
        self._counts = CacheMetrics(metrics or Metrics(), "memory", size=lambda: self.held, limit=limit)

    def get(self, key: Hashable) -> V | None:
        found = self.peek(key)
        if found is None:
            self._counts.misses.value += 1
        return found

    def peek(self, key: Hashable) -> V | None:
        """As `get`, for those who call that next if there is nothing: only then is a miss counted."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._counts.hits.value += 1
        entry.used = time.monotonic()
        self._entries.move_to_end(key)
        return entry.value

    def reading(self, key: Hashable) -> "Reading[V]":
        """The context of reading a value from where it is stored, which may keep what was read."""
        return Reading(self, key)

    def drop(self, key: Hashable) -> None:
        """Forgets a value, and has those who are reading it keep nothing. Call it when the value is to go,
        before that is acknowledged."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.held -= entry.size
        for reading in self._readings.pop(key, ()):
            reading.stale = True

    def clear(self) -> None:
        for key in [*self._entries, *self._readings]:
            self.drop(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, reading: "Reading[V]") -> None:
        self._readings.setdefault(reading.key, set()).add(reading)

    def end(self, reading: "Reading[V]") -> None:
        readings = self._readings.get(reading.key)
        if readings is not None:
            readings.discard(reading)
            if not readings:
                del self._readings[reading.key]

    def keep(self, key: Hashable, value: V, size: int) -> None:
        """Keeps a value of `size` bytes, unless it is too large."""
        size += ENTRY
        if size > min(LARGEST + ENTRY, self.limit):
            return
        before = self._entries.pop(key, None)
        self.held += size - (before.size if before else 0)
        self._entries[key] = _Entry(value, size)
        while self.held > self.limit:
            _, oldest = self._entries.popitem(last=False)
            self.held -= oldest.size
            self._counts.evictions.value += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)

    def _look(self) -> None:
        """Drops what is idle."""
        self._timer = None
        now = time.monotonic()
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            left = entry.used + IDLE_SECONDS - now
            if left > 0:
                self._timer = asyncio.get_running_loop().call_later(left, self._look)
                return
            del self._entries[key]
            self.held -= entry.size


class Reading(Generic[V]):
    """A value that is being read. What `keep` is given is kept unless the key was dropped since the context
    was entered."""

    __slots__ = ("_cache", "key", "stale")

    def __init__(self, cache: MemoryCache[V], key: Hashable) -> None:
        self._cache = cache
        self.key = key
        self.stale = False

    def keep(self, value: V, size: int) -> None:
        if not self.stale:
            self._cache.keep(self.key, value, size)

    def __enter__(self) -> "Reading[V]":
        self._cache.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cache.end(self)
