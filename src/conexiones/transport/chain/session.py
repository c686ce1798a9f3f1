"""The session of the page, in a cookie.

A browser sends a cookie whoever made it call. So it counts only for calls of the page itself: SameSite keeps
other sites away, but a page on another port of the same host is of the same site, and so is one on another
host below the same domain.
"""

import re
from collections.abc import Callable
from typing import Literal

from conexiones.errors import UnknownOrigin
from conexiones.principals import Principal
from conexiones.transport.chain.call import Call

NAME = b"conexiones_session"

SECURE_NAME = b"__Host-" + NAME
"""The name over TLS. Browsers take such a cookie from this very host only, over TLS and for all paths
(https://datatracker.ietf.org/doc/html/rfc6265bis, 4.1.3.2)."""

_READING = {"GET", "HEAD"}
_SAME = {b"", b"same-origin", b"none"}

Origin = Literal["ours", "absent", "other"]


class SessionSource:
    """A Source of callers: `find` gives who has a session, or None if it is not good any more, which counts
    as nothing shown; it raises TokenUnknown if there is no such session. `is_own` says whether an Origin, a
    Host and a scheme are of one page."""

    kind = "session"

    def __init__(
        self,
        find: Callable[[str], Principal | None],
        *,
        is_own: Callable[[bytes, bytes, str], bool],
        secure: bool,
    ) -> None:
        self._find = find
        self._is_own = is_own
        names = (SECURE_NAME,) if secure else (SECURE_NAME, NAME)
        # A header may have thousands of pairs, of which none is taken apart.
        self._names = {
            name: re.compile(rb"(?:^|;)[ \t]*+%b(?:=([^;]*)|[ \t]*(?=;|$))" % name) for name in names
        }

    def __call__(self, call: Call) -> Principal | None:
        """Raises UnknownOrigin if a page of another origin would change something with the session, and
        TokenUnknown."""
        secret = self._cookie(call)
        found = self._find(secret) if secret else None
        if found is None:
            return None
        origin = self.origin(call)
        if origin == "ours" or (origin == "absent" and call.verb in _READING):
            return found
        if call.verb in _READING:
            return None
        raise UnknownOrigin

    def origin(self, call: Call) -> Origin:
        """Whose page calls, as the browser says, and says always where a call may change something."""
        if call.header(b"sec-fetch-site") not in _SAME:
            return "other"
        origins = [value for name, value in call.headers if name == b"origin"]
        if not origins:
            return "absent"
        ours = self._is_own(origins[0], call.header(b"host"), call.scheme)
        return "ours" if ours and len(origins) == 1 else "other"

    def _cookie(self, call: Call) -> str:
        """The value of the cookie; empty if there is none, or more than one: another page of the site may
        have added one, and which of them counts is not for the server to choose."""
        lines = [line for name, line in call.headers if name == b"cookie"]
        for name, pattern in self._names.items():
            values = [value for line in lines if name in line for value in pattern.findall(line)]
            if values:
                return values[0].strip().decode("latin-1") if len(values) == 1 else ""
        return ""
