"""Ends calls from outside: all of them when the grace of a drain is over, and those whose credential ends."""

import asyncio
import time
from collections.abc import Callable, Collection

from conexiones.errors import (
    ConexionesError,
    LinkExpired,
    LinkInvalid,
    ServerDraining,
    TokenExpired,
    TokenRevoked,
)
from conexiones.principals import LINK
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.on_loop import OnLoop

LOOK_SECONDS = 60.0
"""The longest time between two looks at the clock for credentials that have expired: it may be set."""

LEAST_SECONDS = 0.1
"""The least time between two looks, however many credentials expire one after the other."""


class Cut(OnLoop):
    """A step of the chain, behind that which finds out who calls: after `all`, calls end with ServerDraining,
    whatever they wait for; after `revoked` or `links`, and when their credential expires, with an error
    that says so.
    Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[None], Call] = {}
        self._ended: dict[asyncio.Task[None], ConexionesError] = {}
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._next = float("inf")  # the expiry for which the timer is set, in seconds since the epoch

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        """Raises ServerDraining, TokenRevoked, TokenExpired, LinkExpired and LinkInvalid."""
        if self._over:
            raise ServerDraining
        task = self.task
        self._open[task] = call
        expires = call.principal.expires
        if expires is not None and expires < self._next:
            self._look_at(expires)
        try:
            await rest(call)
        except asyncio.CancelledError:
            if task not in self._ended or task.cancelling() > 1:
                raise
            raise self._ended[task] from None
        finally:
            del self._open[task]
            if task in self._ended:
                del self._ended[task]
                task.uncancel()

    def all(self) -> None:
        """Ends all calls, for good."""
        self._over = True
        for task in self._open:
            self._end(task, ServerDraining)

    def revoked(self, credentials: Collection[str]) -> None:
        """Ends the calls that came with one of these credentials; the one that has revoked them is
        answered."""
        revoking = asyncio.current_task()
        for task, call in self._open.items():
            if call.principal.credential in credentials and task is not revoking:
                self._end(task, TokenRevoked)

    def links(self) -> None:
        """Ends the calls that came by a signed link."""
        for task, call in self._open.items():
            if call.principal.subject == LINK:
                self._end(task, LinkInvalid)

    def _end(self, task: asyncio.Task[None], error: Callable[[], ConexionesError]) -> None:
        if task not in self._ended:
            self._ended[task] = error()
            task.cancel()

    def _look_at(self, expires: float) -> None:
        """Has a look when a credential expires, or earlier."""
        if self._timer is not None:
            self._timer.cancel()
        self._next = expires
        wait = min(max(expires - time.time(), LEAST_SECONDS), LOOK_SECONDS)
        self._timer = self.loop.call_later(wait, self._look)

    def _look(self) -> None:
        """Ends the calls whose credential has expired."""
        self._timer, self._next = None, float("inf")
        now, nearest = time.time(), float("inf")
        for task, call in self._open.items():
            expires = call.principal.expires
            if expires is None:
                continue
            if expires <= now:
                self._end(task, LinkExpired if call.principal.subject == LINK else TokenExpired)
            else:
                nearest = min(nearest, expires)
        if nearest < self._next:
            self._look_at(nearest)
