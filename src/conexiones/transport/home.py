"""One event loop for the application, although pyvoy runs one for each listener."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from conexiones.transport.inbound import Receive
from conexiones.transport.wire import Send

App = Callable[[Any, Receive, Send], Awaitable[None]]


class Home:
    """An ASGI application that always runs on the loop on which it was started first.

    With HTTP/3 there are two listeners, TCP and QUIC, and pyvoy loads the same application for both, each
    with a loop, a thread and a lifespan of its own. The second gets no lifespan, and its requests are
    carried to the first loop, message by message.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        here = asyncio.get_running_loop()
        with self._lock:
            self._loop = self._loop or here
        if self._loop is here:
            await self._app(scope, receive, send)
        elif scope["type"] == "lifespan":
            for event in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{event}.complete"})
        else:
            await _carried(self._app, self._loop)(scope, _carried(receive, here), _carried(send, here))


def _carried(
    call: Callable[..., Awaitable[Any]], loop: asyncio.AbstractEventLoop
) -> Callable[..., Awaitable[Any]]:
    """`call`, which belongs to that loop, for another loop to await."""

    async def run(*args: Any) -> Any:
        return await call(*args)

    async def carried(*args: Any) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(*args), loop))

    return carried
