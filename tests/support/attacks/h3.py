"""Attacks over HTTP/3, by an honest library: it chooses neither its source address nor its frames."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from pyqwest import Client, HTTPTransport, HTTPVersion, ReadError, StreamError, WriteError

from tests.support.attacks import credentials
from tests.support.attacks.messages import GET_USER, IMAGE_STREAM_REPLY, JSON
from tests.support.attacks.target import BACK_OFF, Tally, Target, many


async def users(target: Target, tally: Tally, *, connections: int = 10, streams: int = 10) -> None:
    """GetUser, again and again."""

    async def once(client: Client) -> None:
        answer = await client.post(f"https://{target.address}{GET_USER}", JSON, b'{"name":"Ana"}')
        tally["served" if answer.status == 200 else "refused"] += 1

    await _on_connections(target, tally, connections, streams, once)


async def silent_streams(target: Target, tally: Tally, *, connections: int = 4, streams: int = 100) -> None:
    """ImageStreamReply without a message."""

    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def once(client: Client) -> None:
        headers = {"content-type": "application/grpc", "te": "trailers", **credentials.headers()}
        url = f"https://{target.address}{IMAGE_STREAM_REPLY}"
        async with client.stream("POST", url, headers, nothing()) as answer:
            async for _ in answer.content:
                pass

    await _on_connections(target, tally, connections, streams, once)


async def unread(target: Target, tally: Tally, *, connections: int = 4, streams: int = 100) -> None:
    """Downloads of a large image of which only the headers are read."""

    async def once(client: Client) -> None:
        url = f"https://{target.address}/images/{target.images['huge']}"
        async with client.stream("GET", url, credentials.headers()) as answer:
            tally["served" if answer.status == 200 else "refused"] += 1
            await asyncio.Event().wait()

    await _on_connections(target, tally, connections, streams, once)


async def _on_connections(
    target: Target,
    tally: Tally,
    connections: int,
    streams: int,
    once: Callable[[Client], Awaitable[None]],
) -> None:
    """Repeats `once` on so many streams of each of so many connections."""
    ca = await asyncio.to_thread(Path(target.ca).read_bytes)

    async def again(client: Client, _: int) -> None:
        while True:
            tally["calls"] += 1
            try:
                await once(client)
            except (OSError, RuntimeError, ValueError, ReadError, StreamError, WriteError) as error:
                tally[type(error).__name__] += 1
                await asyncio.sleep(BACK_OFF)

    async def connection(_: int) -> None:
        async with HTTPTransport(tls_ca_cert=ca, http_version=HTTPVersion.HTTP3) as transport:
            await many(streams, partial(again, Client(transport)))

    await many(connections, connection)
