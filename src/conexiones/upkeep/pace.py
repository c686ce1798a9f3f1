"""How fast a store is read."""

import asyncio
import time

_NAP_SECONDS = 0.05
"""The shortest pause, as sleeping is not exact."""


class Pace:
    """At most so many bytes a second, by pauses; None for any number."""

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._due = time.monotonic()

    def take(self, size: int) -> None:
        """Waits as long as reading so many bytes may take."""
        if pause := self._pause(size):
            time.sleep(pause)

    async def wait(self, size: int) -> None:
        """The same, for tasks."""
        if pause := self._pause(size):
            await asyncio.sleep(pause)

    def _pause(self, size: int) -> float:
        if self._rate is None:
            return 0.0
        self._due = max(self._due, time.monotonic() - 1) + size / self._rate
        left = self._due - time.monotonic()
        return left if left > _NAP_SECONDS else 0.0
