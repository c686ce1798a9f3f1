"""What clients send, before connectrpc assembles it: memory for messages is bounded over all clients.

connectrpc holds a message until it is complete. While a call does not ask for more, Envoy stops its client
(flow control), so a message that is larger than what has come of it waits here for room in one shared
budget before any more of it is read.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from conexiones.errors import ClientStalled

Receive = Callable[[], Awaitable[Any]]

COPIES = 3
"""How often a message is in memory at its peak: as assembled, as cut out, and as its decoded field."""

INFLATION = 1032
"""The most that a byte of deflate can become (https://zlib.net/zlib_tech.html)."""

FREE = 64 * 1024
"""Messages up to this size, in bytes, go without the budget."""


FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""Seconds between looking whether a client is still there: at first, and when a call takes long."""


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
    Connect streams); otherwise the body is one message of `declared` bytes, None if it did not say, and
    `compressed` or not.
    """

    __slots__ = (
        "_budget",
        "_compressed",
        "_declared",
        "_ended",
        "_framed",
        "_head",
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
        compressed: bool,
        declared: int | None,
        max_message_bytes: int,
        stall_seconds: float,
    ) -> None:
        self._receive = receive
        self._budget = budget
        self._framed = framed
        self._compressed = compressed
        self._declared: int | None = min(declared or max_message_bytes, max_message_bytes)
        self._max = max_message_bytes
        self._stall = stall_seconds
        self._head = b""  # of a message whose five bytes have not all come
        self._left = 0  # bytes of a message that are still to come
        self._held = 0
        self._ended = False
        self._pending: asyncio.Future[Any] | None = None

    async def __call__(self) -> Any:
        if self._ended:
            return await self._after_body()
        if not self._left:
            # The caller comes back for more, and the message before was complete: it is done with it.
            self.close()
        if not self._held:
            message = await self._receive()
        else:
            try:
                async with asyncio.timeout(self._stall):
                    message = await self._receive()
            except TimeoutError:
                raise ClientStalled(limit=math.ceil(self._stall)) from None
        if message["type"] != "http.request":
            return message
        self._ended = not message.get("more_body", False)
        size = self._size(message.get("body", b"")) * COPIES
        if size > self._held:
            # Never while holding some: two that wait for each other would wait for ever.
            self.close()
            await self._budget.acquire(size)
            self._held = size
        return message

    def close(self) -> None:
        """Gives back what is held."""
        if self._held:
            self._budget.release(self._held)
            self._held = 0

    async def _after_body(self) -> Any:
        """Waits for the disconnect.

        pyvoy gives an empty body again and again until then: asked without a pause, it keeps two threads
        busy for as long as the call lasts. Cancelled, its receive() logs an InvalidStateError on its way out,
        so it is left to finish by itself.
        """
        pause = FIRST_PAUSE
        while True:
            if self._pending is None:
                self._pending = asyncio.ensure_future(self._receive())
            message = await asyncio.shield(self._pending)
            self._pending = None
            if message["type"] == "http.disconnect":
                return message
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)

    def _size(self, body: bytes) -> int:
        """Bytes of the largest message that this piece of the body begins and that has to have room."""
        if self._framed:
            return self._size_of_frames(body)
        if self._declared is None:
            return 0
        whole = min(self._declared * INFLATION, self._max) if self._compressed else self._declared
        came_whole = self._ended and not self._compressed
        self._declared, self._left = None, 1  # the rest of it, up to the end of the body
        return 0 if came_whole or whole <= FREE else whole

    def _size_of_frames(self, body: bytes) -> int:
        largest = 0
        at = min(self._left, len(body))
        self._left -= at
        while at < len(body):
            head = self._head + body[at : at + 5 - len(self._head)]
            at += len(head) - len(self._head)
            self._head = b""
            if len(head) < 5:
                self._head = head
                break
            length = int.from_bytes(head[1:])
            here = min(length, len(body) - at)
            at += here
            self._left = length - here
            if length > self._max:
                break  # connectrpc refuses it as it stands
            if head[0] & 1:
                largest = max(largest, min(length * INFLATION, self._max))
            elif self._left:
                largest = max(largest, length)
        return largest if largest > FREE else 0
