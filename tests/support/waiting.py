"""How tests wait where nothing can be awaited, and for how long at most."""

import asyncio
from collections.abc import Callable

DEADLINE = 60.0
"""The seconds within which whatever a test waits for must come, also on a busy machine."""


async def until(true: Callable[[], object]) -> None:
    """Waits until it is true of files or processes, whose changes nothing announces."""
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def idle() -> None:
    """Lets the other tasks run until each of them waits for an event."""
    for _ in range(100):
        await asyncio.sleep(0)
