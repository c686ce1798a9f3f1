"""When to retry after a failure, and when to give up."""

import asyncio
import random
import time

from conexiones.errors import ConexionesError
from conexiones.sdk.failures import ConnectionLost, NoProgress, Unreachable

FIRST_PAUSE_SECONDS = 0.1
"""Length of the pause after the first failure; it doubles with each further failure."""
LONGEST_PAUSE_SECONDS = 5.0
"""Upper bound of one pause."""
FIRST_ANSWER_SECONDS = 10.0
"""How long to try a server that never answered. It is shorter than the usual patience, because such an
address is more likely wrong than its server is down."""


class Backoff:
    """Exponential backoff with jitter. Gives up after `patience` seconds without progress."""

    def __init__(self, patience: float, address: str) -> None:
        self._patience = patience
        self._address = address
        self._since = time.monotonic()
        self._failures = 0

    def progress(self) -> None:
        """Starts the patience anew, and the next pause is short again."""
        self._since = time.monotonic()
        self._failures = 0

    async def pause(self, error: ConexionesError, *, reached: bool) -> None:
        """Waits before the next attempt, at least as long as the server asked for (`retry_after`).

        `reached`: whether the server has ever answered. Raises NoProgress, or Unreachable if it never has.
        """
        delay = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures)
        delay *= random.uniform(0.5, 1)
        delay = max(delay, error.retry_after or 0)
        self._failures += 1
        spent = time.monotonic() - self._since
        if not reached and isinstance(error, ConnectionLost) and spent + delay > FIRST_ANSWER_SECONDS:
            raise Unreachable(address=self._address, why=error.facts["why"]) from error
        if spent + delay > self._patience:
            raise NoProgress(seconds=round(spent), last=error.message) from error
        await asyncio.sleep(delay)
