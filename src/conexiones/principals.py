"""Who calls, and what they may do."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from conexiones.errors import FormatNotGranted

Scope = Literal["read", "write", "delete", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

Need = Scope | Literal["any", "none"]
"""What a method needs: a scope, any credential at all, or nothing, so that everybody may call it."""


LINK = "link"
"""The subject of whoever opens a signed link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much an owner may have, and how much a caller may do in a second; None for no limit."""

    stored_bytes: int | None = None
    stored_images: int | None = None
    open_uploads: int | None = None
    calls_per_second: float | None = None
    bytes_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be stored with a ticket, in all. No formats stand for all of them."""

    bytes: int
    images: int
    formats: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Whom a client's certificate names: its subject as in RFC 4514, such as "CN=camera,O=Acme", empty if it
    has none; and the URIs and the DNS names among its alternative names."""

    subject: str = ""
    uris: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls.

    `subject` is empty for a caller who has shown no credential. `owner` is to whom belongs what the caller
    stores, empty for nobody; with `own` the caller sees and touches nothing else. `credential` is the id of
    what may be taken away: a token, a ticket, a session or a certificate of which rules say more; empty for
    others. `expires` is in seconds since the epoch.
    """

    subject: str = ""
    scopes: frozenset[Scope] = frozenset()
    own: bool = False
    owner: str = ""
    credential: str = ""
    expires: float | None = None
    allowance: Allowance = field(default_factory=Allowance)
    terms: Terms | None = None

    @property
    def view(self) -> str | None:
        """The owner whose things the caller sees; None for those of all."""
        return self.owner if self.own else None

    def sees(self, owner: str) -> bool:
        """Whether what belongs to that owner is there for the caller."""
        return not self.own or owner == self.owner

    def check_format(self, format: str) -> None:
        """Raises FormatNotGranted if the ticket is for other formats."""
        if self.terms and self.terms.formats and format not in self.terms.formats:
            raise FormatNotGranted(format=format)


EVERYBODY = Principal(scopes=frozenset(SCOPES))
"""Any caller of a server that asks for no credentials. What is stored belongs to nobody."""
