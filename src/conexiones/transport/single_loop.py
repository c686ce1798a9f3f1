"""Runs the application on one event loop, and ends all calls of a loop before its lifespan ends."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from conexiones.transport.chain.call import Receive, Send

App = Callable[[Any, Receive, Send], Awaitable[None]]

END_SECONDS = 5.0
"""Time that cancelled calls have to end."""


class SingleLoop:
    """An ASGI application that always runs on the event loop on which it was started first.

    With HTTP/3 there are two listeners, TCP and QUIC. pyvoy loads the same application for both, each with an
    event loop, a thread and a lifespan of its own. For the second one the lifespan is a no-op, and its
    requests are carried to the first loop, message by message.

    The calls of a loop are ended before its lifespan ends: pyvoy panics at a receive() or send() after that,
    and there may be calls that have not noticed yet that their client is gone.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._loops: dict[int, asyncio.AbstractEventLoop] = {}  # by the thread that runs it
        self._calls: dict[asyncio.AbstractEventLoop, set[asyncio.Future[Any]]] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        here = self._loops.get(threading.get_ident())
        if scope["type"] == "lifespan" or here is None:
            here = self._loops[threading.get_ident()] = asyncio.get_running_loop()
            with self._lock:
                self._loop = self._loop or here
        if scope["type"] == "lifespan":
            here.set_exception_handler(_drop_harmless)
            calls = self._calls[here] = set()
            await (self._app if self._loop is here else _empty_lifespan)(scope, _ending(receive, calls), send)
        elif self._loop is here:
            await self._call(here, self._app(scope, receive, send))
        else:
            carried = _carried(self._run, self._loop or here)
            await self._call(here, carried(scope, _carried(receive, here), _carried(send, here)))

    async def _run(self, scope: Any, receive: Receive, send: Send) -> None:
        await self._call(asyncio.get_running_loop(), self._app(scope, receive, send))

    async def _call(self, here: asyncio.AbstractEventLoop, work: Awaitable[None]) -> None:
        """Does the work of a call. Raises nothing if the call is cancelled because the lifespan ends."""
        calls = self._calls[here]
        if task := asyncio.current_task(here):
            calls.add(task)
        try:
            await work
        except asyncio.CancelledError:
            if task in calls:
                raise
        finally:
            if task:
                calls.discard(task)


async def _empty_lifespan(scope: Any, receive: Receive, send: Send) -> None:
    """A lifespan that does nothing, for the second listener."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


def _ending(receive: Receive, calls: set[asyncio.Future[Any]]) -> Receive:
    """The receive() of a lifespan. It ends all calls before the application hears of the shutdown."""

    async def ending() -> Any:
        event = await receive()
        if event["type"] == "lifespan.shutdown" and calls:
            left = calls.copy()
            calls.clear()
            for call in left:
                call.cancel()
            await asyncio.wait(left, timeout=END_SECONDS)
        return event

    return ending


def _carried(
    call: Callable[..., Awaitable[Any]], loop: asyncio.AbstractEventLoop
) -> Callable[..., Awaitable[Any]]:
    """A function that runs `call` on the loop that it belongs to, and can be awaited on another one."""

    async def run(*args: Any) -> Any:
        return await call(*args)

    async def carried(*args: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(*args), loop))

    return carried


_OF_PYVOY = ("RecvFuture", "SetResponseFutureException", "Future.set_exception", "Future.set_result")
"""Callbacks of pyvoy that end a future, by a part of their names. The last two are asyncio's own."""


def _drop_harmless(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keeps the InvalidStateError of a receive() or send() of pyvoy that was cancelled out of the log: it has
    no effect."""
    if isinstance(context.get("exception"), asyncio.InvalidStateError):
        callback = repr(context)
        if any(name in callback for name in _OF_PYVOY):
            return
    loop.default_exception_handler(context)
