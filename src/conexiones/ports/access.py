"""Credentials and the keys of links, as rows."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from conexiones.principals import Allowance, Scope, Terms

CredentialKind = Literal["token", "ticket", "session", "certificate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A credential that the server has given out. Times are in microseconds since the epoch, UTC.

    `digest` is the SHA-256 of its secret. `parent` is the id of the credential with which a ticket or a
    session was made, and with which it ends; empty for a token. `use_time` is the beginning of an hour.
    `terms` are those of a ticket.

    Client certificates are kept with the rights of their holders when these have made tickets or links, which
    end when the holders lose their rights. Their `name` has what is in the certificate, and nobody knows the
    secret.
    """

    id: str
    kind: CredentialKind
    digest: bytes = field(repr=False)
    name: str
    owner: str
    scopes: frozenset[Scope]
    own: bool
    create_time: int
    expire_time: int | None = None
    revoke_time: int | None = None
    use_time: int | None = None
    parent: str = ""
    allowance: Allowance
    terms: Terms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkKey:
    """A key that signs links: 32 random bytes."""

    id: str
    secret: bytes = field(repr=False)
    create_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Credentials that were added or changed, and all keys as they are, until the change of that number."""

    number: int
    credentials: list[Credential]
    keys: list[LinkKey]


class Credentials(Protocol):
    """Credentials and keys. What a method returned is durable. Methods raise StorageFull and
    StorageUnavailable, and then nothing is written."""

    async def all(self) -> list[Credential]:
        """All credentials that are kept, oldest first."""

    async def add(self, credential: Credential) -> None: ...

    async def revoke(self, credential_id: str, *, now: int) -> None:
        """Sets the `revoke_time` of the credential and of all that have it as their parent, where it is not
        set."""

    async def used(self, hours: dict[str, int]) -> None:
        """Sets the `use_time` of credentials, by their ids."""

    async def shared_time(self, now: int) -> int:
        """As in Catalog."""

    async def forget(self, *, tokens: int, others: int) -> None:
        """Removes tokens, and tickets and sessions, that were revoked or have expired before these times."""

    async def keys(self) -> list[LinkKey]:
        """All keys, oldest first."""

    async def add_key(self, key: LinkKey) -> None: ...

    async def forget_keys(self, *, created_before: int) -> None: ...

    async def newest_change(self) -> int:
        """The number of the newest change of credentials and keys, by whichever server. It stays as it is
        where only this process writes them."""

    async def changes(self, *, after: int) -> Changes | None:
        """What has changed since that change; None if nothing has. What was removed is not told of, other
        than by the keys. May tell of a change twice; and tells of all that there is, where there never was a
        change of that number."""

    async def changed(self, after: int) -> None:
        """Returns when there is a change of a greater number."""
