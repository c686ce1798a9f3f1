"""Ids that sort by time."""

import secrets
import threading
import time

RANDOM = 4096
"""Bytes of randomness that are taken from the system at a time."""


class Ids:
    """Makes UUIDv7 (RFC 9562, section 5.7) that strictly increase within the process, as text.

    Milliseconds, then a counter in the 12 bits of rand_a (method 1 of section 6.2), then 62 random bits.
    Safe to call from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0  # milliseconds << 12 | counter
        self._random = b""

    def new(self) -> str:
        with self._lock:
            # A clock that stands still or steps back, and a full counter, take the next value.
            self._last = max(self._last + 1, time.time_ns() // 1_000_000 << 12)
            millis, counter = self._last >> 12, self._last & 0xFFF
            self._random = self._random or secrets.token_bytes(RANDOM)
            random, self._random = int.from_bytes(self._random[:8]), self._random[8:]
        variant = 0x8000 | random >> 50
        return (
            f"{millis >> 16:08x}-{millis & 0xFFFF:04x}-7{counter:03x}-{variant:04x}"
            f"-{random & 0xFFFFFFFFFFFF:012x}"
        )


def now() -> int:
    """Microseconds since the epoch, UTC."""
    return time.time_ns() // 1000
