"""Attacks over HTTP/2: a call of another client is served while one goes on, and right after it."""

import asyncio

import grpc.aio
import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.attacks import Attack, attacking
from tests.support.attacks.h2 import FLOODS
from tests.support.waiting import DEADLINE, until

GREEDY = "127.0.0.2"
"""Another address of loopback than that of the good client, and so another client."""

SECONDS = 60.0
"""A bound on the calls that go on beside an attack, for a machine that is busy with other tests, too."""

ROUNDS = 2_000
"""What an attack has done before the good client calls."""


@pytest.mark.parametrize("attack", FLOODS, ids=lambda attack: attack.__name__)
async def test_floods(shared: Server, attack: Attack, somebody: str) -> None:
    async with grpc.aio.insecure_channel(shared.address) as channel:
        stub = UsuarioServicioStub(channel)
        request = GetUserRequest(name=somebody)
        await stub.GetUser(request, timeout=DEADLINE)
        async with (
            asyncio.timeout(SECONDS),
            attacking(attack, "127.0.0.1", shared.port, source=GREEDY) as done,
        ):
            await until(lambda: done["rounds"] >= ROUNDS)
            for _ in range(5):
                await stub.GetUser(request)
        await stub.GetUser(request, timeout=DEADLINE)
