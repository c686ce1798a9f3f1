"""Memory for messages on their way in, divided among all clients.

While a call does not read its body, Envoy stops the client (flow control). So no more of an incomplete
message is read before there is room for all of it. Small messages never wait for large ones, and large ones
that come in slowly never hold what is needed to work on those that are there.
"""

import math

from conexiones.errors import ClientStalled
from conexiones.metrics import Metrics
from conexiones.shares import Caller
from conexiones.transport.chain.body import Body
from conexiones.transport.chain.budget import HURRY_RATE, HURRY_SECONDS, Budget
from conexiones.waits import observe_memory, observe_waits

COPIES = 2
"""The most copies of a message that are in memory at a time: its body and, where it was compressed or is
JSON, what is decoded from it."""

FREE = 64 * 1024
"""Messages of at most this size, in bytes, are not counted."""

SMALL = 2 << 20
"""The largest message, in bytes, that counts as small. Chunks of uploads and most images are."""


class Memory:
    """`limit` bytes for the messages of all clients, of which the largest may have `max_message`.

    small: of small messages, from their first byte on until they are done with.
    incoming: of the others while they come in.
    work: of the others while they are decoded and worked on. This takes no longer for a slow client.
    """

    def __init__(
        self, limit: int, *, max_message: int, wait_seconds: float, metrics: Metrics | None = None
    ) -> None:
        small = limit // (4 if limit >= 4 * max_message else 8)
        incoming = max(max_message, (limit - small) // COPIES)
        self.small = Budget(small, wait_seconds=wait_seconds)
        self.incoming = Budget(incoming, wait_seconds=wait_seconds)
        self.work = Budget(max(1, limit - small - incoming), wait_seconds=wait_seconds)
        self.most_small = min(SMALL, small // COPIES)
        if metrics is not None:
            for name, budget in (
                ("small_messages", self.small),
                ("incoming_messages", self.incoming),
                ("messages_in_work", self.work),
            ):
                observe_memory(metrics, name, budget)
                observe_waits(metrics, name, budget)

    @property
    def held(self) -> int:
        return self.small.held + self.incoming.held + self.work.held


class Lease:
    """What one call holds of the memory, for the message that is coming in or is worked on."""

    __slots__ = ("_body", "_held", "_mark", "_memory", "_pool", "_work", "caller")

    def __init__(self, memory: Memory, caller: Caller, body: Body) -> None:
        self._memory = memory
        self.caller = caller
        self._body = body
        self._pool: Budget | None = None  # `small` or `incoming`, while it holds some of it
        self._held = 0
        self._work = 0
        self._mark: tuple[float, int] | None = None

    @property
    def most_small(self) -> int:
        """The largest message, in bytes, that counts as small."""
        return self._memory.most_small

    async def hold(self, size: int) -> None:
        """Waits for room for a message of `size` bytes to come in, unless it is tiny. Raises ServerBusy.

        Of a small message this is the room for all COPIES; for those of a large one there is `work`.
        """
        if size <= FREE:
            return
        memory = self._memory
        is_small = size <= memory.most_small
        pool = memory.small if is_small else memory.incoming
        needed = min(size * COPIES if is_small else size, pool.limit)
        if self._pool is pool and needed <= self._held:
            return
        # It holds nothing while it waits: two calls that waited for each other would do so for ever.
        self.release()
        await pool.take(self.caller, needed)
        self._pool, self._held, self._mark = pool, needed, None
        pool.holders.add(self)

    async def work(self, size: int) -> None:
        """Waits for the room for a large message of `size` bytes that is whole, on which no client has any
        influence. Raises ServerBusy."""
        memory = self._memory
        needed = min(size, memory.work.limit)
        if size <= memory.most_small or needed <= self._work:
            return
        self._end_work()
        await memory.work.take(self.caller, needed)
        self._work = needed

    def decoded(self) -> None:
        """A large message has come in: what it holds from now on is `work`."""
        if self._pool is self._memory.incoming:
            self._end_hold()

    def release(self) -> None:
        """The message is done with."""
        if self._pool is not None:
            self._end_hold()
        if self._work:
            self._end_work()

    def hurry(self) -> None:
        """As in Holder: ends the call if the message has come too slowly since the last time."""
        waited, came = self._body.progress()
        if self._mark is None or waited < self._mark[0]:
            self._mark = waited, came
        elif waited - self._mark[0] >= HURRY_SECONDS:
            if came - self._mark[1] < HURRY_RATE * (waited - self._mark[0]):
                self._body.end_wait(ClientStalled(limit=math.ceil(HURRY_SECONDS)))
            self._mark = waited, came

    def _end_hold(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give(self.caller, self._held)
            pool.holders.discard(self)
        self._held = 0

    def _end_work(self) -> None:
        work, self._work = self._work, 0
        if work:
            self._memory.work.give(self.caller, work)
