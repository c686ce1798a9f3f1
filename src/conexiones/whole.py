"""Work that is done whole once it has begun, although its caller is cancelled."""

import asyncio
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
