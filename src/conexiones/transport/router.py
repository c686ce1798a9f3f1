"""From a request to its call: the route of its path, its protocol and its deadline."""

from collections.abc import Mapping
from typing import Any

from conexiones.errors import ConexionesError, MalformedRequest, UnknownMethod, UnknownProtocol
from conexiones.transport.chain.call import Call, Endpoint, Headers, Receive, Route, Send
from conexiones.transport.http.images import PREFIX
from conexiones.transport.http.page import Page
from conexiones.transport.http.problem import HttpAnswer
from conexiones.transport.rpc.method import Method
from conexiones.transport.rpc.protocols import dialect
from conexiones.transport.rpc.status import Details


class Router:
    """Routes of RPCs are by exact path, "/package.Service/Method"; `images` has all paths below /images/.

    A request that is wrong as a whole gets a route that refuses it. So every request becomes a call, and goes
    through the chain.
    """

    def __init__(self, rpcs: Mapping[str, Route], *, images: Endpoint, page: Page, details: Details) -> None:
        self._rpcs = rpcs
        self._images = Route(service="http", method="images", endpoint=images)
        # Served even while the server drains: the page shows the state of the server.
        self._page = Route(service="http", method="page", endpoint=page, exempt=frozenset({"admission"}))
        self._has_page = page.has
        self._details = details

    def call(self, scope: Any, receive: Receive, send: Send) -> Call:
        """The call of a request, an ASGI scope of HTTP."""
        index = dict(scope["headers"])
        path = scope["path"]
        if path.startswith(PREFIX):
            return _http(scope, receive, send, route=self._images, index=index)
        if scope["method"] in {"GET", "HEAD"} and self._has_page(path):
            return _http(scope, receive, send, route=self._page, index=index)
        spoken = dialect(index.get(b"content-type", b""))
        seconds = None
        route = self._rpcs.get(path)
        if route is None:
            route = _refusal(None, UnknownMethod, 404)
        elif scope["method"] != "POST":
            route = _refusal(route, UnknownProtocol, 405, [(b"allow", b"POST")])
        elif spoken is None or not spoken.carries(
            streams=isinstance(route.endpoint, Method) and route.endpoint.streams
        ):
            route = _refusal(route, UnknownProtocol, 415)
        elif not all(map(bytes.isascii, index.values())):
            route = _refusal(route, MalformedRequest)
        else:
            try:
                seconds = spoken.seconds(index)
            except MalformedRequest:
                route = _refusal(route, MalformedRequest)
        if spoken is None:
            return _http(scope, receive, send, route=route, index=index)
        call = Call(scope, receive, send, route=route, protocol=spoken.kind, index=index, seconds=seconds)
        call.answer = spoken.answer(call, self._details)
        return call


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
    return Route(service=service, method=method, endpoint=refuse, exempt=frozenset({"admission"}))
