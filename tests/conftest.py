"""Fixtures for all tests: servers, and clients of them; and the engines that several servers share.

Starting a server takes about a second of CPU. So a test uses `shared`, with names and images of its own, or
`sharing` if it needs settings. One that stops the server or counts what is on it uses `server`, or `start`.
"""

import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import grpc
import hypothesis
import pytest

from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.support import postgres as postgres_engine
from tests.support import seaweed
from tests.support.costs import Costs
from tests.support.node import built
from tests.support.paths import ROOT
from tests.support.postgres import Engine
from tests.support.seaweed import ObjectServer

# The machine may be busy: how long an example takes says nothing.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

DECODE_SECONDS = "60"
"""A setting of all servers: on a busy machine, a decoder may take more than the 10 seconds of the default."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", metavar="SEED", help="shuffle the modules, and the tests of each")
    parser.addoption("--costs", action="store_true", help="show the CPU seconds of modules and tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if seed := config.getoption("--shuffle"):

        def place(name: str) -> float:
            return random.Random(f"{seed} {name}").random()

        items.sort(key=lambda item: (place(str(item.path)), place(item.nodeid)))


def pytest_configure(config: pytest.Config) -> None:
    """What the tests start would inherit it."""
    # Without bytecode, servers and commands compile what they import each time: a fifth of a server's start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A shell starts background jobs with SIGINT ignored.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--costs"):
        config.pluginmanager.register(Costs())


@pytest.fixture
def start() -> Iterator[Callable[..., Server]]:
    """Starts servers with settings, each on its own port and data; they end with the test."""
    with ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(
            serve(*args, **{"decode_seconds": DECODE_SECONDS, **settings})
        )


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    """A server of the test's own without further settings, which it may stop and kill."""
    return start()


KEPT = 6
"""Servers with settings that one process of the tests keeps. The one that was not used for longest goes."""

_SHARED = pytest.StashKey[dict[str, Server]]()


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for all tests of this process that use only what they stored themselves."""
    with serve(decode_seconds=DECODE_SECONDS) as server:
        request.session.stash.setdefault(_SHARED, {})[""] = server
        yield server


@pytest.fixture(scope="session")
def sharing(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Gives the server that all tests of this process share which need these settings."""
    servers = request.session.stash.setdefault(_SHARED, {})
    with ExitStack() as ended:
        kept: dict[str, ExitStack] = {}  # the one that was used last is the last

        def give(**settings: Any) -> Server:
            key = repr(sorted(settings.items()))
            if key not in kept:
                if len(kept) == KEPT:
                    oldest = next(iter(kept))
                    kept.pop(oldest).close()
                    del servers[oldest]
                own = ended.enter_context(ExitStack())
                servers[key] = own.enter_context(serve(**{"decode_seconds": DECODE_SECONDS, **settings}))
                kept[key] = own
            kept[key] = kept.pop(key)
            return servers[key]

        yield give


@pytest.fixture(autouse=True)
def _the_shared_servers_are_alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that ends a shared server fails itself, and not the tests after it."""
    yield
    for server in request.session.stash.get(_SHARED, {}).values():
        # Nothing is reaped, as that is for the server that has ended.
        assert os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


@pytest.fixture
def somebody() -> str:
    """The name of a user that no other test has."""
    return f"Ana {uuid4()}"


@pytest.fixture
def serving(request: pytest.FixtureRequest) -> Server:
    """The server that a test calls: its own if it also asks for `server`, else the shared one."""
    found: Server = request.getfixturevalue("server" if "server" in request.fixturenames else "shared")
    return found


@pytest.fixture
def channel(serving: Server) -> Iterator[grpc.Channel]:
    """A channel to `serving`."""
    with grpc.insecure_channel(serving.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> UsuarioServicioStub:
    """The tutorial's service on `serving`."""
    return UsuarioServicioStub(channel)


@pytest.fixture(scope="session")
def photograph() -> bytes:
    """A real JPEG, 1280 × 853 pixels."""
    return (ROOT / "client" / "image" / "elephant.jpg").read_bytes()


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, with the package in node/ built."""
    return built()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Engine]:
    """A PostgreSQL for all tests of this process that do not stop it."""
    with postgres_engine.running() as engine:
        yield engine


@pytest.fixture
def database(postgres: Engine) -> str:
    """The URL of an empty database."""
    return postgres.schema()


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """An S3-compatible server for all tests of this process that do not stop it."""
    with seaweed.running() as server:
        yield server


@pytest.fixture(scope="session")
def bucket(object_server: ObjectServer) -> str:
    return object_server.bucket()
