"""What is never shown: tokens, tickets, sessions and cookies."""

import re

from conexiones.wire.events import Header

HIDDEN = "(hidden)"

_HEADERS = {
    "authorization",
    "cookie",
    "set-cookie",
    "proxy-authorization",
    "x-api-key",
    "x-forwarded-client-cert",
}
_SECRET = re.compile(r"cn[a-z]_[0-9A-Za-z_]{8,}")
_RUN = re.compile(r"[A-Za-z0-9_.-]{20,}")
"""What may have a JWT in it."""
_JWT = "eyJ"
"""How every JWT begins: with {" in base64."""
# Parameters of links and of URLs that let whoever has them in.
_QUERY = re.compile(r"([?&](?:ticket|token|signature|sig|key)=)[^&#\s]+", re.IGNORECASE)


def shown(header: Header) -> Header:
    """A header without its secret. The scheme of credentials, such as Bearer, and names of cookies stay."""
    value = header.value
    if header.name.lower() in _HEADERS:
        scheme, space, rest = value.partition(" ")
        name, equals, _ = value.partition("=")
        if "cookie" in header.name.lower():
            kept = f"{name}=" if equals else ""
        else:
            kept = f"{scheme} " if space and rest else ""
        return Header(header.name, f"{kept}{HIDDEN}", header.note)
    return Header(header.name, without(value), header.note)


def without(text: str) -> str:
    """The text with its secrets replaced."""
    text = _SECRET.sub(lambda found: f"{found[0][:4]}{HIDDEN}", text)
    text = _RUN.sub(lambda found: _without_jwt(found[0]), text)
    return _QUERY.sub(lambda found: f"{found[1]}{HIDDEN}", text)


def _without_jwt(run: str) -> str:
    place = run.find(_JWT)
    return f"{run[: place + 3]}{HIDDEN}" if place >= 0 and run.count(".", place) >= 2 else run
