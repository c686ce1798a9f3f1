"""The body of a request as it comes, in pieces."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from conexiones.errors import Cancelled, ClientStalled

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""Seconds between two checks whether a client is still there. They double from the first to the last."""


class Body:
    """Read by one task at a time. `stall_seconds` is how long no byte may come in the middle of a message;
    `on_end` is called when the body has ended."""

    __slots__ = ("_pending", "_receive", "ended", "on_end", "stall_seconds")

    def __init__(self, receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        self._pending: asyncio.Future[Any] | None = None
        self.ended = False
        self.on_end: Callable[[], None] | None = None
        self.stall_seconds = math.inf

    async def read(self, *, within: bool = False) -> bytes | None:
        """The next piece, perhaps an empty one; None after the last. `within` says that a message has begun.

        Raises Cancelled if the client goes away, and ClientStalled.
        """
        if self.ended:
            return None
        if within:
            try:
                async with asyncio.timeout(self.stall_seconds):
                    event = await self._receive()
            except TimeoutError:
                raise ClientStalled(limit=math.ceil(self.stall_seconds)) from None
        else:
            event = await self._receive()
        if event["type"] != "http.request":
            raise Cancelled
        if not event.get("more_body", False):
            self.ended = True
            if self.on_end:
                self.on_end()
        piece: bytes = event["body"]
        return piece

    async def disconnected(self) -> None:
        """Waits until the client has gone away. To be called when the body has ended.

        Until then, each receive() of pyvoy returns an empty body at once: without a pause, two threads would
        be busy for as long as the call lasts. A receive() that is cancelled logs an InvalidStateError, so
        this one is shielded, and finishes by itself.
        """
        pause = FIRST_PAUSE
        while True:
            if self._pending is None:
                self._pending = asyncio.ensure_future(self._receive())
            event = await asyncio.shield(self._pending)
            self._pending = None
            if event["type"] == "http.disconnect":
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
