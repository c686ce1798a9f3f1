"""Connections and streams that ask nothing, and others that come and go."""

import asyncio
import ssl
from functools import partial

from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest
from tests.support.attacks import http1
from tests.support.attacks.link import PREFACE, SETTINGS, Link, frame, message, on_link
from tests.support.attacks.messages import GET_USER, IMAGE_STREAM_REPLY, JSON
from tests.support.attacks.target import BACK_OFF, Connection, Tally, Target, again, many

WATCH = "/conexiones.v1.ImageService/WatchImages"
HEALTH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
"""A call without a message, which is open until its client ends it."""

TLS = bytes.fromhex("160301") + (500).to_bytes(2) + b"\1"
"""The beginning of a ClientHello."""


async def idle(
    target: Target, tally: Tally, *, count: int = 1000, sent: bytes = b"", clients: int = 1
) -> None:
    """Connections that send `sent` and then nothing, and are opened again whenever the server closes them.
    `clients` is the number of source addresses over which they are spread."""

    async def once(number: int) -> None:
        async with await Connection.open(
            target.at(number % clients) if clients > 1 else target
        ) as connection:
            tally["connections"] += 1
            await connection.send(sent)
            await connection.closed()
        raise ConnectionResetError

    await many(count, lambda number: again(tally, partial(once, number)))


async def idle_http2(target: Target, tally: Tally, *, count: int = 1000) -> None:
    """The same, after the preface of HTTP/2."""
    await idle(target, tally, count=count, sent=PREFACE + frame(SETTINGS, 0, 0))


async def half_request(target: Target, tally: Tally, *, count: int = 1000) -> None:
    """The same, after the first line of a request."""
    await idle(target, tally, count=count, sent=f"POST {GET_USER} HTTP/1.1\r\nhost: ".encode())


async def no_body(target: Target, tally: Tally, *, count: int = 1000) -> None:
    """The same, after the headers of a request whose body does not come."""
    await idle(target, tally, count=count, sent=http1.request(GET_USER, {**JSON, "content-length": "15"}))


async def churn(target: Target, tally: Tally, *, connections: int = 16) -> None:
    """Connections that are opened and closed as fast as they go."""

    async def once() -> None:
        async with await Connection.open(target):
            tally["connections"] += 1

    await many(connections, lambda _: again(tally, once))


async def handshakes(target: Target, tally: Tally, *, connections: int = 16) -> None:
    """TLS handshakes to their end, and nothing more."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])

    async def once() -> None:
        _, writer = await asyncio.open_connection(
            target.host, target.port, local_addr=(target.source, 0), ssl=context
        )
        tally["connections"] += 1
        writer.transport.abort()

    await many(connections, lambda _: again(tally, once))


async def half_handshakes(target: Target, tally: Tally, *, count: int = 1000) -> None:
    """Idle connections that have begun a TLS handshake."""
    await idle(target, tally, count=count, sent=TLS)


async def silent_streams(
    target: Target,
    tally: Tally,
    *,
    streams: int = 1000,
    connections: int = 1,
    path: str = IMAGE_STREAM_REPLY,
    sent: bytes = b"",
    end: bool = False,
) -> None:
    """Calls that are begun and left, and begun again when the server ends them."""

    async def one(link: Link, _: int) -> None:
        while True:
            stream = await link.begin(path)
            if sent or end:
                await stream.send(sent, end=end)
            await stream.ended
            await asyncio.sleep(BACK_OFF)

    await many(connections, lambda _: on_link(target, tally, streams, one))


async def questions(target: Target, tally: Tally, *, streams: int = 100, connections: int = 10) -> None:
    """Reflection, which is asked for a service again and again on each stream."""
    request = ServerReflectionRequest(file_containing_symbol="conexiones.v1.ImageService")
    sent = message(request.SerializeToString())

    async def one(link: Link, _: int) -> None:
        while True:
            stream = await link.begin(REFLECTION)
            while not stream.ended.done():
                await stream.send(10 * sent)
                tally["asked"] += 10
                await asyncio.sleep(0)
            await asyncio.sleep(BACK_OFF)

    await many(connections, lambda _: on_link(target, tally, streams, one))


async def watchers(target: Target, tally: Tally, *, streams: int = 1000, connections: int = 4) -> None:
    """Calls of WatchImages, as many as go."""
    sent = message(WatchImagesRequest().SerializeToString())
    await silent_streams(
        target,
        tally,
        streams=streams // connections,
        connections=connections,
        path=WATCH,
        sent=sent,
        end=True,
    )


async def health_watchers(target: Target, tally: Tally, *, streams: int = 4000, connections: int = 4) -> None:
    """Calls of the health service's Watch, as many as go."""
    sent = message(HealthCheckRequest().SerializeToString())
    await silent_streams(
        target,
        tally,
        streams=streams // connections,
        connections=connections,
        path=HEALTH,
        sent=sent,
        end=True,
    )


async def pipelined(target: Target, tally: Tally, *, connections: int = 4) -> None:
    """Requests of HTTP/1.1 one behind the other without waiting for answers, which are read."""
    sent = http1.request(GET_USER, JSON, b'{"name":"Ana"}') * 500

    async def once() -> None:
        async with await Connection.open(target) as connection:
            reading = asyncio.create_task(connection.closed())
            while not reading.done():
                await connection.send(sent)
                tally["calls"] += 500
            raise ConnectionResetError

    await many(connections, lambda _: again(tally, once))


async def cancelled(
    target: Target, tally: Tally, *, streams: int = 50, path: str = GET_USER, sent: bytes
) -> None:
    """Calls that are cancelled as soon as they are sent."""

    async def one(link: Link, _: int) -> None:
        while True:
            stream = await link.begin(path)
            await stream.send(sent, end=True)
            await stream.reset()
            await asyncio.sleep(0)

    await on_link(target, tally, streams, one)


async def unknown(target: Target, tally: Tally, *, streams: int = 50) -> None:
    """Calls of a method that does not exist, as fast as they go."""

    async def one(link: Link, _: int) -> None:
        while True:
            await link.call("/user.UsuarioServicio/Nothing", message(b""))

    await on_link(target, tally, streams, one)
