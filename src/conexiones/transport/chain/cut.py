"""The end of the grace: calls that are still there are told so."""

import asyncio

from conexiones.errors import ServerDraining
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.on_loop import OnLoop


class Cut(OnLoop):
    """A step of the chain: after `all`, calls end with ServerDraining, whatever they wait for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        """Raises ServerDraining."""
        if self._over:
            raise ServerDraining
        task = self.task
        self._tasks.add(task)
        try:
            await rest(call)
        except asyncio.CancelledError:
            if not self._over:
                raise
            task.uncancel()
            raise ServerDraining from None
        finally:
            self._tasks.discard(task)

    def all(self) -> None:
        """Ends all calls, for good."""
        self._over = True
        for task in self._tasks:
            task.cancel()
