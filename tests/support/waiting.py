"""How tests wait: for a state that nothing announces, and never longer than a deadline."""

import asyncio
from collections.abc import Callable

DEADLINE = 20.0
"""Seconds within which anything that a test waits for must have come."""


async def until(true: Callable[[], object]) -> None:
    """Waits for the state of files or processes, which nothing announces."""
    async with asyncio.timeout(DEADLINE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
