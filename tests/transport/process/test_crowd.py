"""Shares of connections: a client that has too many loses some, and none of another client's is touched."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from conexiones.transport.process import crowd
from conexiones.transport.process.crowd import _level
from tests.support.attacks import http1
from tests.support.attacks.connections import half_request, idle, idle_http2
from tests.support.attacks.messages import GET_USER, JSON
from tests.support.attacks.target import Tally, Target
from tests.support.processes import envoy, suspend
from tests.support.waiting import DEADLINE, until

OWN = [("grpc.use_local_subchannel_pool", 1)]
"""A channel with a connection of its own."""

RUSH = 1000

ESTABLISHED = 1
"""A state of TCP, the first byte of TCP_INFO."""


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


BEGUN = http1.request(GET_USER, JSON, b'{"name":"Ana"}')[:-1]
"""A call without its last byte, for which the server waits longer than for the rest of a line."""


def _open(server: Server, source: str, count: int, stack: ExitStack) -> Iterator[socket.socket]:
    for _ in range(count):
        address = ("127.0.0.1", server.port)
        connection = socket.create_connection(address, DEADLINE, source_address=(source, 0))
        yield stack.enter_context(connection)
        with suppress(ConnectionError):  # one of too many may be closed already
            connection.sendall(BEGUN)


async def test_who_has_a_share_keeps_it(small: Server) -> None:
    with ExitStack() as stack:
        modest = list(_open(small, "127.0.0.3", 5, stack))
        greedy = list(_open(small, "127.0.0.2", 52, stack))
        for connection in [*modest, *greedy]:
            connection.setblocking(False)
        await until(lambda: sum(_closed(connection) for connection in greedy) >= 10)
        assert not any(_closed(connection) for connection in modest)


@pytest.mark.skipif(
    int(Path("/proc/sys/net/core/somaxconn").read_text()) <= RUSH, reason="net.core.somaxconn is too small"
)
async def test_a_client_that_comes_behind_a_rush_is_served(start: Callable[..., Server]) -> None:
    """A thousand connections come while the server accepts none. None of them waits for the kernel's second
    try, and the one behind them is not turned away."""
    server = start()
    front = envoy(server.pid)
    with ExitStack() as stack:
        suspend(front)
        try:
            rush = [_begun(server, "127.0.0.2", stack) for _ in range(RUSH)]
            await until(lambda: all(map(_established, rush)))
            last = _begun(server, "127.0.0.1", stack)
            await until(lambda: _established(last))
        finally:
            front.resume()
        last.setblocking(True)
        last.sendall(http1.request(GET_USER, JSON, b'{"name":"Ana"}'))
        answer = await asyncio.to_thread(last.recv, 15)
        assert answer == b"HTTP/1.1 200 OK"


async def test_new_clients_find_a_place_among_many(small: Server) -> None:
    """The attack has 50 addresses with two connections each, more in all than there may be."""
    target, tally = Target(host="127.0.0.1", port=small.port), Tally()
    attacking = asyncio.create_task(idle(target, tally, count=100, clients=50))
    try:
        await until(lambda: tally["closed"] >= 50)
        for _ in range(5):
            # In the rush itself a connection may be turned away. What is tried again gets a place.
            assert any([await _served(small) for _ in range(3)])
        assert not attacking.done()
    finally:
        attacking.cancel()


async def _served(server: Server) -> bool:
    """Whether a new client is served; False if its connection is turned away."""
    async with grpc.aio.insecure_channel(server.address, options=OWN) as channel:
        try:
            reply = await UsuarioServicioStub(channel).GetUser(
                GetUserRequest(name="Ana"), timeout=DEADLINE, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    assert reply.user.name == "Ana"
    return True


@pytest.mark.parametrize(
    ("counts", "limit", "level"),
    [((5,), 10, 5), ((20,), 10, 10), ((900, 900), 1000, 500), ((20,) * 100, 700, 7), ((1, 1, 1), 2, 1)],
)
def test_what_each_may_have(counts: tuple[int, ...], limit: int, level: int) -> None:
    assert _level(counts, limit) == level


async def test_without_a_descriptor_to_look_with_it_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def none_left() -> list[str]:
        nonlocal looked
        looked += 1
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(crowd, "_descriptors", none_left)
    monkeypatch.setattr(crowd, "CALM_LOOK_SECONDS", 0.001)
    watching = asyncio.create_task(crowd.Crowd(100).watch())
    await until(lambda: looked > 2)
    watching.cancel()


def _begun(server: Server, source: str, stack: ExitStack) -> socket.socket:
    """A connection that the kernel is about to establish."""
    connection = stack.enter_context(socket.socket())
    connection.bind((source, 0))
    connection.setblocking(False)
    connection.connect_ex(("127.0.0.1", server.port))
    return connection


def _established(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED


def _closed(connection: socket.socket) -> bool:
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
