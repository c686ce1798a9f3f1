"""Ends calls at their deadline, or when their client goes away."""

import asyncio
import time
from types import TracebackType

from conexiones.errors import Cancelled, DeadlineExceeded
from conexiones.transport.chain.call import Call, Endpoint

LOOK_SECONDS = 0.05
"""A call that still runs this long after the end of its body is watched, and ends if its client goes away.
Most calls are shorter, and are spared the cost of that."""


class Deadline:
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
        async with _Watch(call, self):
            await rest(call)

    def plan(self, watch: "_Watch") -> None:
        """Has the watch begin after LOOK_SECONDS. There is one timer for all, as most calls end before."""
        self._planned[watch] = time.monotonic() + LOOK_SECONDS
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def forget(self, watch: "_Watch") -> None:
        self._planned.pop(watch, None)

    def _look(self) -> None:
        now = time.monotonic()
        while self._planned:
            watch, begin = next(iter(self._planned.items()))
            if begin > now:
                self._timer = asyncio.get_running_loop().call_later(begin - now, self._look)
                return
            del self._planned[watch]
            watch.begin()
        self._timer = None


class _Watch:
    """The time that a call has: until its deadline, and not longer than its client is there."""

    __slots__ = ("_call", "_gone", "_plans", "_scope", "_task")

    def __init__(self, call: Call, plans: Deadline) -> None:
        self._call = call
        self._plans = plans
        self._scope = asyncio.timeout_at(call.deadline)
        self._task: asyncio.Task[None] | None = None
        self._gone = False

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        if self._call.protocol == "http":
            self._start()  # GET and HEAD have no body
        else:
            self._call.body.on_end = self._start

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call.body.on_end = None
        self._plans.forget(self)
        if self._task is not None:
            self._task.cancel()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise (Cancelled() if self._gone else DeadlineExceeded()) from late
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task and not task.cancelling():  # not this call: something that the handler awaited
                raise Cancelled from error

    def _start(self) -> None:
        """Plans the watch. The whole body has come, so that all that can still come is the disconnect."""
        self._plans.plan(self)

    def begin(self) -> None:
        """Watches from now on."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        await self._call.body.disconnected()
        self._gone = True
        if not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
