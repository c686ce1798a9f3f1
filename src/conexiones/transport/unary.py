"""The short way of a gRPC call with one request and one reply, when nothing about it is unusual.

connectrpc serves every protocol, and takes longer for a small call than all the rest of the server. So a
plain one is read and answered here: uncompressed protobuf that came as a whole. What is not so, or cannot be
read, goes to connectrpc as it came, which knows each error.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message

from conexiones.transport.guard import contained
from conexiones.transport.inbound import Receive
from conexiones.transport.plain import CONTENT_TYPE, END, START, Watch, frame, is_plain, refused
from conexiones.transport.wire import Send, respond

Handler = Callable[[Any, Any], Awaitable[Message]]


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
        if not is_plain(headers):
            return receive
        came: list[Any] = []
        try:
            async with Watch(receive, headers) as watch:
                request = await self._read(came, receive)
                if request is None:
                    return _again(came, receive)
                watch.start()
                reply: Message = await contained(self._handler(request, None))
        except Exception as error:
            await respond(send, CONTENT_TYPE, refused(error, self._method, headers))
            return None
        await send(START)
        await send({"type": "http.response.body", "body": frame(reply), "more_body": False})
        await send(END)
        return None

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


def _again(came: list[Any], receive: Receive) -> Receive:
    async def again() -> Any:
        return came.pop(0) if came else await receive()

    return again
