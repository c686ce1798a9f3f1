"""Who the holders of JWTs are, by the claims that the issuer has signed. Envoy has verified the signature,
the issuer, the audience and the times before."""

import math
from dataclasses import dataclass, field
from typing import Any

from conexiones.domain.ids import now
from conexiones.errors import TokenExpired, TokenUnknown
from conexiones.principals import SCOPES, Allowance, Principal

MAX_SUBJECT = 256
"""The longest subject, in characters."""

LAST_TIME = 253_402_300_799.0
"""The end of the year 9999, after which timestamps of protobuf end, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Which claims tell the subject and the scopes. With `own`, callers see only what they stored."""

    subject: str = "sub"
    scopes: str = "scope"
    own: bool = True
    allowance: Allowance = field(default_factory=Allowance)

    def principal(self, claims: dict[str, Any]) -> Principal:
        """Who has the JWT. Scopes that the server does not know are for others.

        Raises TokenExpired, and TokenUnknown if the claims name nobody.
        """
        subject, expires = claims.get(self.subject), claims.get("exp")
        if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT or not subject.isprintable():
            raise TokenUnknown
        if isinstance(expires, bool) or not isinstance(expires, int | float) or not math.isfinite(expires):
            raise TokenUnknown
        if expires <= now() / 1e6:
            raise TokenExpired
        given = claims.get(self.scopes, ())
        words = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        return Principal(
            subject=f"jwt:{subject}",
            scopes=frozenset(scope for scope in SCOPES if scope in words),
            own=self.own,
            owner=f"jwt:{subject}",
            expires=min(float(expires), LAST_TIME),
            allowance=self.allowance,
        )
