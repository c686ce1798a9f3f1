"""Attacks on a server of ours, over loopback: each is a coroutine that goes on until it is cancelled.

    async with attacking(rapid_reset, "127.0.0.1", server.port) as done:
        …  # meanwhile `done` counts what the attack does

An attack takes the host, the port and a counter, and further options by name. When the server closes its
connection it connects again, as an attacker would.
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
