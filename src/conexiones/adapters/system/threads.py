"""Waiting for work in threads and processes, which nobody can stop."""

import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

from conexiones.adapters.system.disk import storage_error

T = TypeVar("T")


class Outcome(asyncio.Future[T]):
    """What a process will have to say. Whoever awaits it and is cancelled is told so when it is decided.

    What it does cannot be stopped: so nobody works on behind a caller that has gone. Awaited by one task,
    once.
    """

    def cancel(self, msg: Any = None) -> bool:
        """Never: asyncio then raises the cancellation in the task that waits, once there is an outcome."""
        return False

    def decide(self, result: T | None, error: BaseException | None) -> None:
        if error is None:
            self.set_result(result)  # type: ignore[arg-type]
        else:
            self.set_exception(error)
            self.exception()  # seen: asyncio logs exceptions that nobody looked at


async def to_end(future: asyncio.Future[T]) -> T:
    """The future's result. If the caller is cancelled, that is raised once the future is done.

    Threads cannot be stopped: this is what keeps them from working on behind a caller that has gone,
    on a descriptor that was closed or a file that was removed.
    """
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as caught:
            cancelled = caught
    if cancelled is None:
        return future.result()
    if not future.cancelled():
        future.exception()  # seen: asyncio logs exceptions that nobody looked at
    raise cancelled


async def finish(job: Future[T]) -> T:
    """Waits for a job, to its end even if the caller is cancelled; its OSError becomes ours."""
    try:
        return await to_end(asyncio.wrap_future(job))
    except OSError as cause:
        raise storage_error(cause) from cause
