"""Several requests of a stream at a time, their replies in order: so that they share what a commit costs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

Q = TypeVar("Q")
R = TypeVar("R")

REQUESTS = 16
"""Of one stream, from when they are read until their reply is taken."""

BYTES = 16 << 20
"""Of all streams together. A request that finds no room is worked on too, but none is read beside it."""


class Ahead:
    """Bounds for all streams of the service together. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held = 0

    async def replies(
        self,
        requests: AsyncIterator[Q],
        work: Callable[[Q], Coroutine[Any, Any, R]],
        size: Callable[[Q], int],
    ) -> AsyncIterator[R]:
        """What `work` gives for each request, in their order. It may end in any order, and must bear to be
        cancelled when the stream ends early.

        What `work` or `requests` raises comes in its turn, after all replies before it.
        """
        turns: asyncio.Queue[asyncio.Task[R] | None] = asyncio.Queue()
        room = asyncio.Event()

        async def read() -> None:
            try:
                async for request in requests:
                    held = size(request)
                    task = asyncio.create_task(work(request))
                    del request
                    turns.put_nowait(task)
                    if self._held + held <= BYTES:
                        self._hold(held, task)
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
