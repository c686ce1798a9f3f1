"""What is never shown: tokens, tickets, sessions and cookies."""

import re

from conexiones.wire.events import Header

HIDDEN = "(hidden)"

_HEADERS = {"authorization", "cookie", "set-cookie", "proxy-authorization"}
# Our own, and JWTs.
_SECRET = re.compile(r"cn[a-z]_[0-9A-Za-z_]{8,}|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2}")
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
    return _QUERY.sub(lambda found: f"{found[1]}{HIDDEN}", text)
