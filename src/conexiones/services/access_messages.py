"""Access as messages of conexiones.v1."""

import math
from collections.abc import Collection, Iterable
from dataclasses import fields, replace

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from conexiones.errors import InvalidField
from conexiones.gen.conexiones.v1.access_pb2 import Access, Quota, Token
from conexiones.gen.conexiones.v1.access_pb2 import Scope as ScopeMessage
from conexiones.gen.conexiones.v1.access_pb2 import Usage as UsageMessage
from conexiones.ports.access import Credential
from conexiones.ports.records import Usage
from conexiones.principals import SCOPES, Allowance, Principal, Scope
from conexiones.services.messages import timestamp

_NUMBERS = {scope: ScopeMessage.Value(f"SCOPE_{scope.upper()}") for scope in SCOPES}


def scopes(numbers: Iterable[int]) -> list[Scope]:
    """Raises InvalidField."""
    known: dict[int, Scope] = {number: scope for scope, number in _NUMBERS.items()}
    try:
        return [known[number] for number in numbers]
    except KeyError:
        raise InvalidField(field="scopes", takes=f"any of {', '.join(SCOPES)}, at least one") from None


def seconds(duration: Duration, *, field: str) -> float:
    """Raises InvalidField."""
    if not (0 <= duration.seconds <= 10**10 and 0 <= duration.nanos < 10**9):
        raise InvalidField(field=field, takes="0 seconds or more")
    return float(duration.seconds + duration.nanos / 1e9)


def allowance(quota: Quota) -> Allowance:
    """What a quota allows. Raises InvalidField."""
    values = {}
    for name in (row.name for row in fields(Allowance)):
        value = getattr(quota, name) if quota.HasField(name) else None
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InvalidField(field=f"quota.{name}", takes="0 or more")
        values[name] = value
    return Allowance(**values)


def quota_message(allowance: Allowance) -> Quota:
    values = {row.name: getattr(allowance, row.name) for row in fields(Allowance)}
    return Quota(**{name: value for name, value in values.items() if value is not None})


def token_message(credential: Credential, default: Allowance) -> Token:
    """The message of a token, which has the limits of `default` where it has none of its own."""
    return Token(
        id=credential.id,
        name=credential.name,
        scopes=_scopes(credential.scopes),
        own=credential.own,
        owner=credential.owner,
        create_time=timestamp(credential.create_time),
        expire_time=_optional(credential.expire_time),
        revoke_time=_optional(credential.revoke_time),
        use_time=_optional(credential.use_time),
        quota=quota_message(credential.allowance.or_else(default)),
    )


def access_message(principal: Principal, usage: Usage) -> Access:
    """What a caller is told of itself. Whoever has a ticket is told of that: what may be stored with it in
    all, and what was."""
    allowance, stored_bytes, stored_images = principal.allowance, usage.stored_bytes, usage.stored_images
    if terms := principal.terms:
        allowance = replace(allowance, stored_bytes=terms.bytes, stored_images=terms.images)
        stored_bytes, stored_images = usage.ticket_bytes, usage.ticket_images
    return Access(
        subject=principal.subject,
        scopes=_scopes(principal.scopes),
        own=principal.own,
        owner=principal.owner,
        expire_time=_optional(None if principal.expires is None else int(principal.expires * 1e6)),
        quota=quota_message(allowance),
        usage=UsageMessage(
            stored_bytes=stored_bytes,
            stored_images=stored_images,
            open_uploads=usage.open_uploads,
        ),
    )


def _scopes(scopes: Collection[Scope]) -> list[str]:
    """As the names of the enum's values."""
    return [f"SCOPE_{scope.upper()}" for scope in SCOPES if scope in scopes]


def _optional(time: int | None) -> Timestamp | None:
    return None if time is None else timestamp(time)
