"""Waiting for work in threads and processes, which cannot be stopped once it has begun."""

import asyncio
from concurrent.futures import Future
from typing import Any, TypeVar

from conexiones.adapters.system.disk import storage_error
from conexiones.whole import to_end

T = TypeVar("T")


class Outcome(asyncio.Future[T]):
    """The result of work in another process, which cannot be stopped. Awaited by one task, once.

    A caller that awaits it and is cancelled gets its cancellation when the work is decided: so no work goes
    on behind a caller that has gone.
    """

    def cancel(self, msg: Any = None) -> bool:
        """Does nothing. asyncio then raises the cancellation in the waiting task once there is a result."""
        return False

    def decide(self, result: T | None, error: BaseException | None) -> None:
        if error is None:
            self.set_result(result)  # type: ignore[arg-type]  # with an error there is no result
        else:
            self.set_exception(error)
            self.exception()  # marks it as seen: asyncio logs exceptions that nobody looked at


async def finish(job: Future[T]) -> T:
    """Waits for a job, to its end even if the caller is cancelled. Its OSError becomes a storage error."""
    try:
        return await to_end(asyncio.wrap_future(job))
    except OSError as cause:
        raise storage_error(cause) from cause
    finally:
        del job  # as in to_end
