"""Work that is done whole once it has begun, although its caller is cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def to_end(future: asyncio.Future[T]) -> T:
    """The future's result. If the caller is cancelled, that is raised once the future is done.

    Work in a thread cannot be stopped: this keeps it from going on behind a caller that has gone, on a
    descriptor that was closed or a file that was removed. Other work must not be left half done.
    """
    cancelled: asyncio.CancelledError | None = None
    try:
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError as caught:
                cancelled = caught
        if cancelled is None:
            return future.result()
        if not future.cancelled():
            future.exception()  # marks it as seen: asyncio logs exceptions that nobody looked at
        raise cancelled
    finally:
        # The future has the exception, whose trace has this frame: a circle that would keep all that the
        # frames of the caller hold, such as a refused image, until the garbage collector comes by.
        del future, cancelled


class Together:
    """A function of which calls at once are done together: each gets a run that began after the call."""

    def __init__(self, run: Callable[[], Awaitable[None]]) -> None:
        self._run = run
        self._running = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Raises what the function raises. A run goes on though a caller is cancelled: others wait for it."""
        if self._next is None:
            self._next = asyncio.create_task(self._after_the_last())
            self._next.add_done_callback(_seen)
        await asyncio.shield(self._next)

    async def _after_the_last(self) -> None:
        async with self._running:
            self._next = None  # whoever calls from now on needs another run
            await self._run()


def _seen(task: asyncio.Task[None]) -> None:
    """Marks what a task raised as seen, though nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
