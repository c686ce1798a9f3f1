"""The ASGI application as Envoy sees it: the way of a request to its service, and the server's life.

Every request passes here first. What can be refused before connectrpc looks at it is refused here, in the
protocol that the caller speaks; calls are counted, so that a shutdown can wait for them.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from conexiones import errors
from conexiones.transport.http.images import PREFIX, ImageFiles
from conexiones.transport.http.page import Page
from conexiones.transport.http.problem import respond_problem
from conexiones.transport.inbound import Budget, Inbound, Receive
from conexiones.transport.outbound import Outbound
from conexiones.transport.process.control import Control
from conexiones.transport.streaming import Streaming
from conexiones.transport.unary import Unary
from conexiones.transport.wire import Send, percent, protocol_of, respond

log = logging.getLogger("conexiones.front")

App = Callable[[Any, Receive, Send], Awaitable[None]]

# Compressed replies would cost more than they save: images are compressed already.
_UNWANTED = {b"accept-encoding", b"grpc-accept-encoding", b"connect-accept-encoding"}
_TIMEOUTS = {
    b"grpc-timeout": re.compile(rb"[0-9]{1,8}[HMSmun]"),
    b"connect-timeout-ms": re.compile(rb"[0-9]{1,10}"),
}
_CODECS = {"grpc": {"", "+proto", "+json"}, "connect": {"proto", "json"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method: its application, which serves every protocol, and its short way if it has one; whether it
    streams in some direction; whether it is `standing`, as health is: always served, not counted, and not
    waited for in a drain; whether it is `endless`, as watching is: not waited for."""

    app: App
    streams: bool
    short: Unary | Streaming | None = None
    standing: bool = False
    endless: bool = False


class Front:
    """Routes are by exact path, "/package.Service/Method"; `images` has all below /images/.

    `resources` is entered at start-up and left at shutdown; `on_drain` is called when a drain begins.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        images: ImageFiles,
        page: Page,
        resources: Callable[[], AbstractAsyncContextManager[None]],
        on_drain: Callable[[], None],
        control: Callable[[], Awaitable[Control]] | None,
        budget: Budget,
        max_calls: int,
        max_message_bytes: int,
        stall_seconds: float,
    ) -> None:
        self._routes = routes
        self._images = images
        self._page = page
        self._resources = resources
        self._on_drain = on_drain
        self._open_control = control
        self._control: Control | None = None
        self._budget = budget
        self._max_calls = max_calls
        self._max_message_bytes = max_message_bytes
        self._stall_seconds = stall_seconds
        self._calls = 0
        self._endless = 0  # of these
        self._draining = False

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            outbound = Outbound(send)
            try:
                await self._serve(scope, receive, outbound)
            except Exception:
                if not outbound.gone:  # else nobody is left to be told, and nothing is wrong
                    raise

    # A request

    async def _serve(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        route = self._routes.get(scope["path"])
        if scope["path"].startswith(PREFIX):
            await self._serve_image(scope, receive, send)
        elif scope["method"] in {"GET", "HEAD"} and self._page.has(scope["path"]):
            await self._page(scope, receive, send)
        elif route is None:
            await respond(send, content_type, errors.UnknownMethod(), status=404)
        elif scope["method"] != "POST":
            await respond(send, content_type, errors.MalformedRequest(), status=405, allow="POST")
        elif not _known(content_type, streams=route.streams):
            await respond(send, content_type, errors.MalformedRequest(), status=415)
        elif not _well_formed(headers):
            await respond(send, content_type, errors.MalformedRequest())
        elif route.standing:
            await self._call(route, scope, receive, send, headers)
        elif refused := self._refused():
            await respond(send, content_type, refused)
        else:
            with self._counted(endless=route.endless):
                await self._call(route, scope, receive, send, headers)

    async def _serve_image(self, scope: Any, receive: Receive, send: Send) -> None:
        if refused := self._refused():
            await respond_problem(send, refused, body=scope["method"] != "HEAD")
        else:
            with self._counted():
                await self._images(scope, receive, send)

    def _refused(self) -> errors.ConexionesError | None:
        """Why no more calls are taken, if they are not."""
        if self._draining:
            return errors.ServerDraining()
        return errors.ServerBusy(limit=self._max_calls) if self._calls >= self._max_calls else None

    @contextmanager
    def _counted(self, *, endless: bool = False) -> Iterator[None]:
        self._calls += 1
        self._endless += endless
        try:
            yield
        finally:
            self._calls -= 1
            self._endless -= endless
            self._say_if_idle()

    async def _call(
        self, route: Route, scope: Any, receive: Receive, send: Send, headers: Mapping[bytes, bytes]
    ) -> None:
        protocol = protocol_of(headers[b"content-type"].decode())
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in _UNWANTED]
        length = headers.get(b"content-length", b"")
        inbound = Inbound(
            receive,
            self._budget,
            framed=protocol != "connect",
            compressed=headers.get(b"content-encoding", b"identity") != b"identity",
            declared=int(length) if length.isdigit() else None,
            max_message_bytes=self._max_message_bytes,
            stall_seconds=self._stall_seconds,
        )
        again: Receive | None = inbound
        try:
            if route.short:
                again = await route.short.serve(inbound, send, headers)
            if again:
                await route.app(scope, again, TrailersOnly(send) if protocol == "grpc" else send)
        except (SystemExit, KeyboardInterrupt) as error:
            # Let through, it would end the loop, and every later call would hang.
            raise RuntimeError("a handler tried to end the server") from error
        finally:
            inbound.close()

    # The server's life

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        asyncio.get_running_loop().set_exception_handler(_quiet)
        async with AsyncExitStack() as stack:
            listening: asyncio.Task[None] | None = None
            if self._open_control:
                self._control = await self._open_control()
                stack.push_async_callback(self._control.close)
            try:
                await stack.enter_async_context(self._resources())
            except Exception as error:
                log.exception("The server cannot start")
                # The supervisor is ours, and the sentence helps its user: it is no client.
                if self._control:
                    self._control.say("failed", why=str(error))
                await send({"type": "lifespan.startup.failed", "message": "see the log"})
                return
            if self._control:
                listening = asyncio.create_task(self._listen(self._control))
                self._control.say("ready")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if listening:
                listening.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _listen(self, control: Control) -> None:
        async for event in control.events():
            if event["event"] == "drain":
                log.debug("Draining, with %d calls in flight", self._calls)
                self._draining = True
                self._on_drain()
                self._say_if_idle()

    def _say_if_idle(self) -> None:
        if self._draining and self._calls == self._endless and self._control:
            self._control.say("idle")


class TrailersOnly:
    """The ASGI send() of one gRPC call: an error without a message before it becomes one header block.

    connectrpc sends headers, an empty body and trailers, which hides the status from gRPC clients until
    after the "response" has begun, so that their retry policies never act.
    """

    __slots__ = ("_body", "_send", "_start")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Any = None
        self._body: Any = None

    async def __call__(self, message: Any) -> None:
        kind = message["type"]
        if kind == "http.response.trailers":
            message = {**message, "headers": [_recoded(*entry) for entry in message["headers"]]}
        if kind == "http.response.start" and message.get("trailers"):
            self._start = message
            return
        if self._start is not None:
            if kind == "http.response.body" and not message.get("body") and not message.get("more_body"):
                self._body = message
                return
            start, body = self._start, self._body
            self._start = self._body = None
            if kind == "http.response.trailers" and body is not None and _is_error(message["headers"]):
                headers = [entry for entry in start["headers"] if entry[0] != b"grpc-encoding"]
                await self._send({**start, "headers": [*headers, *message["headers"]], "trailers": False})
                await self._send(body)
                return
            await self._send(start)
            if body is not None:
                await self._send(body)
        await self._send(message)


def _recoded(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """connectrpc encodes more of grpc-message than the specification says, and grpc-js shows it so."""
    return (name, percent(unquote(value.decode()))) if name == b"grpc-message" else (name, value)


def _is_error(trailers: list[tuple[bytes, bytes]]) -> bool:
    return dict(trailers).get(b"grpc-status") != b"0"


def _known(content_type: str, *, streams: bool) -> bool:
    """Whether connectrpc will know the content type, for a method of that kind."""
    protocol = protocol_of(content_type)
    media = content_type.partition(";")[0].strip().lower()
    if protocol == "grpc":
        return media.removeprefix("application/grpc") in _CODECS["grpc"]
    if streams != (protocol == "connect-stream"):
        return False
    prefix = "application/connect+" if streams else "application/"
    return media.startswith(prefix) and media.removeprefix(prefix) in _CODECS["connect"]


def _well_formed(headers: Mapping[bytes, bytes]) -> bool:
    """Whether connectrpc will understand the headers, so that no fault of theirs is left for it to word."""
    return (
        all(value.isascii() for value in headers.values())
        and not any(name in headers and not form.fullmatch(headers[name]) for name, form in _TIMEOUTS.items())
        and headers.get(b"connect-protocol-version", b"1") == b"1"
    )


def _quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Drops what pyvoy says of a receive() or send() that was cancelled with its call; it means nothing."""
    if isinstance(context.get("exception"), asyncio.InvalidStateError):
        callback = repr(context)
        if "RecvFuture" in callback or "Future.set_exception" in callback:
            return
    loop.default_exception_handler(context)
