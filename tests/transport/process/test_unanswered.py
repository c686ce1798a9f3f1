"""Calls without an answer are counted by client, and within it by connection."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import grpc.aio

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.attacks.link import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame
from tests.support.attacks.messages import IMAGE_STREAM_REPLY
from tests.support.attacks.target import Connection, Target, many
from tests.support.waiting import DEADLINE

OWN = [("grpc.use_local_subchannel_pool", 1)]
"""A channel with a connection of its own."""


CALLS = 100
"""As many as a connection may have."""
_HEADERS = block(
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", IMAGE_STREAM_REPLY),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
)
BEGUN = PREFACE + b"".join(
    [
        frame(SETTINGS, 0, 0),
        *(frame(HEADERS, END_HEADERS, 2 * number + 1, _HEADERS) for number in range(CALLS)),
    ]
)
"""A connection with all its calls, none of which ends. It is made once, so that an attack costs next to
nothing, and is faster than the server forgets on a slow machine, too."""


async def _call(channel: grpc.aio.Channel) -> None:
    stub = UsuarioServicioStub(channel)
    reply = await stub.GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE)
    assert reply.user.name == "Ana"


async def _abandoning(target: Target, refused: asyncio.Event) -> None:
    """Begins calls on twelve connections, each of which is left when a call is refused, and opened again."""

    async def one(_: int) -> None:
        while True:
            with suppress(OSError, EOFError):
                async with await Connection.open(target) as connection:
                    await connection.send(BEGUN)
                    kind, flags = 0, 0
                    while not (kind == HEADERS and flags & END_STREAM):
                        head = await connection.reader.readexactly(9)
                        kind, flags = head[3], head[4]
                        await connection.reader.readexactly(int.from_bytes(head[:3]))
                    refused.set()

    await many(12, one)


async def test_who_abandons_calls_is_refused_and_its_neighbours_are_not(start: Callable[..., Server]) -> None:
    """All come from one address."""
    server = start()
    target, refused = Target(host="127.0.0.1", port=server.port, source="127.0.0.1"), asyncio.Event()
    async with grpc.aio.insecure_channel(server.address, options=OWN) as kept, asyncio.timeout(DEADLINE):
        await _call(kept)
        attacking = asyncio.create_task(_abandoning(target, refused))
        try:
            for _ in range(2):
                refused.clear()
                await refused.wait()
                await _call(kept)
                async with grpc.aio.insecure_channel(server.address, options=OWN) as fresh:
                    await _call(fresh)
            assert not attacking.done()
        finally:
            attacking.cancel()
            with suppress(asyncio.CancelledError):
                await attacking
