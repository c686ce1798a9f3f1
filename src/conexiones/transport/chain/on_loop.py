"""What belongs to one event loop."""

import asyncio
from functools import cached_property
from typing import Any


class OnLoop:
    """Asks for its event loop once: asyncio.get_running_loop makes a system call each time."""

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that runs when it is asked for first."""
        return asyncio.get_running_loop()

    @property
    def task(self) -> asyncio.Task[Any]:
        """The task that runs now."""
        task = asyncio.current_task(self.loop)
        if task is None:
            raise RuntimeError("no task runs")
        return task
