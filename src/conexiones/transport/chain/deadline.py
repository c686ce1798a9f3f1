"""The end of a call's time: its deadline, or the moment when its client goes away."""

import asyncio
from types import TracebackType

from conexiones.errors import Cancelled, DeadlineExceeded
from conexiones.transport.chain.call import Call, Endpoint

LOOK_SECONDS = 0.05
"""How long after the end of its body a call runs before it is watched whether its client is still there."""


async def deadline(call: Call, rest: Endpoint) -> None:
    """Cancels what runs for a call when its time is over. Raises DeadlineExceeded and Cancelled.

    Nothing begins if there was no time at all: a handler that waits for nothing could not be cancelled.
    """
    if call.deadline is not None and call.deadline <= call.start_time:
        raise DeadlineExceeded
    async with _Watch(call):
        await rest(call)


class _Watch:
    """The time that a call has; it is over as well when the client goes away."""

    __slots__ = ("_call", "_gone", "_later", "_scope", "_task")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._scope = asyncio.timeout_at(call.deadline)
        self._later: asyncio.TimerHandle | None = None
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
        if self._later is not None:
            self._later.cancel()
        if self._task is not None:
            self._task.cancel()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise (Cancelled() if self._gone else DeadlineExceeded()) from late
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task and not task.cancelling():  # something of the handler's own
                raise Cancelled from error

    def _start(self) -> None:
        """The whole body has come: what comes from now on is the disconnect."""
        self._later = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        await self._call.body.disconnected()
        self._gone = True
        if not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())
