"""gRPC over HTTP/2 and HTTP/3 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).

gRPC-Web, binary and text, is served here too, since Envoy turns it into gRPC.
"""

from conexiones.errors import ConexionesError, UnknownCompression
from conexiones.transport.rpc.compression import ACCEPTED
from conexiones.transport.rpc.exchange import Enveloped, Reply
from conexiones.transport.rpc.status import grpc_status

_OK = (b"grpc-status", b"0")


class Grpc(Enveloped):
    """An error before the first reply is a single block of headers (Trailers-Only). Without that, the retry
    policies of gRPC clients would never act. Headers that a handler has added get a block of their own before
    it: in one block, clients would take them for trailers."""

    __slots__ = ()

    encoding = b"grpc-encoding"
    trailers = True

    async def reply(self, reply: Reply) -> None:
        data = self.encoded(reply)
        await self._call.room_for(len(data))
        await self._start()
        self._ended = True
        await self._call.send({"type": "http.response.body", "body": data, "more_body": False})
        await self._trailers([_OK, *self._call.reply_trailers])

    async def end(self) -> None:
        if not self._begun:
            await self._start()
        await self._finish([_OK, *self._call.reply_trailers])

    async def fail(self, error: ConexionesError) -> None:
        if self._ended:
            return
        call = self._call
        status = [*grpc_status(error, self._details), *call.reply_trailers]
        if call.reply_headers and not self._begun:
            await self._start()
        if self._begun:
            await self._finish(status)
            return
        if isinstance(error, UnknownCompression):
            status.append((b"grpc-accept-encoding", ACCEPTED))
        self._ended = True
        await call.respond(200, [(b"content-type", self._content_type), *status], b"")

    async def _finish(self, trailers: list[tuple[bytes, bytes]]) -> None:
        self._ended = True
        await self._call.send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._trailers(trailers)

    async def _trailers(self, trailers: list[tuple[bytes, bytes]]) -> None:
        await self._call.send({"type": "http.response.trailers", "headers": trailers, "more_trailers": False})
