"""Threads whose work comes from many clients, which take turns."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

from conexiones.shares import Caller, FairLine

P = ParamSpec("P")
T = TypeVar("T")

_Job = Callable[[], None]


class FairThreads:
    """Clients take turns, and in each client its connections. The jobs of a connection start in the order in
    which they came. Used from any thread."""

    def __init__(self, threads: int, *, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._line: FairLine[_Job] = FairLine()
        self._idle = threads

    def submit(self, caller: Caller, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Has a thread do the work when it is the caller's turn. RuntimeError after `shutdown`."""
        future: Future[T] = Future()
        context = copy_context()  # the log of the thread has the ids of the call, too

        def job() -> None:
            context.run(_do, future, work, args, kwargs)

        with self._lock:
            self._line.push(caller, job)
            if self._idle:
                self._pool.submit(self._work)
                self._idle -= 1
        return future

    def shutdown(self) -> None:
        """Waits for all the work that was submitted."""
        self._pool.shutdown()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._line:
                    self._idle += 1
                    return
                caller, job = self._line.next()
                self._line.remove(caller, job, served=True)
            job()
            del job  # it keeps what the work was given


def _do(future: Future[T], work: Callable[..., T], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
        del future, work, args, kwargs  # the error has this frame, and the future the error
    else:
        future.set_result(result)
