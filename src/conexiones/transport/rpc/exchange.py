"""The requests and replies of one call, in what all protocols of RPCs have in common."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import ClassVar, TypeAlias

from google.protobuf.message import Message

from conexiones.errors import ConexionesError, NotOneMessage
from conexiones.services.payload import Shared, WithPayload
from conexiones.transport.chain.call import Call
from conexiones.transport.chain.memory import COPIES
from conexiones.transport.rpc.codecs import Codec, Data
from conexiones.transport.rpc.compression import INFLATION, inflate, is_compressed
from conexiones.transport.rpc.envelopes import Envelopes, Requests, Sole, Undecoded, envelope, whole
from conexiones.transport.rpc.payloads import Carried
from conexiones.transport.rpc.status import Details

_MESSAGES = 256
"""After so many messages, other calls get their turn. A MiB may hold 200,000 empty messages, and a handler
may take each without waiting for anything: every other call would stand still for seconds."""

Request: TypeAlias = Message | Sole | Carried
Reply: TypeAlias = Message | WithPayload | Shared


class Exchange(ABC):
    """The Answer of an RPC, and its requests, in one protocol and one codec. It is read by one task, and
    answered by one task at a time.

    `content_type` is that of the response.
    """

    __slots__ = ("_begun", "_call", "_codec", "_content_type", "_details", "_ended")

    encoding: ClassVar[bytes]
    """The header that says how messages are compressed."""

    def __init__(self, call: Call, codec: Codec, content_type: bytes, details: Details) -> None:
        self._call = call
        self._codec = codec
        self._content_type = content_type
        self._details = details
        self._begun = False
        self._ended = False

    # Requests

    @abstractmethod
    def requests(self, kind: Requests) -> AsyncIterator[Request]:
        """The requests as they come. It holds none of them while it waits for the next.

        Raises MalformedRequest, MalformedMessage, InvalidUtf8, MessageTooLarge, UnknownCompression,
        UndeclaredCompression, ClientStalled, and Cancelled if the client goes away.
        """

    async def only(self, kind: Requests) -> Request:
        """The one request of a call that has one. Raises what `requests` raises, and NotOneMessage."""
        return await _only(self.requests(kind))

    def silence(self) -> float | None:
        """Seconds for which a client that could send the next message has sent nothing; else None."""
        return self._call.body.silence()

    def _compressed(self) -> bool:
        """Whether messages may be compressed. Raises UnknownCompression."""
        return is_compressed(self._call.header(self.encoding))

    async def _decoded(self, data: Data, kind: Requests, *, is_compressed: bool) -> Request:
        """The message of a whole body or envelope."""
        if is_compressed and data:
            data = await self._inflated(data, kind)
        codec = self._codec
        if codec.takes_long(data):
            return await asyncio.to_thread(codec.decode, data, kind.message, kind.payload)
        return codec.decode(data, kind.message, kind.payload)

    async def _inflated(self, data: Data, kind: Requests) -> Data:
        """What was compressed to `data`. Before it becomes long, it waits for memory."""
        most = min(len(data) * INFLATION, kind.max_bytes)
        found = await inflate(data, kind.max_bytes, lambda: self._room(most))
        if found is None:
            raise kind.too_large()
        return found

    async def _room(self, size: int) -> None:
        """Waits for the room for a message of up to `size` bytes that does not depend on its client."""
        memory = self._call.memory
        await (memory.hold(size) if size <= memory.most_small else memory.work(COPIES * size))

    # Replies

    def encoded(self, reply: Reply) -> bytes:
        """The bytes of a reply, in its envelope if the protocol has envelopes."""
        if isinstance(reply, Shared):
            return reply.encoded((type(self), self._codec), self._encode)
        return self._encode(reply)

    @abstractmethod
    def _encode(self, reply: Message | WithPayload) -> bytes:
        """The same of one that is not shared."""

    @abstractmethod
    async def reply(self, reply: Reply) -> None:
        """Sends the one reply of a call that has one, and ends the call."""

    @abstractmethod
    async def begin(self) -> None:
        """Begins a stream of replies, if it has not begun: the client gets the headers of the response."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Sends replies of a stream, encoded."""

    @abstractmethod
    async def end(self) -> None:
        """Ends a stream of replies."""

    @abstractmethod
    async def fail(self, error: ConexionesError) -> None:
        """Ends the call with an error."""


class Enveloped(Exchange):
    """What gRPC and Connect streams have in common: messages in envelopes."""

    __slots__ = ()

    trailers: ClassVar[bool]
    """Whether the response ends with trailers of HTTP."""

    async def only(self, kind: Requests) -> Request:
        envelopes = self._envelopes(kind)
        body = self._call.body
        first = await body.read(within=True)
        content = whole(first, kind) if first else None
        if content is None:
            return await _only(self._messages(envelopes, kind, first, single=True))
        # Most requests end with an empty piece behind their message.
        while (more := await body.read(within=True)) is not None:
            if more:
                raise NotOneMessage
        return await self._decoded(content, kind, is_compressed=False)

    def requests(self, kind: Requests) -> AsyncIterator[Request]:
        return self._messages(self._envelopes(kind), kind, b"")

    def _envelopes(self, kind: Requests) -> Envelopes:
        return Envelopes(kind, self._codec, compressed=self._compressed())

    async def _messages(
        self, envelopes: Envelopes, kind: Requests, piece: bytes | None, *, single: bool = False
    ) -> AsyncIterator[Request]:
        """The messages of a body whose first piece has been read. With `single`, the caller keeps the one
        message, and asks for another only to see that there is none."""
        body, memory = self._call.body, self._call.memory
        given = 0
        while piece is not None:
            if 0 < envelopes.missing <= len(piece):
                await memory.work(envelopes.gathering)
            envelopes.feed(piece)
            del piece
            while (found := envelopes.next()) is not None:
                memory.decoded()
                if isinstance(found, Undecoded):
                    found = await self._decoded(found.data, kind, is_compressed=found.is_compressed)
                yield found
                del found
                given += 1
                if not given % _MESSAGES:
                    await asyncio.sleep(0)
            if envelopes.gathering:
                await memory.hold(envelopes.gathering)
            elif not single:  # a caller that asks for more is done with the message before
                memory.release()
            piece = await body.read(within=single or envelopes.within)
        envelopes.end()

    def _encode(self, reply: Message | WithPayload) -> bytes:
        return envelope(self._codec.encode(reply))

    async def begin(self) -> None:
        if not self._begun:
            await self._start()
            await self._call.send_piece(b"")  # the headers are held back until there is a body

    async def send(self, data: bytes) -> None:
        if not self._begun:
            await self._start()
        sending = self._call.send_piece(data)
        del data
        await sending

    async def _start(self) -> None:
        self._begun = True
        call = self._call
        call.status = 200
        await call.send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", self._content_type), *call.reply_headers],
                "trailers": self.trailers,
            }
        )


async def _only(requests: AsyncIterator[Request]) -> Request:
    found = None
    async for request in requests:
        if found is not None:
            raise NotOneMessage
        found = request
    if found is None:
        raise NotOneMessage
    return found
