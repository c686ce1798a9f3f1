"""The pace of calls: a token bucket for each caller, to which calls and bytes are charged."""

import asyncio
import math
import random
import time

from conexiones.errors import RateExceeded

BURST_SECONDS = 5.0
"""So many seconds' worth may come at once, after as long a time without calls."""

FREE = 64 << 10
"""Bytes of a call that are counted and do not wait. So small calls go on beside a stream that is paced."""

RESERVE = 0.25
"""The part of the burst that streams leave to calls that begin."""

LONGEST_SECONDS = 3600.0
"""The longest that anybody is told to wait, or waits for a piece."""


class Bucket:
    """A token bucket: it holds `burst` at most, and gets `rate` in a second. Its level may be negative: what
    came was more than there was.

    `promised` is what those wait for who wait: it may come in addition to the burst.
    """

    __slots__ = ("_least", "_time", "burst", "level", "promised", "rate")

    def __init__(self, rate: float, *, least: float) -> None:
        """`least` is the least burst, so that one call, or one piece, fits into it."""
        self._least = least
        self._time = time.monotonic()
        self.promised = 0.0
        self.rate, self.burst = rate, max(least, rate * BURST_SECONDS)
        self.level = self.burst

    def fill(self, rate: float) -> None:
        """Adds what has come in since the last time, of which there is `rate` in a second from now on."""
        now = time.monotonic()
        self.level = min(self.burst + self.promised, self.level + (now - self._time) * self.rate)
        self._time = now
        if rate != self.rate:
            self.rate, self.burst = rate, max(self._least, rate * BURST_SECONDS)

    def seconds_until(self, level: float) -> float:
        """How long it takes until there is so much."""
        if self.level >= level:
            return 0.0
        return min(LONGEST_SECONDS, (level - self.level) / self.rate) if self.rate else LONGEST_SECONDS

    def refusal(self, unit: str, needed: float) -> RateExceeded:
        """The error of a call that needs so much. Its `retry_after` is spread, so that those who are refused
        together do not all come back together."""
        if not self.rate:
            error = RateExceeded(unit=unit, limit=0, seconds=round(LONGEST_SECONDS))
            error.retry_after = LONGEST_SECONDS
            return error
        seconds = max(1, math.ceil(self.burst / self.rate))
        error = RateExceeded(unit=unit, limit=math.floor(self.burst), seconds=seconds)
        wait = self.seconds_until(needed)
        error.retry_after = wait + random.random() * max(1.0, wait)
        return error


class Pace:
    """The pace of one call: its bytes are charged to the bucket of its caller, and wait until they are paid
    for. Belongs to one event loop."""

    __slots__ = ("_bucket", "_moved")

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._moved = 0  # bytes in both directions

    def due(self, size: int) -> float:
        """Seconds for which so many bytes have to wait before they go on."""
        if self._moved + size <= FREE:
            return 0.0
        bucket = self._bucket
        bucket.fill(bucket.rate)
        return bucket.seconds_until(bucket.burst * RESERVE + bucket.promised + size)

    async def rest(self, size: int, seconds: float) -> None:
        """Waits for them. Others wait for what is promised to those who came before."""
        self._bucket.promised += size
        try:
            await asyncio.sleep(seconds)
        finally:
            self._bucket.fill(self._bucket.rate)
            self._bucket.promised -= size

    def moved(self, size: int) -> None:
        """Bytes have come, or go out."""
        self._bucket.level -= size
        self._moved += size
