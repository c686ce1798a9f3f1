"""Ids that sort by time."""

import secrets
import threading
import time


class Ids:
    """Makes UUIDv7 (RFC 9562, section 5.7) that strictly increase within the process, as text.

    Milliseconds, then a counter in the 12 bits of rand_a (method 1 of section 6.2), then 62 random bits.
    Safe to call from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0  # milliseconds << 12 | counter

    def new(self) -> str:
        with self._lock:
            # A clock that stands still or steps back, and a full counter, take the next value.
            self._last = max(self._last + 1, time.time_ns() // 1_000_000 << 12)
            millis, counter = self._last >> 12, self._last & 0xFFF
        value = millis << 80 | 7 << 76 | counter << 64 | 2 << 62 | secrets.randbits(62)
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def now() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000
