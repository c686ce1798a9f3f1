"""Fixtures for all tests: a fresh server for each, and its clients."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pytest

from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.support.node import built
from tests.support.paths import ROOT


def pytest_configure() -> None:
    """Started in the background of a shell, the tests would ignore SIGINT, and so would what they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers with settings, each on its own port and data; they end with the test."""
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(serve(*args, **settings))


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    """A server with the default settings."""
    return start()


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """A server that the tests of a file share: they neither stop it nor count its images."""
    with serve() as server:
        yield server


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> UsuarioServicioStub:
    """The tutorial's service on `server`."""
    return UsuarioServicioStub(channel)


@pytest.fixture(scope="session")
def photograph() -> bytes:
    """A real JPEG, 1280 × 853 pixels."""
    return (ROOT / "client" / "image" / "elephant.jpg").read_bytes()


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the package in node/ built."""
    return built()
