"""What clients send, before connectrpc assembles it: memory for messages is bounded over all clients.

connectrpc holds a message until it is complete. While a call does not ask for more, Envoy stops its client
(flow control), so a message that is larger than what has come of it waits here for room in one shared
budget before any more of it is read.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from conexiones.errors import ClientStalled

Receive = Callable[[], Awaitable[Any]]

COPIES = 3
"""How often a message is in memory at its peak: as assembled, as cut out, and as its decoded field."""

FREE = 64 * 1024
"""Messages up to this size, in bytes, go without the budget."""


class Budget:
    """Bytes that may be held at a time; those who wait get their share in the order they came."""

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
            if turn.done() and not turn.cancelled():
                self.release(size)
            else:
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


class Inbound:
    """The ASGI receive() of one request. Call `close` at its end.

    `framed` says that the body is a row of messages, each behind five bytes of flags and length (gRPC,
    Connect streams); otherwise the body is one message of `declared` bytes, None if it did not say.
    """

    __slots__ = (
        "_budget",
        "_done",
        "_ended",
        "_framed",
        "_header",
        "_held",
        "_left",
        "_max",
        "_pending",
        "_receive",
        "_stall",
    )

    def __init__(
        self,
        receive: Receive,
        budget: Budget,
        *,
        framed: bool,
        declared: int | None,
        max_message_bytes: int,
        stall_seconds: float,
    ) -> None:
        self._receive = receive
        self._budget = budget
        self._framed = framed
        self._max = max_message_bytes
        self._stall = stall_seconds
        self._header = b""
        self._left = 0 if framed else min(declared or max_message_bytes, max_message_bytes)
        self._held = 0
        self._done = False
        self._ended = False
        self._pending: asyncio.Future[Any] | None = None

    async def __call__(self) -> Any:
        if self._ended:
            return await self._after_body()
        if self._done:
            # The caller comes back for more, so it is done with the message before.
            self.close()
        if not self._held:
            message = await self._receive()
        else:
            try:
                async with asyncio.timeout(self._stall):
                    message = await self._receive()
            except TimeoutError:
                raise ClientStalled(limit=round(self._stall)) from None
        if message["type"] != "http.request":
            return message
        if not message.get("more_body", False):
            self._ended = True
            return message
        body = message.get("body", b"")
        size = self._size_of_rest(body) if self._framed else self._size_of_body(len(body))
        if size:
            await self._budget.acquire(size)
            self._held = size
        return message

    def close(self) -> None:
        """Gives back what is held."""
        if self._held:
            self._budget.release(self._held)
            self._held = 0
        self._done = False

    async def _after_body(self) -> Any:
        # connectrpc listens here for a disconnect, and stops listening when the call is over. Cancelled, a
        # receive() of pyvoy logs an InvalidStateError on its way out, so it is left to finish by itself.
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._receive())
        message = await asyncio.shield(self._pending)
        self._pending = None
        return message

    def _size_of_body(self, got: int) -> int:
        whole = self._left
        self._left = 0
        return whole * COPIES if whole > max(got, FREE) else 0

    def _size_of_rest(self, body: bytes) -> int:
        """Bytes to take from the budget for the message that this piece leaves incomplete."""
        at = min(self._left, len(body))
        self._left -= at
        if self._held and not self._left:
            self._done = True
        length = 0
        while at < len(body):
            head = self._header + body[at : at + 5 - len(self._header)]
            at += len(head) - len(self._header)
            if len(head) < 5:
                self._header = head
                return 0
            self._header = b""
            length = int.from_bytes(head[1:], "big")
            took = min(length, len(body) - at)
            at += took
            self._left = length - took
        if not self._left or not FREE < length <= self._max:
            return 0
        self.close()
        return length * COPIES
