"""How tests wait where nothing can be awaited, and for how long at most."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from conexiones.errors import StorageUnavailable

T = TypeVar("T")

DEADLINE = 60.0
"""The seconds within which whatever a test waits for must come, also on a busy machine."""


async def until(true: Callable[[], object]) -> None:
    """Waits until it is true of files or processes, whose changes nothing announces."""
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def surely(ask: Callable[[], Awaitable[T]]) -> T:
    """The result of the first call that the storage does not refuse."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await ask()
            except StorageUnavailable:
                await asyncio.sleep(0.01)


async def idle() -> None:
    """Lets the other tasks run until each of them waits for an event."""
    for _ in range(100):
        await asyncio.sleep(0)
