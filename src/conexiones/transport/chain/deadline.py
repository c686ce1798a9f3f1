"""Ends calls at their deadline, or when their client goes away."""

import asyncio
import time
from types import TracebackType
from typing import Any

from conexiones.errors import Cancelled, ConexionesError, DeadlineExceeded
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.on_loop import OnLoop

LOOK_SECONDS = 0.05
"""A call that still runs this long after the end of its body is watched, and ends if its client goes away.
Most calls are shorter, and are spared the cost of that."""


class Deadline(OnLoop):
    """A step of the chain: cancels the work for a call when its time is over. Raises DeadlineExceeded and
    Cancelled. Belongs to one event loop.

    Work for a call whose deadline has passed already is not begun: it would race with its cancellation.
    """

    def __init__(self) -> None:
        self._planned: dict[_Watch, float] = {}  # when each is to begin, in the order of time
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        if call.deadline is not None and call.deadline <= time.monotonic():
            raise DeadlineExceeded
        async with _Watch(call, self, self.task):
            await rest(call)

    def plan(self, watch: "_Watch") -> None:
        """Has the watch begin after LOOK_SECONDS. There is one timer for all, as most calls end before."""
        self._planned[watch] = time.monotonic() + LOOK_SECONDS
        if self._timer is None:
            self._timer = self.loop.call_later(LOOK_SECONDS, self._look)

    def forget(self, watch: "_Watch") -> None:
        self._planned.pop(watch, None)

    def _look(self) -> None:
        now = time.monotonic()
        while self._planned:
            watch, begin = next(iter(self._planned.items()))
            if begin > now:
                self._timer = self.loop.call_later(begin - now, self._look)
                return
            del self._planned[watch]
            watch.begin()
        self._timer = None


class _Watch:
    """The time that a call has: until its deadline, and not longer than its client is there."""

    __slots__ = ("_call", "_cancelled", "_ended", "_plans", "_task", "_timer", "_watching")

    def __init__(self, call: Call, plans: Deadline, task: asyncio.Task[Any]) -> None:
        self._call = call
        self._plans = plans
        self._task = task
        self._cancelled = task.cancelling()
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ended: ConexionesError | None = None  # why the time is over

    async def __aenter__(self) -> None:
        if self._call.deadline is not None:
            self._timer = self._plans.loop.call_at(self._call.deadline, self._end, DeadlineExceeded())
        if self._call.protocol == "http":
            self._start()  # GET and HEAD have no body
        else:
            self._call.body.on_end = self._start

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.body.on_end = None
        self._plans.forget(self)
        if self._watching is not None:
            self._watching.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._ended is not None and self._task.uncancel() > self._cancelled:
            return  # it was cancelled from elsewhere, too
        if isinstance(error, asyncio.CancelledError):
            if self._ended is not None:
                raise self._ended from error
            if not self._task.cancelling():  # not this call: something that the handler awaited
                raise Cancelled from error

    def _start(self) -> None:
        """Plans the watch. The whole body has come, so that all that can still come is the disconnect."""
        self._plans.plan(self)

    def begin(self) -> None:
        """Watches from now on."""
        self._watching = self._plans.loop.create_task(self._watch())

    async def _watch(self) -> None:
        await self._call.body.disconnected()
        self._call.gone = True
        self._end(Cancelled())

    def _end(self, error: ConexionesError) -> None:
        """Ends the work, unless it is ending already."""
        if self._ended is None:
            self._ended = error
            self._task.cancel()
