"""Work that may block for as long as somebody else likes: a pipe to which nobody writes, an iterator."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def beside(work: Callable[..., T], *arguments: Any) -> T:
    """The result of `work(*arguments)`, made in a thread of its own.

    Raises what the work raises, and RuntimeError in place of StopIteration. A caller that is cancelled leaves
    at once, and the thread goes on. It does not keep the process from ending, as those of `asyncio.to_thread`
    do.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(work, *arguments)
        except StopIteration as error:
            # No future takes it. What a generator raises in its place, this does, too (PEP 479).
            other = RuntimeError(f"{getattr(work, '__qualname__', work)} raised StopIteration")
            other.__cause__ = error
            end(future.set_exception, other)
        except BaseException as error:
            end(future.set_exception, error)
        else:
            end(future.set_result, result)

    def end(settle: Callable[[Any], None], value: Any) -> None:
        def now() -> None:
            if not future.done():
                settle(value)

        with suppress(RuntimeError):  # the loop has been closed
            loop.call_soon_threadsafe(now)

    threading.Thread(target=run, name="conexiones-beside", daemon=True).start()
    return await future


def seen(task: "asyncio.Future[Any]") -> None:
    """Marks the exception of a task as retrieved, so that asyncio does not log it if nobody awaits the
    task."""
    if not task.cancelled():
        task.exception()
