"""Work that may block for as long as somebody else likes: a pipe to which nobody writes, an iterator."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_NAME = "conexiones-beside"


async def beside(work: Callable[..., T], *arguments: Any) -> T:
    """The result of `work(*arguments)`, made in a thread of its own.

    Raises what the work raises, and RuntimeError in place of StopIteration. A caller that is cancelled leaves
    at once, and the thread goes on. It does not keep the process from ending, as those of `asyncio.to_thread`
    do.
    """
    future, run = _job(work, *arguments)
    threading.Thread(target=run, name=_NAME, daemon=True).start()
    return await future


class Beside:
    """The same for several pieces of work, one after the other, in one thread: each takes a fraction of the
    time."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._begun = False

    async def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """As `beside`."""
        future, run = _job(work, *arguments)
        self._jobs.put(run)
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._serve, name=_NAME, daemon=True).start()
        return await future

    def end(self) -> None:
        """The thread ends after the work that it has."""
        self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # not kept while waiting for the next one


def _job(work: Callable[..., T], *arguments: Any) -> "tuple[asyncio.Future[T], Callable[[], None]]":
    """What does the work, and the future of its result."""
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

    return future, run


def seen(task: "asyncio.Future[Any]") -> None:
    """Marks the exception of a task as retrieved, so that asyncio does not log it if nobody awaits the
    task."""
    if not task.cancelled():
        task.exception()


async def cancelled(tasks: "set[asyncio.Task[Any]]") -> None:
    """Ends tasks, and waits until they have ended."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(seen)
    if tasks:
        await asyncio.wait(tasks)
