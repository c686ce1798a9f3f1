"""Handles a stream of independent requests: works on several at a time, and replies in their order.

So several requests share the cost of one commit.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Generic, TypeVar

from conexiones.errors import Internal

Q = TypeVar("Q")
R = TypeVar("R")

REQUESTS = 16
"""Requests of one stream that may wait behind the one whose reply is next."""

BYTES = 16 << 20
"""Bytes of the requests of all streams together. A request for which there is no room is worked on at once,
too, but its stream reads no other until it is done."""


class Pipeline(Generic[Q, R]):
    """The handler of a method with streams. `work` gives the reply to one request. Several run at a time and
    may end in any order; they are cancelled if the stream ends early. `size` gives the bytes of a request.

    The bounds are for all streams of the handler together. Belongs to one event loop.
    """

    def __init__(self, work: Callable[[Q, Any], Coroutine[Any, Any, R]], size: Callable[[Q], int]) -> None:
        self._work = work
        self._size = size
        self._held = 0

    async def __call__(self, requests: AsyncIterator[Q], call: Any) -> AsyncIterator[R]:
        """The reply to each request, in their order.

        What `work` or `requests` raises comes in its turn, after all replies before it.
        """
        turns: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue()
        room = asyncio.Event()

        async def read() -> None:
            try:
                async for request in requests:
                    size = self._size(request)
                    task = asyncio.create_task(_contained(self._work(request, call)))
                    del request
                    turns.put_nowait(task)
                    if self._held + size <= BYTES:
                        self._hold(size, task)
                    else:
                        await asyncio.wait((task,))
                    while turns.qsize() >= REQUESTS:
                        room.clear()
                        await room.wait()
            finally:
                turns.put_nowait(None)

        reader = asyncio.create_task(read())
        task: asyncio.Task[R] | None = None
        try:
            while (task := await turns.get()) is not None:
                room.set()
                yield await task
            await reader
        finally:
            left = [turns.get_nowait() for _ in range(turns.qsize())]
            unfinished = [reader, *(one for one in (task, *left) if one is not None)]
            for one in unfinished:
                one.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    def _hold(self, size: int, task: "asyncio.Task[R]") -> None:
        def release(_: object) -> None:
            self._held -= size

        self._held += size
        task.add_done_callback(release)


async def _contained(work: Coroutine[Any, Any, R]) -> R:
    """Turns SystemExit, KeyboardInterrupt and GeneratorExit, which would end the event loop from within a
    task, into Internal."""
    try:
        return await work
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise Internal from error
