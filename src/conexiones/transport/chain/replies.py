"""Memory for large replies on their way out, divided among all clients, and the watch over clients that do
not read them.

Envoy takes what a call sends until the stream's window and buffer are full; then send() waits. What Envoy has
taken stays in memory until the client reads it, also when the call has ended. So a call whose replies are
large waits for memory before it makes the first, and gives it back when the client has all of them.
"""

import asyncio
import math
import time
from typing import TYPE_CHECKING, Literal

from conexiones.errors import ClientStalled, ConexionesError
from conexiones.metrics import Metrics
from conexiones.shares import Caller
from conexiones.transport.chain.budget import HURRY_RATE, HURRY_SECONDS, Budget
from conexiones.waits import observe_memory, observe_waits

if TYPE_CHECKING:
    from conexiones.transport.chain.body import Body

FREE = 64 << 10
"""Replies of at most this size, in bytes, are not counted."""

PAGE = 2 << 20
"""Bytes for a page of a list, from the rows of the catalog to the encoded reply."""

COPIES = 2
"""Copies of a whole reply: in Python, and in Envoy."""

PIECES = 3
LARGEST_READ = 1 << 20
"""A stream has so many pieces in memory besides its window: queued, sent, and the one with which Envoy's
buffer overflows. And the block of which they are cut, which is checked as a whole."""

FLUSH_PAUSE = 0.002
"""Seconds until it is looked for the first time whether a client has read all of a reply."""

Large = Literal["stream", "page"]
"""How large the replies of a method are: a stream of pieces, such as a download, or a page of a list."""


class Replies:
    """`limit` bytes for the large replies of all clients."""

    def __init__(
        self,
        limit: int,
        *,
        piece: int,
        window: int,
        wait_seconds: float,
        most_waiting: int,
        metrics: Metrics | None = None,
    ) -> None:
        """`piece` is the size of the pieces of a stream, and `window` that of its window. Not more than
        `most_waiting` calls wait at a time: they have places that others need."""
        self.budget = Budget(limit, wait_seconds=wait_seconds, most_waiting=most_waiting)
        self.sizes: dict[Large, int] = {
            "stream": window + PIECES * piece + LARGEST_READ,
            "page": PAGE,
        }
        if metrics is not None:
            observe_memory(metrics, "replies", self.budget)
            observe_waits(metrics, "replies", self.budget)


class Outgoing:
    """The replies of one call on their way. They are sent by one task at a time."""

    __slots__ = (
        "_body",
        "_ending",
        "_held",
        "_replies",
        "_rested",
        "_resting",
        "_sender",
        "_sent",
        "_since",
        "_waited",
        "caller",
    )

    def __init__(self, replies: Replies, caller: Caller, body: "Body") -> None:
        self.caller = caller
        self._replies = replies
        self._body = body
        self._held = 0
        self._sender: asyncio.Task[object] | None = None  # while it waits for the client
        self._ending: ConexionesError | None = None
        self._since = 0.0
        self._sent, self._waited = 0, 0.0  # bytes that the client, or Envoy, took, and the seconds for that
        self._resting, self._rested = False, 0.0  # whether it waits for its pace, and the seconds for that

    async def hold(self, large: Large) -> None:
        """Waits for memory for replies of that kind, before any of them is made. Raises ServerBusy."""
        await self._hold(self._replies.sizes[large])

    async def hold_for(self, size: int) -> None:
        """The same for one reply of `size` bytes, which is made already."""
        await self._hold(size * COPIES)

    async def _hold(self, size: int) -> None:
        budget = self._replies.budget
        more = min(size, budget.limit) - self._held
        if more <= 0:
            return
        await budget.take(self.caller, more)
        self._held += more
        budget.holders.add(self)

    def begin(self, *, resting: bool = False) -> None:
        """The task waits from now on until the client takes something, or first for its pace."""
        self._sender = asyncio.current_task()
        self._resting = resting
        self._since = time.monotonic()

    def rested(self) -> None:
        """The wait for its pace is over."""
        self._sender, self._resting = None, False
        self._rested += time.monotonic() - self._since

    def took(self, size: int) -> None:
        """The client has taken so many bytes, or has gone."""
        self._sender = None
        self._sent += size
        self._waited += time.monotonic() - self._since

    def ended(self) -> ConexionesError | None:
        """The error with which `check` has ended the wait, if the task was cancelled for that."""
        error, self._ending = self._ending, None
        if error is not None and (task := asyncio.current_task()):
            task.uncancel()
        return error

    def check(self, *, stall_seconds: float, least_rate: float) -> None:
        """Ends the wait for a client that takes nothing for `stall_seconds`, or reads too slowly: it has so
        many seconds in all, and one more for every `least_rate` bytes that it took."""
        if self._sender is not None and not self._resting:
            waits = time.monotonic() - self._since
            if waits > stall_seconds or self._waited + waits > stall_seconds + self._sent / least_rate:
                self._end_wait(self._sender, stall_seconds)

    def hurry(self) -> None:
        """As in Holder: ends the wait for a client that reads too slowly, or has a pace that is too slow. It
        may pause for as long as it has read ahead, since many clients read in bursts."""
        if self._sender is not None:
            waits = time.monotonic() - self._since
            if self._waited + self._rested + waits > HURRY_SECONDS + self._sent / HURRY_RATE:
                self._end_wait(self._sender, HURRY_SECONDS)

    def _end_wait(self, sender: "asyncio.Task[object]", seconds: float) -> None:
        if self._ending is None:
            self._ending = ClientStalled(limit=math.ceil(seconds))
            sender.cancel()

    async def flushed(self, seconds: float) -> None:
        """After the end of the call: gives the memory back once the client has everything, or is gone, or the
        time is over, in which Envoy ends the stream."""
        if self._held:
            try:
                async with asyncio.timeout(seconds):
                    await self._body.disconnected(FLUSH_PAUSE)
            except TimeoutError:
                pass
            finally:
                self.release()

    def release(self) -> None:
        held, self._held = self._held, 0
        if held:
            budget = self._replies.budget
            budget.holders.discard(self)
            budget.give(self.caller, held)
