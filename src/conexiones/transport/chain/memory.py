"""Memory for messages on their way in: one budget for all clients.

While a call does not read its body, Envoy stops the client (flow control). So no more of an incomplete
message is read before the budget has room for all of it.
"""

import asyncio
from collections import deque

COPIES = 3
"""The most copies of a message that are in memory at a time: the body, the message cut out of it, and the
decoded field."""

FREE = 64 * 1024
"""Messages of at most this size, in bytes, are not counted."""


class Budget:
    """Bytes that may be held at a time. Those who wait get theirs in the order in which they came."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def acquire(self, size: int) -> None:
        """Waits until `size` bytes are free, which must not be more than the limit, and takes them. If it is
        cancelled, it takes none."""
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
            elif entry in self._waiting:  # otherwise `_grant` has removed it
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
        """Whether it holds memory, for which other calls may have to wait."""
        return self._held > 0

    async def hold(self, size: int) -> None:
        """Waits for room for a message of `size` bytes, unless it is small."""
        needed = size * COPIES
        if size > FREE and needed > self._held:
            # It holds nothing while it waits: two calls that waited for each other would do so for ever.
            self.release()
            await self._budget.acquire(needed)
            self._held = needed

    def release(self) -> None:
        if self._held:
            held, self._held = self._held, 0
            self._budget.release(held)
