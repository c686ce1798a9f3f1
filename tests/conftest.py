"""Fixtures for all tests: servers, and clients of them; and the engines that several servers share.

Starting a server takes about a second of CPU. So a test uses `shared`, with names and images of its own, or
`sharing` if it needs settings. One that stops the server or counts what is on it uses `server`, or `start`.
"""

import gc
import os
import random
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import grpc
import hypothesis
import pytest

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.support import postgres as postgres_engine
from tests.support import seaweed
from tests.support.costs import Costs
from tests.support.kept import DECODE_SECONDS as DECODE_SECONDS
from tests.support.kept import KeptServers
from tests.support.node import built
from tests.support.paths import ROOT
from tests.support.postgres import Engine
from tests.support.seaweed import ObjectServer
from tests.support.spread import spread

# The machine may be busy: how long an example takes says nothing.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shuffle", metavar="SEED", help="shuffle the modules, and the tests of each")
    parser.addoption("--costs", action="store_true", help="show the CPU seconds of modules and tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if seed := config.getoption("--shuffle"):

        def place(name: str) -> float:
            return random.Random(f"{seed} {name}").random()

        items.sort(key=lambda item: (place(str(item.path)), place(item.nodeid)))
    # So that no process is left with one of them when the others are done.
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Thousands of tests and modules are there to stay, so the garbage collector does not look at them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _folders_are_spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Those of tests, and what is made in the place for temporary files."""
    spread(tmp_path_factory.getbasetemp())
    with tempfile.TemporaryDirectory(prefix="tests-", ignore_cleanup_errors=True) as place:
        Path(place).chmod(0o711)  # some programs run as other users
        spread(Path(place))
        tempfile.tempdir = os.environ["TMPDIR"] = place
        yield


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


_SHARED = pytest.StashKey[Server]()
_KEPT = pytest.StashKey[KeptServers]()


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for all tests of this process that use only what they stored themselves."""
    with serve(decode_seconds=DECODE_SECONDS) as server:
        request.session.stash[_SHARED] = server
        yield server


@pytest.fixture(scope="session")
def sharing(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Gives the server that all tests of this process share which need these settings. It may have ended, and
    be another one, in the next test."""
    kept = request.session.stash[_KEPT] = KeptServers()
    yield kept.give
    kept.close()


@pytest.fixture(autouse=True)
def _the_shared_servers_are_alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that ends a shared server fails itself, and not the tests after it."""
    yield
    shared = request.session.stash.get(_SHARED, None)
    kept = request.session.stash.get(_KEPT, None)
    for server in [*filter(None, [shared]), *(kept or ())]:
        # Nothing is reaped, as that is for the server that has ended.
        assert os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    if kept:
        kept.end_unused()


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


@pytest.fixture
async def postgres_catalog(database: str) -> AsyncIterator[PostgresCatalog]:
    """A catalog in a database of its own, open."""
    catalog = PostgresCatalog(database)
    await catalog.open()
    yield catalog
    await catalog.close()


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """An S3-compatible server for all tests of this process that do not stop it."""
    with seaweed.running() as server:
        yield server


@pytest.fixture(scope="session")
def bucket(object_server: ObjectServer) -> str:
    return object_server.bucket()
