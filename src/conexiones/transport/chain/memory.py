"""Memory for messages on their way in: one budget for all clients.

While a call does not ask for more of its body, Envoy stops its client (flow control). So a message that is
larger than what has come of it waits for room in the budget before any more of it is read.
"""

import asyncio
from collections import deque

COPIES = 3
"""How often a message is in memory at its peak: as assembled, as cut out, and as its decoded field."""

FREE = 64 * 1024
"""Messages up to this size, in bytes, go without the budget."""


class Budget:
    """Bytes that may be held at a time. Whoever waits gets its share in the order of arrival."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> None:
        """Takes `size` bytes, at most the limit, when they are free. Cancelled, it takes none."""
        if not self._waiting and self.held + size <= self.limit:
            self.held += size
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release(size)
            elif entry in self._waiting:  # else a release has passed it over
                self._waiting.remove(entry)
                self._grant()
            raise

    def release(self, size: int) -> None:
        self.held -= size
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self.held + self._waiting[0][0] <= self.limit:
            size, turn = self._waiting.popleft()
            if not turn.cancelled():
                self.held += size
                turn.set_result(None)


class Lease:
    """What one call holds of the budget, for the message that is coming in."""

    __slots__ = ("_budget", "_held")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0

    @property
    def holds(self) -> bool:
        """Whether there is anything for which others may have to wait."""
        return self._held > 0

    async def hold(self, size: int) -> None:
        """Waits for room for a message of `size` bytes, unless it is small."""
        needed = size * COPIES
        if size > FREE and needed > self._held:
            # Never while holding some: two calls that wait for each other would wait for ever.
            self.release()
            await self._budget.acquire(needed)
            self._held = needed

    def release(self) -> None:
        if self._held:
            held, self._held = self._held, 0
            self._budget.release(held)
