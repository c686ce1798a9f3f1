"""Connections that ask for nothing."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import grpc
import pytest

from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from conexiones.transport.process.pressure import SHORTEST_SECONDS
from tests.support.failures import reason
from tests.support.waiting import DEADLINE

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


@pytest.fixture
def impatient(sharing: Callable[..., Server]) -> Server:
    # Clients that do ask something have to do so within this time.
    return sharing(idle_seconds="2", max_connections="30")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", PREFACE], ids=["nothing", "half a line", "a preface"])
def test_they_are_closed_so_that_others_find_a_place(impatient: Server, sent: bytes) -> None:
    with ExitStack() as stack:
        silent = []
        for _ in range(30):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", impatient.port), timeout=DEADLINE)
            )
            # It may be closed already, if this process was held up.
            with suppress(ConnectionError):
                connection.sendall(sent)
            silent.append(connection)
        for connection in silent:
            with suppress(ConnectionError):
                while connection.recv(65536):
                    pass
        with grpc.insecure_channel(impatient.address) as channel:
            stub = UsuarioServicioStub(channel)
            reply = stub.GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE, wait_for_ready=True)
    assert reply.user.name == "Ana"


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half a preface", "a preface"])
def test_they_are_closed_sooner_when_there_are_many(sharing: Callable[..., Server], sent: bytes) -> None:
    # Behind a proxy, so that connections are not shared out.
    server = sharing(idle_seconds="3600", max_connections="30", trusted_proxies="1")
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE))
            for _ in range(30)
        ]
        for connection in silent:
            with suppress(ConnectionError):
                connection.sendall(sent)
        with grpc.insecure_channel(server.address) as channel:
            stub = UsuarioServicioStub(channel)
            reply = stub.GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE, wait_for_ready=True)
    assert reply.user.name == "Ana"


def test_a_few_may_stay(start: Callable[..., Server]) -> None:
    server = start(idle_seconds="3600", max_connections="30")
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=2 * SHORTEST_SECONDS) as idle,
        pytest.raises(TimeoutError),
    ):
        idle.recv(1)


def test_an_answer_may_be_silent_for_as_long_as_it_likes(impatient: Server, photograph: bytes) -> None:
    """Neither the connection nor the call ends for it: somebody waits for what comes."""
    with (
        socket.create_connection(("127.0.0.1", impatient.port), timeout=DEADLINE) as idle,
        grpc.insecure_channel(impatient.address) as channel,
    ):
        watch = ImageServiceStub(channel).WatchImages(WatchImagesRequest(), timeout=DEADLINE)
        next(watch)
        while idle.recv(65536):  # a connection without a call is closed first
            pass
        stored = UsuarioServicioStub(channel).ImageStreamReply(
            iter([GetImage(image=photograph)]), timeout=DEADLINE
        )
        assert [reply.image_info.format for reply in stored] == ["JPEG"]
        assert any(response.HasField("stored") for response in watch)
        watch.cancel()


def test_a_stream_that_asks_for_nothing_is_told_so(impatient: Server, photograph: bytes) -> None:
    """It has its answer to what it asked before."""
    ended = threading.Event()

    def images() -> Iterator[GetImage]:
        yield GetImage(image=photograph)
        ended.wait(DEADLINE)

    with grpc.insecure_channel(impatient.address) as channel:
        replies = UsuarioServicioStub(channel).ImageStreamReply(images(), timeout=DEADLINE)
        assert next(replies).image_info.format == "JPEG"
        with pytest.raises(grpc.RpcError) as error:
            next(replies)
        ended.set()
    assert reason(error.value) == "STREAM_IDLE"
