"""What is never shown: tokens, tickets, sessions and cookies."""

import re

from conexiones.wire.events import Header

HIDDEN = "(hidden)"

_HEADER = re.compile(
    r"(?:.*[-_])?(?:authorization|authentication|cookie|credentials?|key|password|secret|signature|token)"
    r"|x-forwarded-client-cert",
    re.IGNORECASE,
)
"""Names of headers whose value is hidden, as of `X-Api-Key`. Some are no secrets, which does no harm."""
_SCHEMES = {"basic", "bearer", "digest", "dpop", "negotiate"}
"""What stays of credentials. Another first word may be a part of them."""
_SECRET = re.compile(r"cn[a-z]_[0-9A-Za-z_]{8,}")
_RUN = re.compile(r"[A-Za-z0-9_.-]{20,}")
"""What may have a JWT in it."""
_JWT = "eyJ"
"""How every JWT begins: with {" in base64."""
# Parameters of links and of URLs that let whoever has them in.
_QUERY = re.compile(
    r"([?&](?:[\w.-]{0,64}[_.-])?(?:ticket|token|signature|sig|key|password|secret|code)=)[^&#\s]+",
    re.IGNORECASE,
)
_USER = re.compile(r"//[^/?#@\s]{1,512}@")
"""A name, a password or a token before the host of a URL."""


def shown(header: Header) -> Header:
    """A header without its secret. The scheme of credentials, such as Bearer, and names of cookies stay."""
    value = header.value
    if _HEADER.fullmatch(header.name):
        scheme, space, rest = value.partition(" ")
        name, equals, _ = value.partition("=")
        if "cookie" in header.name.lower():
            kept = f"{name}=" if equals else ""
        else:
            kept = f"{scheme} " if space and rest and scheme.lower() in _SCHEMES else ""
        return Header(header.name, f"{kept}{HIDDEN}")
    return Header(header.name, without(value), without(header.note))


def without(text: str) -> str:
    """The text with its secrets replaced."""
    text = _SECRET.sub(lambda found: f"{found[0][:4]}{HIDDEN}", text)
    text = _RUN.sub(lambda found: _without_jwt(found[0]), text)
    text = _USER.sub(f"//{HIDDEN}@", text)
    return _QUERY.sub(lambda found: f"{found[1]}{HIDDEN}", text)


def _without_jwt(run: str) -> str:
    place = run.find(_JWT)
    return f"{run[: place + 3]}{HIDDEN}" if place >= 0 and run.count(".", place) >= 2 else run
