"""The body of a request as it comes, in pieces, and the watch over clients that send too little."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from conexiones.errors import Cancelled, ClientStalled, ConexionesError, StreamIdle
from conexiones.metrics import UNCOUNTED, Counter
from conexiones.transport.chain.pace import Pace

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""Seconds between two checks whether a client is still there. They double from the first to the last."""


class Body:
    """Read by one task at a time. `on_end` is called when the body has ended; `size` counts the bytes so far.

    `end_wait` ends the wait for the client: whoever watches the clients (patience.py) decides when. With a
    `pace`, pieces wait for that, which is no stall of the client. `received` counts the bytes of all calls.
    """

    __slots__ = (
        "_came",
        "_ending",
        "_pending",
        "_reader",
        "_receive",
        "_rested",
        "_resting",
        "_since",
        "_waited",
        "_within",
        "ended",
        "on_end",
        "pace",
        "received",
        "size",
    )

    def __init__(self, receive: Callable[[], Awaitable[Any]]) -> None:
        self._receive = receive
        self._pending: asyncio.Future[Any] | None = None
        self.ended = False
        self.size = 0
        self.on_end: Callable[[], None] | None = None
        self._reader: asyncio.Task[Any] | None = None  # while it waits for the client
        self._ending: ConexionesError | None = None
        self._since = 0.0
        self._within = False
        self.pace: Pace | None = None
        self.received: Counter = UNCOUNTED
        self._resting = False  # it waits for the pace
        # Of the message that is coming in: bytes, and seconds waited for them, and for the pace.
        self._came = 0
        self._waited, self._rested = 0.0, 0.0

    async def read(self, *, within: bool = False) -> bytes | None:
        """The next piece, perhaps an empty one; None after the last. `within` says that a message has begun.

        Raises Cancelled if the client goes away, and what `end_wait` was given.
        """
        if self.ended:
            return None
        if not within or not self._within:
            self._came, self._waited, self._rested = 0, 0.0, 0.0
        self._within = within
        task = self._reader = asyncio.current_task()
        self._since = time.monotonic()
        try:
            event = await self._receive()
        except asyncio.CancelledError:
            error, self._ending = self._ending, None
            if error is None or task is None:
                raise
            task.uncancel()
            raise error from None
        finally:
            self._reader = None
        if event["type"] != "http.request":
            raise Cancelled
        if not event.get("more_body", False):
            self.ended = True
            if self.on_end:
                self.on_end()
        piece: bytes = event["body"]
        self._waited += time.monotonic() - self._since
        self._came += len(piece)
        self.received.value += len(piece)
        self.size += len(piece)
        if self.pace is not None:
            try:
                if seconds := self.pace.due(len(piece)):
                    await self._rest(self.pace, len(piece), seconds)
            finally:
                self.pace.moved(len(piece))  # it has come, even if nobody wants it any more
        return piece

    async def _rest(self, pace: Pace, size: int, seconds: float) -> None:
        """Keeps a piece that has come until it is paid for. Raises what `end_wait` was given."""
        task = self._reader = asyncio.current_task()
        self._since, self._resting = time.monotonic(), True
        try:
            await pace.rest(size, seconds)
        except asyncio.CancelledError:
            error, self._ending = self._ending, None
            if error is None or task is None:
                raise
            task.uncancel()
            raise error from None
        finally:
            self._reader, self._resting = None, False
            self._rested += time.monotonic() - self._since

    async def discard(self, most: int, *, pause: float) -> int | None:
        """Drops what still comes, until nothing has come for `pause` seconds, or `most` bytes have come, and
        gives how many came; None if the body has ended. Raises what `read` raises."""
        came = 0
        try:
            while came < most:
                async with asyncio.timeout(pause):
                    piece = await self.read(within=True)
                if piece is None:
                    return None
                came += len(piece)
        except TimeoutError:
            pass
        return came

    def silence(self) -> float | None:
        """Seconds for which nothing came between two messages, so that nothing is asked; else None."""
        if self._reader is None or self._within or self._resting:
            return None
        return time.monotonic() - self._since

    def check(self, *, stall_seconds: float, least_rate: float, idle_seconds: float) -> None:
        """Ends the wait for a client that is silent for too long, or sends a message too slowly: it has
        `stall_seconds`, and a second more for every `least_rate` bytes that came. 0 of `idle_seconds`: a
        stream may be idle for any length of time."""
        if self._reader is None or self._resting:
            return
        waits = time.monotonic() - self._since
        if not self._within:
            if idle_seconds and waits > idle_seconds:
                self.end_wait(StreamIdle(limit=math.ceil(idle_seconds)))
        elif waits > stall_seconds or self._waited + waits > stall_seconds + self._came / least_rate:
            self.end_wait(ClientStalled(limit=math.ceil(stall_seconds)))

    def progress(self) -> tuple[float, int]:
        """Of the message that is coming in: the seconds for which its client or its pace was waited for, and
        its bytes so far."""
        waits = time.monotonic() - self._since if self._reader is not None else 0.0
        return self._waited + self._rested + waits, self._came

    def end_wait(self, error: ConexionesError) -> None:
        """Has the read that waits now raise the error. If none does, nothing happens."""
        if self._reader is not None and self._ending is None:
            self._ending = error
            self._reader.cancel()

    async def disconnected(self, pause: float = FIRST_PAUSE) -> None:
        """Waits until the client has gone away, or has the whole response. To be called when the body has
        ended. `pause` is the first of the pauses.

        Until then, each receive() of pyvoy returns an empty body at once: without a pause, two threads would
        be busy for as long as the call lasts. A receive() that is cancelled logs an InvalidStateError, so
        this one is shielded, and finishes by itself.
        """
        while True:
            if self._pending is None:
                self._pending = asyncio.ensure_future(self._receive())
            event = await asyncio.shield(self._pending)
            self._pending = None
            if event["type"] == "http.disconnect":
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)
