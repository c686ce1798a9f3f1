"""What one greedy client does to a server: attacks, each a coroutine that goes on until it is cancelled.

    messages     compressed, large, slow and odd messages
    pictures     images and renditions that cost much
    connections  connections and streams that ask nothing
    uploads      uploads that hold room
    downloads    replies that are not read, ranges, lists
    heavy        honest use, as much as one client can
    h2, slow     frames of HTTP/2 and slow requests, as h2spec and slowhttptest know them

Those of h2 and slow take a host, a port and a counter, and further options by name; all others take a Target,
which also says where the attack comes from. When the server closes a connection it is opened again, as an
attacker would. Attacks are for this project's server on loopback addresses.

    async with attacking(rapid_reset, "127.0.0.1", server.port) as done:
        …  # meanwhile `done` counts what the attack does
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

Done = Counter[str]
"""What an attack has done so far, such as "connections" and "requests", and what the server did: "closed"."""


class Attack(Protocol):
    def __call__(self, host: str, port: int, done: Done, **options: Any) -> Awaitable[None]: ...


@asynccontextmanager
async def attacking(attack: Attack, host: str, port: int, **options: Any) -> AsyncIterator[Done]:
    """Runs the attack until the block ends. An exception of the attack itself is raised there."""
    done: Done = Counter()
    task = asyncio.ensure_future(attack(host, port, done, **options))
    try:
        yield done
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
