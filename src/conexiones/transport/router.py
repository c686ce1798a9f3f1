"""From a request to its call: the route of its path, its protocol and its deadline."""

from collections.abc import Mapping
from typing import Any

from conexiones.errors import (
    ConexionesError,
    MalformedRequest,
    PermissionDenied,
    UnknownHost,
    UnknownMethod,
    UnknownProtocol,
)
from conexiones.transport.chain.call import Call, Endpoint, Headers, Receive, Route, Send
from conexiones.transport.http.hosts import Hosts
from conexiones.transport.http.images import PREFIX
from conexiones.transport.http.page import Page
from conexiones.transport.http.problem import HttpAnswer
from conexiones.transport.http.session import PATH as SESSION
from conexiones.transport.rpc.method import Method
from conexiones.transport.rpc.protocols import Dialect, dialect
from conexiones.transport.rpc.status import Details


class Router:
    """Routes of RPCs are by exact path, "/package.Service/Method"; `images` has all paths below /images/.

    A request that is wrong as a whole gets a route that refuses it. So every request becomes a call, and goes
    through the chain. Without `hosts`, Host and Origin are not looked at. `sessions` has the routes of
    /session by verb; without them there is no such path.
    """

    def __init__(
        self,
        rpcs: Mapping[str, Route],
        *,
        images: Endpoint,
        page: Page,
        details: Details,
        hosts: Hosts | None = None,
        sessions: Mapping[str, Route] | None = None,
    ) -> None:
        self._rpcs = rpcs
        self._images = Route(service="http", method="images", endpoint=images, needs="read")
        # Served even while the server drains: the page shows the state of the server.
        self._page = Route(
            service="http", method="page", endpoint=page, needs="none", exempt=frozenset({"admission"})
        )
        self._has_page = page.has
        self._details = details
        self._hosts = hosts
        self._sessions = sessions

    def call(self, scope: Any, receive: Receive, send: Send) -> Call:
        """The call of a request, an ASGI scope of HTTP."""
        index = dict(scope["headers"])
        path = scope["path"]
        refused: type[ConexionesError] | None = None
        try:
            if self._hosts:
                self._hosts.check(scope, index)
        except PermissionDenied as error:
            refused = type(error)
        else:
            if path.startswith(PREFIX):
                return _http(scope, receive, send, route=self._images, index=index)
            if self._has_page(path) and (found := self._to_page(scope["method"], index)):
                return _http(scope, receive, send, route=found, index=index)
            if path == SESSION and self._sessions:
                found = self._sessions.get(scope["method"]) or _other_verb(self._sessions)
                return _http(scope, receive, send, route=found, index=index)
        spoken = dialect(index.get(b"content-type", b""))
        route, seconds = self._rpcs.get(path), None
        if refused is not None:
            route = _refusal(route, refused, 421 if refused is UnknownHost else None)
        else:
            route, seconds = _checked(route, scope["method"], spoken, index)
        if spoken is None:
            return _http(scope, receive, send, route=route, index=index)
        call = Call(scope, receive, send, route=route, protocol=spoken.kind, index=index, seconds=seconds)
        call.answer = spoken.answer(call, self._details)
        return call

    def _to_page(self, verb: str, index: dict[bytes, bytes]) -> Route | None:
        """The route of a request for what the page has; None if it is a call, which has errors of its own."""
        if verb in {"GET", "HEAD"}:
            return self._page
        if dialect(index.get(b"content-type", b"")):
            return None
        return _refusal(self._page, MalformedRequest, 405, [(b"allow", b"GET, HEAD")])


def _checked(
    route: Route | None, verb: str, spoken: Dialect | None, index: dict[bytes, bytes]
) -> tuple[Route, float | None]:
    """The route of an RPC, or one that refuses it; and the seconds that the client gives the call."""
    if route is None:
        return _refusal(None, UnknownMethod, 404), None
    if verb != "POST":
        return _refusal(route, UnknownProtocol, 405, [(b"allow", b"POST")]), None
    streams = isinstance(route.endpoint, Method) and route.endpoint.streams
    if spoken is None or not spoken.carries(streams=streams):
        return _refusal(route, UnknownProtocol, 415), None
    if not all(map(bytes.isascii, index.values())):
        return _refusal(route, MalformedRequest), None
    try:
        return route, spoken.seconds(index)
    except MalformedRequest:
        return _refusal(route, MalformedRequest), None


def _other_verb(routes: Mapping[str, Route]) -> Route:
    allowed = ", ".join(sorted(routes))
    return _refusal(next(iter(routes.values())), MalformedRequest, 405, [(b"allow", allowed.encode())])


def _http(scope: Any, receive: Receive, send: Send, *, route: Route, index: dict[bytes, bytes]) -> Call:
    call = Call(scope, receive, send, route=route, protocol="http", index=index)
    call.answer = HttpAnswer(call)
    return call


def _refusal(
    route: Route | None,
    error: type[ConexionesError],
    status: int | None = None,
    headers: Headers | None = None,
) -> Route:
    """A route that refuses its call with the error, and has the names of the one that was asked for, for the
    log. `status` is the HTTP status, in protocols whose errors have one.

    Its calls are exempt from admission: they cost nothing, and are wrong whatever state the server is in."""

    async def refuse(call: Call) -> None:
        call.http_status = status
        call.reply_headers += headers or []
        raise error

    service, method = (route.service, route.method) if route else ("", "")
    return Route(
        service=service, method=method, endpoint=refuse, needs="none", exempt=frozenset({"admission"})
    )
