"""A limit: pyvoy and Envoy without our server: `python -m bench.peers.from_memory`.

GET /N is answered with N bytes, in pieces as large as those of our server, which are the same one over and
over. Nothing is read, checked or counted.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from pyvoy import PyvoyServer

from conexiones.budgets import LARGEST_PIECE

_PIECE = bytes(range(256)) * (LARGEST_PIECE // 256)


async def app(
    scope: dict[str, Any],
    _receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """The ASGI application, which Envoy loads."""
    left = int(scope["path"].removeprefix("/"))
    headers = [(b"content-length", b"%d" % left)]
    await send({"type": "http.response.start", "status": 200, "headers": headers, "trailers": False})
    while left:
        piece = _PIECE[:left]
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})


async def main() -> None:
    """Serves until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with PyvoyServer("bench.peers.from_memory:app", address="127.0.0.1", lifespan=False) as server:
        print(f"pyvoy listens on 127.0.0.1:{server.listener_port} ", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
