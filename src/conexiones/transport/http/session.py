"""POST and DELETE of /session: signing in to the page, and out.

Whoever shows a token gets a cookie, which stands for a session. No script can read it, and it counts only
for calls of the page itself (chain/session.py).
"""

import json
from contextlib import suppress

from conexiones.errors import MalformedRequest, TokenUnknown, UnknownOrigin, UnknownProtocol
from conexiones.principals import Principal
from conexiones.services.sessions import Sessions
from conexiones.transport.chain.call import Call, Headers, Route
from conexiones.transport.chain.session import NAME, SECURE_NAME, SessionSource

PATH = "/session"

_MAX_BODY = 4096
"""The most bytes of a body, which says nothing."""


class SessionsOverHttp:
    """The routes of PATH, by verb. `source` finds the session of a call."""

    def __init__(self, sessions: Sessions, source: SessionSource) -> None:
        self._sessions = sessions
        self._source = source
        # Whoever signs out may have a session that has ended: its cookie is removed all the same.
        self.routes = {
            "POST": Route(service="http", method="sign in", endpoint=self._begin, needs="any"),
            "DELETE": Route(service="http", method="sign out", endpoint=self._end, needs="none"),
        }

    async def _begin(self, call: Call) -> None:
        origin = self._source.origin(call)
        if origin == "other":
            raise UnknownOrigin
        kind = call.header(b"content-type").partition(b";")[0].strip().lower()
        if kind not in (b"", b"application/json"):
            # What a form of any page can send.
            call.http_status = 415
            raise UnknownProtocol
        await _drop_body(call)
        before = self._found(call) if origin == "ours" else None
        begun = await self._sessions.begin(call.principal)
        if before is not None:
            await self._sessions.end(before)
            call.changed("session.ended", before.credential)
        call.changed("session.created", begun.id)
        headers = [(b"content-type", b"application/json"), self._cookie(call, begun.secret, begun.seconds)]
        await _answer(call, 200, headers, json.dumps(begun.told).encode())

    async def _end(self, call: Call) -> None:
        found = self._found(call)
        if found is not None:
            await self._sessions.end(found)
            call.changed("session.ended", found.credential)
        # The images that the browser keeps were for whoever has signed out.
        await _answer(call, 204, [(b"clear-site-data", b'"cache"'), self._cookie(call, "", 0)], b"")

    def _found(self, call: Call) -> Principal | None:
        """Who has the session that the call shows, if it shows one that there is. Raises UnknownOrigin."""
        with suppress(TokenUnknown):
            return self._source(call)
        return None

    def _cookie(self, call: Call, value: str, seconds: int) -> tuple[bytes, bytes]:
        # Behind a proxy that ends TLS, the browser says that it used it.
        secure = call.scheme == "https" or call.header(b"origin").startswith(b"https:")
        name = SECURE_NAME if secure else NAME
        text = f"{name.decode()}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
        return b"set-cookie", (text + "; Secure" * secure).encode()


async def _answer(call: Call, status: int, headers: Headers, body: bytes) -> None:
    length = [(b"content-length", str(len(body)).encode())] if body else []
    await call.respond(status, [*headers, *length, (b"cache-control", b"no-store")], body)


async def _drop_body(call: Call) -> None:
    """Raises MalformedRequest if it is too long."""
    size = 0
    while (piece := await call.body.read()) is not None:
        size += len(piece)
        if size > _MAX_BODY:
            raise MalformedRequest
