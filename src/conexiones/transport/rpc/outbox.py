"""The way of a stream's replies: those that are there at the same time leave together."""

import asyncio
from collections.abc import AsyncGenerator

from conexiones.errors import Internal
from conexiones.transport.rpc.exchange import Exchange, Reply

SOFT_LIMIT = 64 << 10
"""Bytes of replies that may wait for the client. The reply that crosses the limit is still queued."""


class Outbox:
    """The replies of one call."""

    __slots__ = ("_exchange", "_frames", "_news", "_room", "_size")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._frames: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()  # there are frames, or there will be no more
        self._room = asyncio.Event()

    async def send_all(self, replies: AsyncGenerator[Reply, None]) -> None:
        """Sends what the handler gives, until its end. Raises what the handler raises; SystemExit and its
        like, which would end the event loop from within a task, as Internal."""
        gathering = asyncio.create_task(self._gather(replies))
        try:
            while not gathering.done() or self._frames:
                await self._news.wait()
                self._news.clear()
                frames, self._frames, self._size = self._frames, [], 0
                self._room.set()
                if frames:
                    await self._exchange.send(frames[0] if len(frames) == 1 else b"".join(frames))
                del frames
            await gathering
        finally:
            gathering.cancel()
            await asyncio.gather(gathering, return_exceptions=True)

    async def _gather(self, replies: AsyncGenerator[Reply, None]) -> None:
        try:
            async for reply in replies:
                data = self._exchange.encoded(reply)
                self._frames.append(data)
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
                self._news.set()  # the last thing that is done: who waits for it looks for the end
