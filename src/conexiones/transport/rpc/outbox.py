"""Sends the replies of a stream: those that are ready at the same time are sent together."""

import asyncio
from collections.abc import AsyncGenerator

from conexiones.errors import Internal
from conexiones.transport.rpc.exchange import Exchange, Reply

SOFT_LIMIT = 64 << 10
"""Soft limit on the bytes of replies that wait for the client: the reply that crosses it is still queued."""


HEADERS_SECONDS = 0.1
"""A stream that has no reply for so long gets the headers of its response without one. Before, an error is
still told in them (Trailers-Only), where the retry policies of gRPC clients look for it."""


class Outbox:
    """The replies of one call. With `prompt`, the headers of the response do not wait for the first reply:
    many clients have no stream before they have come. Then the handler must not add any."""

    __slots__ = ("_exchange", "_news", "_prompt", "_queue", "_room", "_size")

    def __init__(self, exchange: Exchange, *, prompt: bool = False) -> None:
        self._exchange = exchange
        self._prompt = prompt
        self._queue: list[bytes] = []  # encoded replies
        self._size = 0
        self._news = asyncio.Event()  # replies are queued, or there will be no more
        self._room = asyncio.Event()

    async def send_all(self, replies: AsyncGenerator[Reply, None]) -> None:
        """Sends all replies of the handler, and raises what it raises. SystemExit, KeyboardInterrupt and
        GeneratorExit, which would end the event loop from within a task, become Internal."""
        gathering = asyncio.create_task(self._gather(replies))
        timer = None
        if self._prompt:
            timer = asyncio.get_running_loop().call_later(HEADERS_SECONDS, self._news.set)
        try:
            while not gathering.done() or self._queue:
                await self._news.wait()
                self._news.clear()
                queue, self._queue, self._size = self._queue, [], 0
                self._room.set()
                if queue:
                    sending = self._exchange.send(queue[0] if len(queue) == 1 else b"".join(queue))
                    del queue  # what Envoy has not taken yet is in memory once
                    await sending
                elif self._prompt and not gathering.done():
                    await self._exchange.begin()
                if timer is not None:
                    timer.cancel()
                    timer = None
            await gathering
        finally:
            if timer is not None:
                timer.cancel()
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
