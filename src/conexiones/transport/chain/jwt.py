"""JWTs of an issuer (RFC 7519), which Envoy has verified."""

import binascii
import json
import re
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

from conexiones.errors import TokenExpired, TokenUnknown
from conexiones.principals import Principal
from conexiones.transport.chain.call import Call

PAYLOAD = b"x-conexiones-jwt"
"""The header in which Envoy forwards the payload of a JWT that is good. Envoy removes what clients set."""

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")


class Jwt:
    """Gives who has the JWT that a call shows: `find` judges its claims."""

    def __init__(self, find: Callable[[dict[str, Any]], Principal]) -> None:
        self._find = find

    def __call__(self, call: Call, token: str) -> Principal:
        """Raises TokenExpired, and TokenUnknown for what was not signed by the issuer for this server."""
        form = _FORM.fullmatch(token)
        payload = call.header(PAYLOAD).decode("latin-1")
        if form is None or not payload:
            # What a JWT says that is not good is not believed, but it may well say why.
            raise TokenExpired if form and _has_expired(_claims(form[2])) else TokenUnknown
        if "crit" in _claims(form[1]):
            # What the header calls critical, Envoy does not look at (RFC 7515, section 4.1.11).
            raise TokenUnknown
        return self._find(_claims(payload))


def _claims(payload: str) -> dict[str, Any]:
    """The claims in a payload, or the members of a header; none if it has none."""
    try:
        found = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _has_expired(claims: dict[str, Any]) -> bool:
    expires = claims.get("exp")
    return isinstance(expires, int | float) and expires <= time.time()
