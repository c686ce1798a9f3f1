"""Shares of connections: a client that has too many loses some, and none of another client's is touched."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.attacks.connections import half_request, idle_http2
from tests.support.attacks.target import Tally, Target
from tests.support.waiting import DEADLINE, until

OWN = [("grpc.use_local_subchannel_pool", 1)]
"""A channel with a connection of its own."""


@pytest.fixture
def small(start: Callable[..., Server]) -> Server:
    return start(max_connections="60", idle_seconds="3600")


@pytest.mark.parametrize("attack", [idle_http2, half_request])
async def test_new_clients_find_a_place(small: Server, attack) -> None:
    """The attack opens 60 connections, and each of them again as soon as it has lost it."""
    target, tally = Target(host="127.0.0.1", port=small.port), Tally()
    attacking = asyncio.create_task(attack(target, tally, count=60))
    try:
        await until(lambda: tally["closed"] >= 20)
        for _ in range(5):
            async with grpc.aio.insecure_channel(small.address, options=OWN) as channel:
                stub = UsuarioServicioStub(channel)
                reply = await stub.GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE, wait_for_ready=True)
                assert reply.user.name == "Ana"
        assert not attacking.done()
    finally:
        attacking.cancel()


def _open(server: Server, source: str, count: int, stack: ExitStack) -> Iterator[socket.socket]:
    for _ in range(count):
        address = ("127.0.0.1", server.port)
        connection = socket.create_connection(address, DEADLINE, source_address=(source, 0))
        yield stack.enter_context(connection)
        connection.sendall(b"GET / HT")


async def test_who_has_a_share_keeps_it(small: Server) -> None:
    with ExitStack() as stack:
        modest = list(_open(small, "127.0.0.3", 5, stack))
        greedy = list(_open(small, "127.0.0.2", 52, stack))
        for connection in [*modest, *greedy]:
            connection.setblocking(False)
        await until(lambda: sum(_closed(connection) for connection in greedy) >= 10)
        assert not any(_closed(connection) for connection in modest)


def _closed(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
