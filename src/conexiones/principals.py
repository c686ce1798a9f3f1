"""Who calls, and what they may do."""

from dataclasses import dataclass, field, fields
from typing import Literal, Self, get_args

from conexiones.errors import FormatNotGranted, QuotaExceeded, TicketUsedUp

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

    def or_else(self, default: Self) -> Self:
        """The same, with the limits of `default` where this one has none."""
        own = {row.name: getattr(self, row.name) for row in fields(self)}
        return type(self)(
            **{name: getattr(default, name) if value is None else value for name, value in own.items()}
        )

    def check_stored(self, *, images: int, bytes: int) -> None:
        """Whether an owner may have so many images, of so many bytes in all. Raises QuotaExceeded."""
        _check_quota(self.stored_images, images, "images")
        _check_quota(self.stored_bytes, bytes, "bytes")

    def check_open(self, uploads: int) -> None:
        """Whether an owner may have so many open uploads. Raises QuotaExceeded."""
        _check_quota(self.open_uploads, uploads, "uploads")


def _check_quota(limit: int | None, actual: int, unit: str) -> None:
    if limit is not None and actual > limit:
        raise QuotaExceeded(limit=limit, actual=actual, unit=unit)


SPARE_UPLOADS = 4
"""Uploads that may be open with a ticket beyond the images that may still be stored with it: those that were
begun again after a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What may be stored with a ticket, in all. No formats stand for all of them."""

    bytes: int
    images: int
    formats: frozenset[str] = frozenset()

    def check_open(self, uploads: int, *, spent: int) -> None:
        """Whether so many uploads may be open when `spent` images are stored. Raises QuotaExceeded."""
        _check_quota(self.images - spent + SPARE_UPLOADS, uploads, "uploads")

    def check_spent(self, *, images: int, bytes: int) -> None:
        """Whether so many images, of so many bytes in all, may be stored. Raises TicketUsedUp."""
        if images > self.images:
            raise TicketUsedUp(limit=self.images, actual=images, unit="images")
        if bytes > self.bytes:
            raise TicketUsedUp(limit=self.bytes, actual=bytes, unit="bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Whom a client's certificate names: its subject as in RFC 4514, such as "CN=camera,O=Acme", empty if it
    has none; and the URIs and the DNS names among its alternative names. `expires` is in seconds since the
    epoch."""

    subject: str = ""
    uris: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    expires: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who calls.

    `subject` is empty for a caller who has shown no credential. `owner` is to whom belongs what the caller
    stores, empty for nobody; with `own` the caller sees and touches nothing else. `credential` is the id of
    what may be taken away: a token, a ticket, a session or a certificate; empty for others. `expires` is in
    seconds since the epoch. `certificate` is what the caller has shown, if it was one.
    """

    subject: str = ""
    scopes: frozenset[Scope] = frozenset()
    own: bool = False
    owner: str = ""
    credential: str = ""
    expires: float | None = None
    allowance: Allowance = field(default_factory=Allowance)
    terms: Terms | None = None
    certificate: Certificate | None = None

    @property
    def view(self) -> str | None:
        """The owner whose things the caller sees; None for those of all. An empty one has nothing."""
        return self.owner if self.own else None

    def sees(self, owner: str) -> bool:
        """Whether what belongs to that owner is there for the caller. What belongs to nobody is there only
        for those who see everything."""
        return not self.own or (owner != "" and owner == self.owner)

    def sees_upload(self, owner: str, ticket: str) -> bool:
        """Whether an upload of that owner, which was begun with that ticket or none, is there for the caller.
        With a ticket only those are that were begun with it."""
        return ticket == self.credential if self.terms else self.sees(owner)

    @property
    def knows_owners(self) -> bool:
        """Whether the caller is told to whom things belong. Whoever has shown no credential is not, unless
        everybody may do everything: owners have the names of tokens."""
        return not self.own and (bool(self.subject) or "admin" in self.scopes)

    @property
    def ticket(self) -> str:
        """The id of the ticket with which the caller stores, empty without one."""
        return self.credential if self.terms else ""

    def check_format(self, format: str) -> None:
        """Raises FormatNotGranted if the ticket is for other formats."""
        if self.terms and self.terms.formats and format not in self.terms.formats:
            raise FormatNotGranted(format=format)


EVERYBODY = Principal(scopes=frozenset(SCOPES))
"""Any caller of a server that asks for no credentials. What is stored belongs to nobody."""
