"""Requests on their way through router, chain and protocols in this process, led by the branches of these.

An input is a request much as HTTP/1.1 has it, after a byte that says how its body is cut. The handlers are
small ones: those of the product are attacked by the target `rpcs`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any

from conexiones.gen.user_pb2 import GetAllReply, GetImageReply, GetUserReply
from conexiones.principals import EVERYBODY
from conexiones.routes import STREAMING_METHOD, USUARIO
from conexiones.services.details import packed
from conexiones.settings import Settings
from conexiones.transport.chain.access import Access
from conexiones.transport.chain.call import Call
from conexiones.transport.front import Front
from conexiones.transport.http.page import Page
from conexiones.transport.router import Router
from conexiones.transport.rpc.method import Handled, MessageLimit, service
from conexiones.transport.rpc.pipeline import Pipeline
from tests.fuzz.target import Check, Complaint, Target
from tests.fuzz.targets import rpcs
from tests.transport.chain.every_method import path_of
from tests.transport.chain.ways import WAYS

SECONDS = 20.0
"""The end of every call. Nothing here waits for anything but its body, which is there."""


async def get_user(request: Any, call: Call) -> GetUserReply:
    call.reply_headers.append((b"x-head", b"a"))
    return GetUserReply(message=request.name)


async def process_image(request: Any, call: Call) -> GetUserReply:
    return GetUserReply(message=str(len(request.image)))


async def get_stream_image(requests: AsyncIterator[Any], call: Call) -> GetUserReply:
    return GetUserReply(message=str(sum([len(request.image) async for request in requests])))


async def store_one(request: Any, call: Call) -> GetImageReply:
    return GetImageReply(message=str(len(request.image)))


async def get_user_bidi_stream(requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
    async for request in requests:
        yield GetAllReply(name=request.name)


async def images(call: Call) -> None:
    await call.respond(200, [(b"content-length", b"4")], b"here")


@asynccontextmanager
async def resources() -> AsyncIterator[None]:
    yield


def application() -> Front:
    handlers = {
        "GetUser": Handled(handler=get_user, needs="none"),
        "ProcessImage": Handled(handler=process_image, needs="none"),
        "GetStreamImage": Handled(handler=get_stream_image, needs="none", pieces=True),
        "ImageStreamReply": Handled(
            handler=Pipeline(store_one, size=lambda request: len(request.image)), needs="none"
        ),
        "GetUserBidiStream": Handled(handler=get_user_bidi_stream, needs="none"),
    }
    limit = MessageLimit(max_bytes=1 << 20, streaming_method=STREAMING_METHOD)
    page = Page()
    page.open()
    router = Router(service(USUARIO, handlers, limit), images=images, page=page, details=packed)
    return Front(
        router, Settings(), access=Access((), nobody=EVERYBODY), resources=resources, on_drain=lambda: None
    )


class Client:
    """The other end of a call, which sends its body in pieces and then goes away."""

    def __init__(self, body: bytes, cuts: int) -> None:
        random = Random(cuts)
        ends = [*sorted(random.choices(range(len(body) + 1), k=cuts % 5)), len(body)]
        starts = [0, *ends]
        self._pieces = [body[start:end] for start, end in zip(starts, ends, strict=False)]
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        if not self._pieces:
            return {"type": "http.disconnect"}
        piece = self._pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def check(self) -> None:
        """What was sent has to be a whole response, in the order of ASGI."""
        types = [message["type"].removeprefix("http.response.") for message in self.sent]
        if not types:
            return  # The client had gone.
        assert types.count("start") == 1
        assert types[0] == "start"
        trailers = self.sent[0].get("trailers")
        ended = [not message.get("more_body") for message in self.sent if message["type"].endswith("body")]
        assert ended.count(True) <= 1
        assert types[-1] == ("trailers" if trailers and ended and ended[-1] else types[-1])
        for name, value in self.sent[0]["headers"]:
            assert isinstance(name, bytes)
            assert isinstance(value, bytes)
            assert b"\n" not in value


class _Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


class Caller:
    def __init__(self, front: Front, loop: asyncio.AbstractEventLoop, errors: _Errors) -> None:
        self._front = front
        self._loop = loop
        self._errors = errors

    def __call__(self, data: bytes) -> None:
        head, _, body = data[1:].partition(b"\n\n")
        first, *lines = head.split(b"\n")
        verb, _, target = first.partition(b" ")
        path, _, query = target.partition(b"?")
        # As Envoy gives them: names in lower case, none of them empty.
        pairs = [tuple(line.split(b": ", 1)) for line in lines if b": " in line[1:]]
        scope = {
            "type": "http",
            "method": verb.decode("latin-1"),
            "path": path.decode("latin-1"),
            "query_string": query,
            "headers": [(name.lower(), value) for name, value in pairs],
            "client": ("127.0.0.1", 9),
        }
        client = Client(body, data[0] if data else 0)
        self._loop.run_until_complete(self._call(scope, client))
        client.check()
        if self._errors.found:
            record = self._errors.found.pop()
            self._errors.found.clear()
            name = type(record.exc_info[1]).__name__ if record.exc_info else "error"
            raise Complaint(f"log-{name}", logging.Formatter().format(record))

    async def _call(self, scope: Any, client: Client) -> None:
        async with asyncio.timeout(SECONDS):
            await self._front(scope, client.receive, client.send)


@contextmanager
def opened() -> Iterator[Check]:
    loop = asyncio.new_event_loop()
    errors = _Errors()
    log = logging.getLogger("conexiones")
    log.addHandler(errors)
    try:
        yield Caller(application(), loop, errors)
    finally:
        log.removeHandler(errors)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def seeds() -> Sequence[bytes]:
    found: list[bytes] = []
    for seed in rpcs.seeds():
        method, way = rpcs.METHODS[seed[0]], WAYS[seed[1]]
        if method.containing_service.full_name != USUARIO:
            continue
        lines = [f"POST {path_of(method)}"]
        # Envoy turns gRPC-Web into gRPC.
        for name, value in rpcs.headers(way, seed[2]).items():
            lines.append(f"{name}: {value.replace('grpc-web-text', 'grpc').replace('grpc-web', 'grpc')}")
        found.append(bytes((len(found) % 256,)) + "\n".join(lines).encode() + b"\n\n" + seed[3:])
    plain = (
        b"GET /",
        b"GET /images/x?width=1\nrange: bytes=0-1\nif-none-match: *",
        b"HEAD /page/none.js",
        b"OPTIONS /",
    )
    return [*found, *(b"\0" + request + b"\n\n" for request in plain)]


TARGET = Target(
    name="front",
    seeds=seeds,
    opened=opened,
    seconds=0.5,
    words=(
        b"\ngrpc-timeout: 1S",
        b"\ngrpc-encoding: gzip",
        b"\ncontent-encoding: gzip",
        b"\nconnect-content-encoding: gzip",
        b"\nconnect-protocol-version: 1",
        b"\nconnect-timeout-ms: 9",
        b"application/connect+json",
        b"application/grpc+json",
        b"application/json",
        b"accept-encoding: br",
        b"/user.UsuarioServicio/",
        b"\0\0\0\0\x03\x0a\x01x",
    ),
)
