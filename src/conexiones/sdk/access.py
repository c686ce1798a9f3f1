"""Who may do what: tokens, tickets, quotas, and the caller as the server knows it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from conexiones.errors import InvalidField
from conexiones.gen.conexiones.v1 import access_pb2, uploads_pb2

Scope = Literal["read", "write", "delete", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_MAX_SECONDS = 3 * 10**11
"""About 10,000 years: what a Duration can carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much an owner may have, and how much a caller may do in a second. None: no limit; in a request, the
    server's default."""

    stored_bytes: int | None = None
    """Of all images; each counts whole, even if others have the same bytes."""
    stored_images: int | None = None
    open_uploads: int | None = None
    calls_per_second: float | None = None
    bytes_per_second: float | None = None
    """Of requests and replies together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an owner has."""

    stored_bytes: int
    stored_images: int
    open_uploads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The caller, as the server knows it."""

    subject: str
    """Such as "token:backend"; "" for a caller who has shown no credential."""
    scopes: frozenset[Scope]
    own: bool
    """Whether the caller sees only what belongs to it."""
    owner: str
    """To whom belongs what the caller stores; "" for nobody."""
    expire_time: datetime | None
    quota: Quota
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token, without its secret."""

    id: str
    name: str
    scopes: frozenset[Scope]
    own: bool
    owner: str
    """To whom belongs what is stored with it; the same for all tokens of one name."""
    create_time: datetime
    expire_time: datetime | None
    revoke_time: datetime | None
    use_time: datetime | None
    """The hour in which it was used last."""
    quota: Quota


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token that was just made. Nobody has its `secret` again, not even the server."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A short-lived credential with which somebody else may store images. `id` is for `revoke_token`."""

    id: str
    secret: str = field(repr=False)
    expire_time: datetime


def access(found: access_pb2.Access) -> Access:
    return Access(
        subject=found.subject,
        scopes=_scopes(found.scopes),
        own=found.own,
        owner=found.owner,
        expire_time=_time(found, "expire_time"),
        quota=_quota(found.quota),
        usage=Usage(
            stored_bytes=found.usage.stored_bytes,
            stored_images=found.usage.stored_images,
            open_uploads=found.usage.open_uploads,
        ),
    )


def token(found: access_pb2.Token) -> Token:
    return Token(
        id=found.id,
        name=found.name,
        scopes=_scopes(found.scopes),
        own=found.own,
        owner=found.owner,
        create_time=found.create_time.ToDatetime(tzinfo=UTC),
        expire_time=_time(found, "expire_time"),
        revoke_time=_time(found, "revoke_time"),
        use_time=_time(found, "use_time"),
        quota=_quota(found.quota),
    )


def ticket(found: uploads_pb2.CreateTicketResponse) -> Ticket:
    return Ticket(id=found.id, secret=found.secret, expire_time=found.expire_time.ToDatetime(tzinfo=UTC))


def scope_numbers(scopes: Iterable[str]) -> list[int]:
    """Raises InvalidField for a scope that there is not."""
    names = [scopes] if isinstance(scopes, str) else list(scopes)
    if not set(names) <= set(SCOPES):
        raise InvalidField(field="scopes", takes=f"any of {', '.join(SCOPES)}, at least one")
    return [access_pb2.Scope.Value(f"SCOPE_{name.upper()}") for name in names]


def quota_message(quota: Quota | None) -> access_pb2.Quota | None:
    """Raises InvalidField for a number that a quota cannot have."""
    if quota is None:
        return None
    made = access_pb2.Quota()
    for row in fields(Quota):
        if (value := getattr(quota, row.name)) is not None:
            try:
                setattr(made, row.name, value)
            except (TypeError, ValueError) as error:
                raise InvalidField(field=f"quota.{row.name}", takes="0 or more") from error
    return made


def ttl(expires: float | timedelta | None) -> Duration | None:
    """How long something lasts: seconds, a span of time, or as long as the server decides. Raises
    InvalidField."""
    if expires is None:
        return None
    seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
    if not 0 < seconds <= _MAX_SECONDS:
        raise InvalidField(field="ttl", takes="more than 0 seconds")
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def _scopes(found: Iterable[int]) -> frozenset[Scope]:
    """A scope that this client does not know is left out."""
    numbers = {access_pb2.Scope.Value(f"SCOPE_{scope.upper()}"): scope for scope in SCOPES}
    return frozenset(numbers[number] for number in found if number in numbers)


def _quota(found: access_pb2.Quota) -> Quota:
    names = [row.name for row in fields(Quota)]
    return Quota(**{name: getattr(found, name) if found.HasField(name) else None for name in names})


def _time(message: Message, name: str) -> datetime | None:
    return getattr(message, name).ToDatetime(tzinfo=UTC) if message.HasField(name) else None
