"""Sends the replies of a stream: those that are ready at the same time are sent together."""

import asyncio
from collections.abc import AsyncGenerator

from conexiones.errors import Internal
from conexiones.transport.rpc.exchange import Exchange, Reply

SOFT_LIMIT = 64 << 10
"""Soft limit on the bytes of replies that wait for the client: the reply that crosses it is still queued."""


HEADERS_SECONDS = 0.1
"""A stream whose client has sent nothing for so long, and has no reply, gets the headers of its response
without one. Before, an error is still told in them (Trailers-Only), where the retry policies of gRPC clients
look for it. While a message comes in, some clients take no headers: see chain/unread.py."""


class Outbox:
    """The replies of one call. With `prompt`, the headers of the response do not wait for the first reply:
    many clients have no stream before they have come. Then the handler must not add any."""

    __slots__ = ("_exchange", "_news", "_queue", "_room", "_size", "_timer")

    def __init__(self, exchange: Exchange, *, prompt: bool = False) -> None:
        self._exchange = exchange
        # Until the response begins; None if it begins with the first reply.
        self._timer: asyncio.TimerHandle | None = None
        if prompt:
            self._plan_headers()
        self._queue: list[bytes] = []  # encoded replies
        self._size = 0
        self._news = asyncio.Event()  # replies are queued, or there will be no more
        self._room = asyncio.Event()

    async def send_all(self, replies: AsyncGenerator[Reply, None]) -> None:
        """Sends all replies of the handler, and raises what it raises. SystemExit, KeyboardInterrupt and
        GeneratorExit, which would end the event loop from within a task, become Internal."""
        gathering = asyncio.create_task(self._gather(replies))
        try:
            while not gathering.done() or self._queue:
                await self._news.wait()
                self._news.clear()
                queue, self._queue, self._size = self._queue, [], 0
                self._room.set()
                if queue:
                    self._stop_timer()
                    sending = self._exchange.send(queue[0] if len(queue) == 1 else b"".join(queue))
                    del queue  # what Envoy has not taken yet is in memory once
                    await sending
                elif self._timer is not None and not gathering.done():
                    self._stop_timer()
                    await self._exchange.begin()
            await gathering
        finally:
            self._stop_timer()
            gathering.cancel()
            await asyncio.gather(gathering, return_exceptions=True)

    async def _gather(self, replies: AsyncGenerator[Reply, None]) -> None:
        try:
            async for reply in replies:
                data = self._exchange.encoded(reply)
                self._queue.append(data)
                self._size += len(data)
                del reply, data
                self._news.set()
                while self._size > SOFT_LIMIT:
                    self._room.clear()
                    await self._room.wait()
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            raise Internal from error
        finally:
            try:
                await replies.aclose()
            finally:
                self._news.set()  # last of all, since `send_all` then sees whether this task is done

    def _plan_headers(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEADERS_SECONDS, self._look)

    def _look(self) -> None:
        silence = self._exchange.silence()
        if silence is not None and silence >= HEADERS_SECONDS / 2:
            self._news.set()
        else:
            self._plan_headers()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
