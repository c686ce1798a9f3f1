"""The Connect protocol (https://connectrpc.com/docs/protocol), unary calls by POST, and streams."""

import json
import math
from collections.abc import AsyncIterator

from google.protobuf.message import Message

from conexiones.errors import ConexionesError, MalformedRequest
from conexiones.services.payload import WithPayload
from conexiones.transport.chain.call import Headers
from conexiones.transport.rpc.codecs import Data
from conexiones.transport.rpc.envelopes import Requests, envelope
from conexiones.transport.rpc.exchange import Enveloped, Exchange, Reply, Request
from conexiones.transport.rpc.gathered import Gathered
from conexiones.transport.rpc.status import connect_error, http_status, pushback

_DIGITS = 19
"""The most digits of a Content-Length that is read, as int() refuses thousands of them. A longer one counts
as unknown."""

END_STREAM = 2
"""The flag of the last envelope of a stream of replies."""


class ConnectUnary(Exchange):
    """One request and one reply, each the whole body of its HTTP message."""

    __slots__ = ()

    encoding = b"content-encoding"

    async def requests(self, kind: Requests) -> AsyncIterator[Request]:
        is_compressed = self._compressed()
        yield await self._decoded(await self._whole(kind), kind, is_compressed=is_compressed)

    async def _whole(self, kind: Requests) -> Data:
        """The body. If it does not come in one piece, the call first waits for memory: for the announced
        length. If none is known, it is for a small message, and then for the longest."""
        call = self._call
        first = await call.body.read(within=True)
        if first is None:
            raise MalformedRequest
        declared = call.header(b"content-length")
        known = declared.isdigit() and len(declared) <= _DIGITS
        size = int(declared) if known else len(first)
        if size > kind.max_bytes:
            raise kind.too_large()
        if call.body.ended:
            return first
        memory = call.memory
        room = size if known else min(memory.most_small, kind.max_bytes)
        await memory.hold(room)
        gathered = Gathered(size if known else kind.max_bytes)
        gathered.add(first)
        came = len(first)
        del first
        while (piece := await call.body.read(within=True)) is not None:
            came += len(piece)
            if came > gathered.size:
                raise kind.too_large()
            if came > room:
                room = kind.max_bytes
                await memory.hold(room)
            gathered.add(piece)
        await memory.work(came)
        memory.decoded()
        return gathered.whole()

    def _encode(self, reply: Message | WithPayload) -> bytes:
        return b"".join(self._codec.encode(reply))

    async def reply(self, reply: Reply) -> None:
        await self._respond(200, self._content_type, self.encoded(reply))

    async def begin(self) -> None:
        raise TypeError("a unary call has no stream of replies")

    async def send(self, data: bytes) -> None:
        raise TypeError("a unary call has no stream of replies")

    async def end(self) -> None:
        raise TypeError("a unary call has no stream of replies")

    async def fail(self, error: ConexionesError) -> None:
        if self._ended:
            return
        body = json.dumps(connect_error(error, self._details), ensure_ascii=False).encode()
        call = self._call
        call.reply_trailers += pushback(error)
        if error.retry_after is not None:
            call.reply_headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
        await self._respond(self._call.http_status or http_status(error), b"application/json", body)

    async def _respond(self, status: int, content_type: bytes, body: bytes) -> None:
        self._ended = True
        call = self._call
        trailers = [(b"trailer-" + name, value) for name, value in call.reply_trailers]
        await call.respond(status, [(b"content-type", content_type), *call.reply_headers, *trailers], body)


class ConnectStream(Enveloped):
    """A stream of requests, of replies, or of both. Its last envelope says how the call has ended."""

    __slots__ = ()

    encoding = b"connect-content-encoding"
    trailers = False

    async def reply(self, reply: Reply) -> None:
        await self._finish(self.encoded(reply), {})

    async def end(self) -> None:
        await self._finish(b"", {})

    async def fail(self, error: ConexionesError) -> None:
        if not self._ended:
            self._call.reply_trailers += pushback(error)
            await self._finish(b"", {"error": connect_error(error, self._details)})

    async def _finish(self, before: bytes, end: dict[str, object]) -> None:
        self._ended = True
        call = self._call
        if call.reply_trailers:
            end["metadata"] = _metadata(call.reply_trailers)
        text = json.dumps(end, ensure_ascii=False).encode()
        body = before + envelope([text], END_STREAM)
        if self._begun:
            await call.send({"type": "http.response.body", "body": body, "more_body": False})
        else:
            await call.respond(200, [(b"content-type", self._content_type), *call.reply_headers], body)


def _metadata(trailers: Headers) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in trailers:
        found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return found
