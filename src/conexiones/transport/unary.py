"""The short way of a gRPC call with one request and one reply, when nothing about it is unusual.

connectrpc serves every protocol, and takes longer for a small call than all the rest of the server. So a
plain one is read and answered here: uncompressed protobuf that came as a whole. What is not so, or cannot be
read, goes to connectrpc as it came, which knows each error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message

from conexiones import errors
from conexiones.transport.guard import CERTIFICATE, contained, own, refusal
from conexiones.transport.inbound import Receive
from conexiones.transport.wire import Send, respond

PATIENCE = 0.05
"""Seconds that a call may take before it is watched whether its client is still there."""

Handler = Callable[[Any, Any], Awaitable[Message]]

_CONTENT_TYPE = "application/grpc"
_PLAIN = {b"application/grpc", b"application/grpc+proto"}
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/grpc")],
    "trailers": True,
}
_END = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": False}


class Unary:
    """One method: its name as package.Service/Method, its handler, the class of its requests, and the bytes
    that one may have."""

    def __init__(
        self, method: str, handler: Handler, request: type[Message], *, max_message_bytes: int
    ) -> None:
        self._max = max_message_bytes
        self._method = method
        self._handler = handler
        self._request = request

    async def serve(self, receive: Receive, send: Send, headers: Mapping[bytes, bytes]) -> Receive | None:
        """Serves the call; or else gives a receive() with which it is as if nothing had been read."""
        if (
            headers[b"content-type"] not in _PLAIN
            or headers.get(b"grpc-encoding", b"identity") != b"identity"
        ):
            return receive
        came: list[Any] = []
        try:
            reply = await self._exchange(came, receive, headers.get(b"grpc-timeout"))
        except Exception as error:
            certificate = headers.get(CERTIFICATE.encode(), b"").decode("latin-1")
            await respond(send, _CONTENT_TYPE, refusal(own(error), error, self._method, certificate))
            return None
        if reply is None:
            return _again(came, receive)
        body = reply.SerializeToString()
        await send(_START)
        framed = b"\0" + len(body).to_bytes(4) + body
        await send({"type": "http.response.body", "body": framed, "more_body": False})
        await send(_END)
        return None

    async def _exchange(self, came: list[Any], receive: Receive, patience: bytes | None) -> Message | None:
        """The reply; None if the request is not as it should be, of which `came` is what was read."""
        scope = asyncio.timeout(_seconds(patience))
        watch = _Watch(scope, receive)
        try:
            async with scope:
                request = await self._read(came, receive)
                if request is None:
                    return None
                watch.start()
                reply: Message = await contained(self._handler(request, None))
                return reply
        except (TimeoutError, asyncio.CancelledError) as error:
            ended = _ended(error, scope, gone=watch.gone)
            if ended is error:
                raise
            raise ended from error
        finally:
            watch.stop()

    async def _read(self, came: list[Any], receive: Receive) -> Message | None:
        """The request, if it comes as a whole with nothing behind it."""
        came.append(await receive())
        if came[0].get("more_body"):
            came.append(await receive())  # many clients end the stream with an empty frame
        if (
            came[-1]["type"] != "http.request"
            or came[-1].get("more_body")
            or any(message["body"] for message in came[1:])
        ):
            return None
        body = came[0]["body"]
        size = len(body) - 5
        if not 0 <= size <= self._max or body[0] or int.from_bytes(body[1:5]) != size:
            return None
        try:
            return self._request.FromString(body[5:])
        except DecodeError:
            return None


class _Watch:
    """Ends a scope when the client goes away."""

    __slots__ = ("_later", "_receive", "_scope", "_task", "gone")

    def __init__(self, scope: asyncio.Timeout, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._later: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.gone = False

    def start(self) -> None:
        """From PATIENCE on, once the body has been read."""
        self._later = asyncio.get_running_loop().call_later(PATIENCE, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        await self._receive()  # after the body there is only the disconnect
        self.gone = True
        if not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def stop(self) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._task is not None:
            self._task.cancel()


def _ended(error: BaseException, scope: asyncio.Timeout, *, gone: bool) -> BaseException:
    """What a call has ended with: the time, the client, something of the handler's own, or the server."""
    if isinstance(error, TimeoutError):
        if not scope.expired():
            return error
        return errors.Cancelled() if gone else errors.DeadlineExceeded()
    task = asyncio.current_task()
    return errors.Cancelled() if task and not task.cancelling() else error


def _seconds(timeout: bytes | None) -> float | None:
    """Of a grpc-timeout, which the front has found to be well formed."""
    return int(timeout[:-1]) * _UNITS[timeout[-1:]] if timeout else None


def _again(came: list[Any], receive: Receive) -> Receive:
    async def again() -> Any:
        return came.pop(0) if came else await receive()

    return again
