"""The short way of a gRPC call that streams, when nothing about it is unusual: see unary.py.

A stream is begun here or in connectrpc, and stays there: each error that a stream can have is answered here.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from google.protobuf.message import Message

from conexiones import errors
from conexiones.services.heavy import Heavy
from conexiones.transport.guard import contained, contained_stream
from conexiones.transport.inbound import Receive
from conexiones.transport.plain import CONTENT_TYPE, END, START, Watch, frame, is_plain, refused
from conexiones.transport.rpc.frames import Frames
from conexiones.transport.wire import Send, respond, status_headers

AHEAD = 64 << 10
"""Bytes of replies that may wait for the client; the one that passes it still finds room."""


class Streaming:
    """One method: its name as package.Service/Method, its handler, the class of its requests, whether it gets
    and gives streams, whether it takes requests in pieces (frames.py), and the facts of MessageTooLarge, with
    the limit of one request."""

    def __init__(
        self,
        method: str,
        handler: Any,
        request: type[Message],
        *,
        requests: bool,
        replies: bool,
        pieces: bool,
        too_large: Mapping[str, Any],
    ) -> None:
        self._method = method
        self._handler = handler
        self._request = request
        self._requests = requests
        self._replies = replies
        self._pieces = pieces
        self._too_large = too_large

    async def serve(self, receive: Receive, send: Send, headers: Mapping[bytes, bytes]) -> Receive | None:
        """Serves the call; or else gives the receive(), of which nothing has been read."""
        if not is_plain(headers):
            return receive
        outbox = _Outbox(send)
        try:
            async with Watch(receive, headers) as watch:
                messages = self._messages(receive, watch)
                request = messages if self._requests else await _only(messages)
                if self._replies:
                    await outbox.send_all(contained_stream(self._handler(request, None)))
                else:
                    await outbox.send(frame(await contained(self._handler(request, None))))
        except Exception as error:
            await outbox.fail(refused(error, self._method, headers))
        else:
            await outbox.end()
        return None

    async def _messages(self, receive: Receive, watch: Watch) -> AsyncIterator[Message]:
        """The requests as they come. While it waits it holds none of them."""
        frames = Frames(self._request, pieces=self._pieces, too_large=self._too_large)
        more = True
        while more:
            event = await receive()
            if event["type"] != "http.request":
                raise errors.Cancelled
            more = event.get("more_body", False)
            frames.feed(event["body"])
            del event
            if not more:
                watch.start()
            while (message := frames.next()) is not None:
                yield message
                del message
        frames.end()


class _Outbox:
    """The way of the replies: those that are there at the same time leave together."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._frames: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()  # frames, or the end of them
        self._room = asyncio.Event()

    async def send(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            await self._send(START)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def send_all(self, replies: AsyncIterator[Message | Heavy]) -> None:
        gathering = asyncio.create_task(self._gather(replies))
        try:
            while not gathering.done() or self._frames:
                await self._news.wait()
                self._news.clear()
                frames, self._frames, self._size = self._frames, [], 0
                self._room.set()
                if frames:
                    await self.send(b"".join(frames))
                del frames
            await gathering
        finally:
            gathering.cancel()
            await asyncio.gather(gathering, return_exceptions=True)

    async def _gather(self, replies: AsyncIterator[Message | Heavy]) -> None:
        try:
            async for reply in replies:
                data = frame(reply)
                self._frames.append(data)
                self._size += len(data)
                del reply, data
                self._news.set()
                while self._size > AHEAD:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._news.set()

    async def end(self) -> None:
        if not self._begun:
            await self._send(START)
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._send(END)

    async def fail(self, error: errors.ConexionesError) -> None:
        if not self._begun:
            await respond(self._send, CONTENT_TYPE, error)
            return
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._send({**END, "headers": status_headers(error)})


async def _only(messages: AsyncIterator[Message]) -> Message:
    """The one message that there is to be."""
    found = None
    async for message in messages:
        if found is not None:
            raise errors.MalformedRequest
        found = message
    if found is None:
        raise errors.MalformedRequest
    return found
