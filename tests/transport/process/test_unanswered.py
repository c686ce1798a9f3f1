"""Calls without an answer are counted by client, and within it by connection."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import grpc.aio

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.attacks.connections import silent_streams
from tests.support.attacks.target import Tally, Target
from tests.support.waiting import DEADLINE, until

OWN = [("grpc.use_local_subchannel_pool", 1)]
"""A channel with a connection of its own."""


async def _call(channel: grpc.aio.Channel) -> None:
    stub = UsuarioServicioStub(channel)
    reply = await stub.GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE)
    assert reply.user.name == "Ana"


async def test_who_abandons_calls_is_refused_and_its_neighbours_are_not(start: Callable[..., Server]) -> None:
    """All come from one address. The attack leaves a hundred calls with each connection that it loses."""
    server = start()
    target, tally = Target(host="127.0.0.1", port=server.port, source="127.0.0.1"), Tally()
    async with grpc.aio.insecure_channel(server.address, options=OWN) as kept:
        await _call(kept)
        attacking = asyncio.create_task(silent_streams(target, tally))
        try:
            for _ in range(2):
                refused = tally["refused"]
                await until(lambda: tally["refused"] > refused)  # noqa: B023 (it is called in this turn)
                await _call(kept)
                async with grpc.aio.insecure_channel(server.address, options=OWN) as fresh:
                    await _call(fresh)
            assert not attacking.done()
        finally:
            attacking.cancel()
            with suppress(asyncio.CancelledError):
                await attacking
