"""Who calls, and whether they may."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from conexiones.errors import LinkInvalid, NoCredentials, ScopeMissing, TokenMistyped, TokenUnknown
from conexiones.principals import Need, Principal
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.guesses import Guesses


class Source(Protocol):
    """A way to show who calls: a token in a header, a certificate, a signed link. `kind` is its name."""

    @property
    def kind(self) -> str: ...

    def __call__(self, call: Call) -> Principal | None:
        """Who calls, or None if the call shows nothing of this kind. Raises an error of the branch
        Unauthenticated if what it shows is not good."""


class Access:
    """A step of the chain: finds out who calls, and refuses those who lack what the route needs.

    The first source that a call shows something of decides; what is not good is never made up for by
    another one. Whoever shows nothing is `nobody`. What is not known may have been given out by another
    server a moment ago: `look` hears of that.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        nobody: Principal,
        look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._sources = sources
        self._nobody = nobody
        self._look = look
        self._guesses = Guesses()

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        """Raises an error of the branches Unauthenticated and PermissionDenied, and StorageUnavailable if it
        cannot be found out whether a credential is good."""
        route = call.route
        if route.needs != "none":
            principal = await self._principal(call)
            call.comes_from(principal)
            _check(principal, route.needs, ticketed=route.ticketed)
        await rest(call)

    async def _principal(self, call: Call) -> Principal:
        """Raises an error of the branch Unauthenticated, RateExceeded and StorageUnavailable."""
        try:
            try:
                found = self._shown(call, sessions=self._look is None)
            except (TokenUnknown, LinkInvalid):
                if self._look is None:
                    raise
                self._guesses.check(call.caller.client)  # whoever guesses has nobody look
                await self._look()
                found = self._shown(call, sessions=True)
        except (TokenMistyped, TokenUnknown, LinkInvalid):
            self._guesses.wrong(call.caller.client)
            raise
        if found is None:
            return self._nobody
        if not self._guesses.knows(found):
            self._guesses.right(call.caller.client, found)
        return found

    def _shown(self, call: Call, *, sessions: bool) -> Principal | None:
        """Who calls; None if the call shows nothing. With `sessions` all sessions are known, and another one
        counts as nothing. Raises an error of the branch Unauthenticated."""
        for source in self._sources:
            call.shown = source.kind
            try:
                found = source(call)
            except TokenUnknown:
                if source.kind == "session" and sessions:
                    continue
                raise
            if found is not None:
                if source.kind == "token":
                    call.shown = _kind(found)
                return found
        call.shown = "none"
        return None


def _kind(principal: Principal) -> str:
    """Of what is shown as a bearer's token."""
    if principal.terms is not None:
        return "ticket"
    return "token" if principal.credential else "jwt"


def _check(principal: Principal, needs: Need, *, ticketed: bool) -> None:
    """Raises NoCredentials, ScopeMissing."""
    if needs in principal.scopes and (principal.terms is None or ticketed):
        return
    if needs == "none" or (needs == "any" and (principal.subject or principal.scopes)):
        return
    if not principal.subject or needs == "any":
        raise NoCredentials
    raise ScopeMissing(scope=needs)
