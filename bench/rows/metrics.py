"""Measures what it costs to measure every call, and to be asked for the figures each second."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from bench.images import framed
from bench.load.h2load import h2load
from bench.load.streams import Plan, load
from bench.measures import Wrong, interleave
from bench.peers.server_process import ServerProcess, ours, python
from bench.rows import Bench
from bench.rows.users import REQUEST

USERS = "processor time of GetUser, 10 × 10"
IMAGES = "processor time of a 10 KB image, 4 streams"
UNMEASURED, MEASURED, SCRAPED = "unmeasured", "measured", "measured, scraped each second"


def run(bench: Bench) -> None:
    """The server's processor time of a call, and of an image."""
    calls = bench.size(20_000, 1_000)
    plan = Plan(size=10_000, images=bench.size(4000, 320), streams=4, connections=1)
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        body = folder / "body"
        body.write_bytes(framed(REQUEST))
        composed = "bench.peers.composed", "unmeasured"
        servers = {
            UNMEASURED: stack.enter_context(python(*composed, data_dir=folder / "unmeasured")),
            MEASURED: stack.enter_context(ours(folder / "measured")),
            SCRAPED: stack.enter_context(ours(folder / "scraped", admin_address="127.0.0.1:0")),
        }

        def users(server: ServerProcess) -> int:
            path = "/user.UsuarioServicio/GetUser"
            found = h2load(server.address, path, body, requests=calls, connections=10, streams=10)
            if found.received < calls * len(b"Ana"):  # an error has no message
                raise Wrong("not every call was answered with the user")
            return calls

        def images(server: ServerProcess, number: int) -> int:
            load(server, replace(plan, seed=number + 2))
            return plan.images

        def spent(name: str, work: Callable[[ServerProcess, int], int], number: int) -> float:
            server = servers[name]
            with server.turn(), _scraped(server) if name == SCRAPED else nullcontext():
                before = server.cpu()
                done = work(server, number)
                return (server.cpu() - before) / done * 1e6

        for row, work in ((USERS, lambda server, _: users(server)), (IMAGES, images)):
            contenders = {name: partial(spent, name, work) for name in servers}
            interleave(bench.results, row, contenders, unit="µs", warm=True, rounds=bench.size(11, 2))


@contextmanager
def _scraped(server: ServerProcess) -> Iterator[None]:
    """Asks for the figures each second, as no Prometheus does so often."""
    address = server.log.rpartition(" /readyz at ")[2].split()[0]
    ended = threading.Event()

    def scrape() -> None:
        while True:
            connection = http.client.HTTPConnection(address, timeout=30)
            connection.request("GET", "/metrics")
            if connection.getresponse().status != 200:
                raise Wrong("no figures")
            connection.close()
            if ended.wait(1):
                return

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
