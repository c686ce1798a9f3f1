"""Calls without an answer are counted by client, and within it by connection."""

import asyncio
from base64 import b64decode
from collections.abc import Callable

import grpc.aio
import hpack

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.attacks.link import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, block, frame
from tests.support.attacks.messages import IMAGE_STREAM_REPLY
from tests.support.attacks.target import Connection, Target
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


async def _until_refused(target: Target) -> bool:
    """Begins calls on a connection, and leaves it with them when one is refused. Tells whether the filter
    refused it: what Python says has the id of the request among its details."""
    async with await Connection.open(target) as connection:
        await connection.send(BEGUN)
        decoder = hpack.Decoder()
        while True:
            head = await connection.reader.readexactly(9)
            payload = await connection.reader.readexactly(int.from_bytes(head[:3]))
            if head[3] == HEADERS:
                headers = {str(name): str(value) for name, value in decoder.decode(payload)}
                if head[4] & END_STREAM:
                    return b"RequestInfo" not in b64decode(f"{headers['grpc-status-details-bin']}==")


async def _attacked(target: Target) -> bool:
    """Has more calls than a client may have on six connections, all of which are left when one is refused."""
    attack = [asyncio.create_task(_until_refused(target)) for _ in range(6)]
    refused, left = await asyncio.wait(attack, return_when=asyncio.FIRST_COMPLETED)
    for one in left:
        one.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return any([await one for one in refused])


async def test_who_abandons_calls_is_refused_and_its_neighbours_are_not(start: Callable[..., Server]) -> None:
    """All come from one address. The filter counts from when the server has seen many calls at once."""
    server = start()
    target = Target(host="127.0.0.1", port=server.port, source="127.0.0.1")
    async with grpc.aio.insecure_channel(server.address, options=OWN) as kept, asyncio.timeout(DEADLINE):
        await _call(kept)
        while not await _attacked(target):
            pass
        await _call(kept)
        async with grpc.aio.insecure_channel(server.address, options=OWN) as fresh:
            await _call(fresh)
