"""Measures whether a catalog with very many images is as fast as an empty one."""

import asyncio
import secrets
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from pathlib import Path

import grpc

from bench import stored
from bench.load.streams import Plan, load
from bench.measures import Wrong, interleave
from bench.peers.server_process import ServerProcess, ours
from bench.rows import Bench
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain.decoding import JUDGE
from conexiones.domain.ids import Ids
from conexiones.gen.conexiones.v1.images_pb2 import ListImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub

ROW = "10 KB images by size of the catalog"
PAGE = "ListImages, a page of 100, by size of the catalog"
EMPTY = "empty"
FULL = "full"

LONG_AGO = 1_000_000_000_000_000
"""The creation time of the images that have no bytes, in microseconds since the epoch."""


def run(bench: Bench) -> None:
    """Images per second, and the time of a page of ListImages, with few images and with a million."""
    known = bench.size(1_000_000, 20_000)
    if bench.results.quick:
        bench.results.note(f"The full catalog has {known:,} images in a quick run, else a million.")
    count = bench.size(8000, 320)
    rounds = bench.size(2, 1) * bench.results.rounds
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        _fill(folder / FULL, known)
        servers = {name: stack.enter_context(ours(folder / name)) for name in (EMPTY, FULL)}

        def rate(server: ServerProcess, number: int) -> float:
            plan = Plan(size=10_000, images=count, streams=32, seed=number + 2)
            return count / load(server, plan).seconds

        def page(server: ServerProcess, number: int) -> float:
            with server.turn(), grpc.insecure_channel(server.address) as channel:
                stub = ImageServiceStub(channel)
                times = []
                for _ in range(100):
                    begin = time.perf_counter()
                    found = stub.ListImages(ListImagesRequest(page_size=100), timeout=30)
                    times.append(time.perf_counter() - begin)
                    if len(found.images) != 100:
                        raise Wrong("a page is not full")
            return statistics.median(times) * 1000

        def check(server: ServerProcess) -> None:
            server.stop()
            if server.data_dir.name == FULL:
                _unfill(server.data_dir)
            numbers = range(-1, rounds)
            plans = (Plan(size=10_000, images=count, streams=32, seed=number + 2) for number in numbers)
            stored.compare(stored.digests(server.data_dir), chain.from_iterable(map(Plan.digests, plans)))

        for server in servers.values():
            server.settle()
        rates = {name: partial(rate, server) for name, server in servers.items()}
        interleave(bench.results, ROW, rates, unit="images/s", warm=True, rounds=rounds)
        pages = {name: partial(page, server) for name, server in servers.items()}
        interleave(bench.results, PAGE, pages, unit="ms", warm=True)
        for server in servers.values():
            check(server)


def _fill(data_dir: Path, count: int) -> None:
    """Makes a catalog of images that have their facts but no bytes, which nobody asks for."""

    async def create() -> None:
        catalog = SqliteCatalog(data_dir / "catalog.sqlite3")
        await catalog.open()
        await catalog.close()

    def rows() -> Iterator[tuple[object, ...]]:
        ids = Ids()
        for number in range(count):
            yield ids.new(), secrets.token_bytes(32), 9966, "BMP", 56, 59, 1, None, LONG_AGO + number

    asyncio.run(create())
    names = ["id", "digest", "size", "format", "width", "height", "frames", "user", "create_time"]
    with closing(sqlite3.connect(data_dir / "catalog.sqlite3")) as connection, connection:
        marks = ", ".join("?" * len(names))
        connection.executemany(f"INSERT INTO images ({', '.join(names)}) VALUES ({marks})", rows())
        facts = "digest, problem, color_space, bits_per_sample, has_alpha, dominant_color, blur_hash, judge"
        connection.execute(
            f"INSERT INTO facts ({facts}) SELECT digest, '', 'RGB', 8, 0, '#7f7f7f', '', {JUDGE} FROM images"
        )


def _unfill(data_dir: Path) -> None:
    """Removes the images that have no bytes."""
    with closing(sqlite3.connect(data_dir / "catalog.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM images WHERE create_time < ?", (LONG_AGO + 10**12,))
