"""When to try again, and when no longer."""

import asyncio
import random
import time

from conexiones.errors import ConexionesError
from conexiones.sdk.failures import ConnectionLost, NoProgress, Unreachable

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 5.0
REACH_SECONDS = 10.0
"""For how long a server that never answered is tried: its address is more likely wrong than it down."""


class Pace:
    """Exponential backoff with jitter, 0.1 to 5 seconds, until `patience` seconds brought no progress."""

    def __init__(self, patience: float, address: str) -> None:
        self._patience = patience
        self._address = address
        self._since = time.monotonic()
        self._failures = 0

    def progress(self) -> None:
        self._since = time.monotonic()
        self._failures = 0

    async def pause(self, error: ConexionesError, *, reached: bool) -> None:
        """Waits before the next try. Raises NoProgress, or Unreachable if there never was a connection."""
        delay = min(LONGEST_SECONDS, FIRST_SECONDS * 2**self._failures) * random.uniform(0.5, 1)
        delay = max(delay, error.retry_after or 0)
        self._failures += 1
        spent = time.monotonic() - self._since
        if not reached and isinstance(error, ConnectionLost) and spent + delay > REACH_SECONDS:
            raise Unreachable(address=self._address, why=error.facts["why"]) from error
        if spent + delay > self._patience:
            raise NoProgress(seconds=round(spent), last=error.message) from error
        await asyncio.sleep(delay)
