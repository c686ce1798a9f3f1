"""Who calls, and whether they may."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from conexiones.errors import (
    ConexionesError,
    LinkExpired,
    LinkInvalid,
    NoCredentials,
    ScopeMissing,
    TokenExpired,
    TokenMistyped,
    TokenRevoked,
    TokenUnknown,
)
from conexiones.principals import LINK, Need, Principal
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.guesses import Guesses
from conexiones.transport.chain.on_loop import OnLoop

LOOK_SECONDS = 60.0
"""Time between two looks at the clock whether the credential of an open call has expired."""


class Source(Protocol):
    """A way to show who calls: a token in a header, a certificate, a signed link."""

    def __call__(self, call: Call) -> Principal | None:
        """Who calls, or None if the call shows nothing of this kind. Raises an error of the branch
        Unauthenticated if what it shows is not good."""


class Access(OnLoop):
    """A step of the chain: finds out who calls, and refuses those who lack what the route needs. Belongs to
    one event loop.

    The first source that a call shows something of decides; what is not good is never made up for by
    another one. Whoever shows nothing is `nobody`. Calls end when the credential that they came with does.
    """

    def __init__(self, sources: Sequence[Source], *, nobody: Principal) -> None:
        self._sources = sources
        self._nobody = nobody
        self._guesses = Guesses()
        self._tasks: dict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._ended: dict[asyncio.Task[None], ConexionesError] = {}

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        """Raises an error of the branches Unauthenticated and PermissionDenied."""
        if call.route.needs == "none":
            await rest(call)
            return
        principal = self._principal(call)
        call.comes_from(principal)
        _check(principal, call.route.needs, ticketed=call.route.ticketed)
        if not principal.credential and principal.expires is None:
            await rest(call)
            return
        await self._while_it_lasts(call, principal, rest)

    def _principal(self, call: Call) -> Principal:
        """Raises an error of the branch Unauthenticated, and RateExceeded."""
        client = call.caller.client
        for source in self._sources:
            try:
                found = source(call)
            except (TokenMistyped, TokenUnknown, LinkInvalid):
                self._guesses.wrong(client)
                raise
            if found is not None:
                self._guesses.right(client, found)
                return found
        return self._nobody

    async def _while_it_lasts(self, call: Call, principal: Principal, rest: Endpoint) -> None:
        task, tasks = self.task, self._tasks[principal.credential]
        expiry = (
            None if principal.expires is None else _Expiry(self.loop, principal, partial(self._end, task))
        )
        tasks.add(task)
        try:
            await rest(call)
        except asyncio.CancelledError:
            if task not in self._ended or task.cancelling() > 1:
                raise
            raise self._ended[task] from None
        finally:
            if self._ended.pop(task, None):
                task.uncancel()
            if expiry is not None:
                expiry.cancel()
            tasks.discard(task)
            if not tasks:
                self._tasks.pop(principal.credential, None)

    def end(self, credential: str) -> None:
        """Ends the calls that came with a credential, which was revoked; the one that has revoked it
        is answered."""
        revoking = asyncio.current_task()
        for task in self._tasks.get(credential, ()):
            if task is not revoking:
                self._end(task, TokenRevoked)

    def _end(self, task: asyncio.Task[None], error: Callable[[], ConexionesError]) -> None:
        if task not in self._ended:
            self._ended[task] = error()
            task.cancel()


class _Expiry:
    """Calls `end` when a principal expires. It looks at the clock again and again, since that may be set."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        principal: Principal,
        end: Callable[[Callable[[], ConexionesError]], None],
    ) -> None:
        self._loop = loop
        self._expires = principal.expires or 0.0
        self._error = LinkExpired if principal.subject == LINK else TokenExpired
        self._end = end
        self._set()

    def _set(self) -> None:
        left = self._expires - time.time()
        self._timer = self._loop.call_later(max(0.0, min(left, LOOK_SECONDS)), self._look)

    def _look(self) -> None:
        if self._expires > time.time():
            self._set()
        else:
            self._end(self._error)

    def cancel(self) -> None:
        self._timer.cancel()


def _check(principal: Principal, needs: Need, *, ticketed: bool) -> None:
    """Raises NoCredentials, ScopeMissing."""
    if needs == "none" or (needs == "any" and (principal.subject or principal.scopes)):
        return
    if needs in principal.scopes and (principal.terms is None or ticketed):
        return
    if not principal.subject or needs == "any":
        raise NoCredentials
    raise ScopeMissing(scope=needs)
