"""Sessions of the page: what a browser has in place of a token."""

from contextlib import suppress
from dataclasses import dataclass

from conexiones.domain.access import Directory
from conexiones.domain.ids import now
from conexiones.errors import TokenNotFound, TokenUnknown, Unauthenticated
from conexiones.principals import SCOPES, Principal


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that was just made: its secret, how many seconds it lasts, and what the browser is told."""

    secret: str
    seconds: int
    told: dict[str, object]
    id: str


class Sessions:
    """Begins sessions with tokens, finds out whose they are, and ends them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def begin(self, principal: Principal) -> Begun:
        """A session that may do what the token may with which the caller came. Raises NoCredentials if it
        came with none, and QuotaExceeded."""
        issued = await self._directory.create_session(principal)
        made = issued.credential
        seconds = max(0, ((made.expire_time or 0) - now()) // 1_000_000)
        told: dict[str, object] = {
            "subject": principal.subject,
            "scopes": [scope for scope in SCOPES if scope in principal.scopes],
            "own": principal.own,
            "seconds": seconds,
        }
        return Begun(issued.secret, seconds, told, made.id)

    def find(self, secret: str) -> Principal | None:
        """Who has the session; None if it is not good any more. Raises TokenUnknown if there is none."""
        try:
            return self._directory.session(secret)
        except TokenUnknown:
            raise
        except Unauthenticated:
            return None

    async def end(self, principal: Principal) -> None:
        """Ends the session with which the caller came, and its calls. Raises StorageUnavailable."""
        with suppress(TokenNotFound):  # it was swept meanwhile
            await self._directory.revoke(principal.credential)
