"""Measures several servers over one PostgreSQL and one S3 store: what each of them adds, and what it costs.

All run on this machine, with their engines and the load. So the rows do not show how fast more machines would
be, but what each part takes for an image. bench/knee.py works out from that how far more machines go.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from bench.images import framed
from bench.load import bulk
from bench.load.h2load import h2load
from bench.load.streams import Plan, load, load_all
from bench.measures import Wrong, interleave
from bench.peers.server_process import ServerProcess, ours
from bench.processes import Meter, processor_seconds
from bench.rows import Bench, objects, postgres
from bench.rows.source import GET_STREAM_IMAGE, Source
from bench.rows.uploads import GIB, MIB
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.gen.conexiones.v1.images_pb2 import ListImagesRequest
from conexiones.sdk.blocking import Client
from tests.support.postgres import Engine
from tests.support.postgres import running as postgres_running
from tests.support.seaweed import ObjectServer
from tests.support.seaweed import running as seaweed_running

SMALL = "10 KB images by several servers, 32 streams"
LARGE = "1 GiB in four images at once, by several servers"
LIST = "ListImages, pages of 100, 8 callers, by several servers"

SERVER = "processor of the servers for a 10 KB image"
DATABASE = "processor of PostgreSQL for a 10 KB image"
STORE = "processor of the S3 store for a 10 KB image"
TRANSACTIONS = "transactions of PostgreSQL for a 10 KB image"
STATEMENTS = "statements of PostgreSQL for a 10 KB image"
MEMORY = "memory of one of several servers"
CONNECTIONS = "connections of one of several servers to PostgreSQL"
PAGE_SERVER = "processor of the servers for a page of 100"
PAGE_DATABASE = "processor of PostgreSQL for a page of 100"
DESCRIBED = "describing an image in the background: {}"
IDLE = "a server that nobody calls: {}"

EMBEDDED = "embedded"
ROWS = "limit: rows and events alone, 64 in a commit"
COMMITS = "limit: rows and events alone, one in a commit, 16 connections"
PUTS = "limit: PUTs alone, 32 at a time"

COUNTS = (1, 2, 4)
STREAMS = 32
CALLERS = 8
UPLOADS = 4
IMAGE = 10_000
PAGE = 100
FRAGMENT = MIB

LIST_IMAGES = "/conexiones.v1.ImageService/ListImages"


def several(count: int) -> str:
    """The name of the contender with so many servers."""
    return f"{count} server{'s' * (count > 1)}"


@dataclass(slots=True)
class _Spent:
    """What was spent in a block: CPU seconds of servers, PostgreSQL and S3 store, transactions and statements
    of the database, and images that were described."""

    seconds: float = 0
    servers: float = 0
    database: float = 0
    store: float = 0
    transactions: float = 0
    statements: float = 0
    described: float = 0

    def take(self, after: "_Spent", before: "_Spent") -> None:
        for name, later, earlier in zip(self.__slots__, astuple(after), astuple(before), strict=True):
            setattr(self, name, later - earlier)


@dataclass(frozen=True, slots=True)
class _Engines:
    postgres: Engine
    seaweed: ObjectServer
    database: str

    @property
    def url(self) -> str:
        return self.postgres.url(self.database)

    @contextmanager
    def spending(self, servers: Sequence[ServerProcess], spent: _Spent) -> Iterator[None]:
        """Takes what is spent in the block, without what it takes to find that out."""
        counts = self._counts()
        before = _Spent(*self._times(servers), *counts)
        yield
        times = self._times(servers)
        spent.take(_Spent(*times, *self._counts()), before)

    def _times(self, servers: Sequence[ServerProcess]) -> tuple[float, float, float, float]:
        used = sum(processor_seconds(server.pid) for server in servers)
        return (
            time.perf_counter(),
            used,
            processor_seconds(self.postgres.pid),
            processor_seconds(self.seaweed.pid),
        )

    def _counts(self) -> tuple[float, float, float]:
        return (
            self.number("SELECT xact_commit FROM pg_stat_database"),
            self.number("SELECT sum(calls) FROM pg_stat_statements JOIN pg_database ON oid = dbid"),
            float(self.postgres.sql("SELECT count(*) FROM facts", url=self.url)),
        )

    def number(self, query: str) -> float:
        """What a query without a condition gives of the database of the servers."""
        return float(self.postgres.sql(f"{query} WHERE datname = '{self.database}'") or 0)


@dataclass(slots=True)
class _Place:
    """Where all of it runs: the engines, a folder, and an embedded server, which runs in its turns only."""

    bench: Bench
    engines: _Engines
    folder: Path
    settings: dict[str, str]
    alone: ServerProcess
    sources: list[Source]
    seed: int = 1
    stored: int = 0
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(UPLOADS))

    @contextmanager
    def servers(self, count: int) -> Iterator[list[ServerProcess]]:
        """So many servers, started for a turn: each hears of what the others do, and costs the database
        something as long as it runs."""
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    ours(
                        self.folder / f"server-{number}",
                        cache_dir=str(self.folder / f"cache-{number}"),
                        **self.settings,
                    )
                )
                for number in range(count)
            ]

    def plans(self, servers: Sequence[ServerProcess], images: int) -> list[tuple[ServerProcess, Plan]]:
        """A load of STREAMS streams, divided among the servers. Every image is a new one."""
        count = len(servers)
        plans = []
        for server in servers:
            self.seed += 1
            plan = Plan(
                size=IMAGE,
                images=images // count,
                streams=STREAMS // count,
                connections=max(1, 4 // count),
                seed=self.seed,
            )
            plans.append((server, plan))
        return plans


def run(bench: Bench) -> None:
    """Images per second, large images and lists by one, two and four servers, with what they cost."""
    with _place(bench) as place:
        images = bench.size(1600, 320)
        rows = place.engines.postgres.url(place.engines.postgres.database())
        asyncio.run(postgres.prepare(rows))
        store = BlobPlace(
            url=f"s3://{place.engines.seaweed.bucket()}/images", endpoint=place.engines.seaweed.url
        )

        def bare_rows(connections: int, each: int, count: int, number: int) -> float:
            return count / asyncio.run(postgres.add_bare(rows, connections, each, count))

        contenders: dict[str, Callable[[int], float]] = {
            **{several(count): partial(_turn, place, count, images) for count in COUNTS},
            EMBEDDED: partial(_embedded, place, images),
            ROWS: partial(bare_rows, 1, postgres.CALLERS, images),
            COMMITS: partial(bare_rows, postgres.CONNECTIONS, 1, images // 4),
            PUTS: objects.puts(rows, store, bench, images),
        }
        idle = _idle(place)
        interleave(bench.results, SMALL, contenders, unit="images/s", warm=True)
        _background(place, idle)


@contextmanager
def _place(bench: Bench) -> Iterator[_Place]:
    with ExitStack() as stack:
        stack.enter_context(objects.keys())
        folder = stack.enter_context(bench.folder())
        engines = _engines(bench, folder, stack)
        settings = {
            "database": engines.url,
            "blobs": f"s3://{engines.seaweed.bucket()}/images",
            "s3_endpoint": engines.seaweed.url,
            "decode_workers": "1",
        }
        size = bench.size(GIB, 32 * MIB) // UPLOADS
        sources = [Source(stack.enter_context(bench.folder()), size) for _ in range(UPLOADS)]
        alone = stack.enter_context(ours(folder / "embedded"))
        place = _Place(bench, engines, folder, settings, alone, sources)
        stack.enter_context(place.threads)
        yield place


def _engines(bench: Bench, folder: Path, stack: ExitStack) -> _Engines:
    disk = folder / "postgres"
    disk.mkdir()
    for parent in (bench.root, folder):
        parent.chmod(0o711)  # PostgreSQL runs as another user than root
    database = stack.enter_context(postgres_running(fsync=True, disk=disk))
    database.sql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    database.stop()
    database.start()
    name = database.database()
    database.sql("CREATE EXTENSION pg_stat_statements")
    return _Engines(database, stack.enter_context(seaweed_running(gigabytes=30)), name)


def _turn(place: _Place, count: int, images: int, number: int) -> float:
    """All that so many servers are measured with, of which the small images come first."""
    results, name = place.bench.results, several(count)
    with place.servers(count) as servers, Meter(servers[0].pid, every=0.25) as meter:
        load_all(place.plans(servers, images // 5), around=ExitStack)  # what is started is slower at first
        spent = _Spent()
        outcome = load_all(
            place.plans(servers, images), around=partial(place.engines.spending, servers, spent)
        )
        place.stored += images + images // 5 // count * count
        rows = {SERVER: spent.servers, DATABASE: spent.database, STORE: spent.store}
        figures = [(row, used / images * 1e6, "µs/image") for row, used in rows.items()]
        figures += [
            (TRANSACTIONS, spent.transactions / images, "per image"),
            (STATEMENTS, spent.statements / images, "per image"),
            *_lists(place, servers),
            (LARGE, _large(place, servers, number), "MB/s"),
            (MEMORY, meter.take() / MIB, "MiB"),
            (CONNECTIONS, place.engines.number("SELECT count(*) FROM pg_stat_activity") / count, "each"),
        ]
        _check(place, servers)
    if number >= 0:
        for row, value, unit in figures:
            results.add(row, name, value, unit=unit)
    return images / outcome.seconds


def _embedded(place: _Place, images: int, number: int) -> float:
    results, server = place.bench.results, place.alone
    ((_, plan),) = place.plans([server], images)
    outcome = load(server, plan)
    with server.turn():
        pages, *_ = _lists(place, [server])
        large = _large(place, [server], number)
    if number >= 0:
        results.add(SERVER, EMBEDDED, outcome.server / images * 1e6, unit="µs/image")
        results.add(LIST, EMBEDDED, pages[1], unit="pages/s")
        results.add(LARGE, EMBEDDED, large, unit="MB/s")
    return images / outcome.seconds


def _lists(place: _Place, servers: Sequence[ServerProcess]) -> list[tuple[str, float, str]]:
    pages, count = place.bench.size(400, 64), len(servers)
    body = place.folder / "body"
    body.write_bytes(framed(ListImagesRequest(page_size=PAGE)))

    def ask(server: ServerProcess) -> float:
        calls, connections = pages // count, CALLERS // count
        return h2load(server.address, LIST_IMAGES, body, requests=calls, connections=connections).seconds

    spent = _Spent()
    with place.engines.spending(servers, spent):
        seconds = max(place.threads.map(ask, servers))
    return [
        (LIST, pages / seconds, "pages/s"),
        (PAGE_SERVER, spent.servers / pages * 1e6, "µs/page"),
        (PAGE_DATABASE, spent.database / pages * 1e6, "µs/page"),
    ]


def _large(place: _Place, servers: Sequence[ServerProcess], number: int) -> float:
    """MB/s of UPLOADS images at once, which are deleted again."""
    pictures = [source.number(number * UPLOADS + at) for at, source in enumerate(place.sources)]
    for source in place.sources:
        source.frames(FRAGMENT, bulk.LARGEST)  # is written before anything is timed

    def send(at: int) -> float:
        address, frames = servers[at % len(servers)].address, partial(place.sources[at].frames, FRAGMENT)
        return bulk.grpc(address, GET_STREAM_IMAGE, frames)

    begin = time.perf_counter()
    for _ in place.threads.map(send, range(UPLOADS)):
        pass
    took = time.perf_counter() - begin
    with Client(servers[0].address) as client:
        found = list(islice(client.images(), UPLOADS))  # the newest come first
        if {image.sha256 for image in found} != {picture.digest for picture in pictures}:
            raise Wrong("the newest images are not those that were sent")
        for image in found:
            client.delete(image.id)
    return sum(picture.size for picture in pictures) / took / 1e6


def _check(place: _Place, servers: Sequence[ServerProcess]) -> None:
    """Raises Wrong unless the last server lists every image that was acknowledged."""
    with Client(servers[-1].address) as client:
        found = sum(1 for _ in client.images())
    if found != place.stored:
        raise Wrong(f"{found} images are listed, not {place.stored}")


def _idle(place: _Place) -> _Spent:
    """What is spent while nobody calls the only server, which has nothing to describe."""
    results, name = place.bench.results, several(1)
    with place.servers(1) as servers:
        servers[0].settle()
        spent = _Spent()
        with place.engines.spending(servers, spent):
            time.sleep(place.bench.size(10, 3))
    results.add(IDLE.format("PostgreSQL"), name, spent.database / spent.seconds * 1e3, unit="ms/s")
    results.add(IDLE.format("statements"), name, spent.statements / spent.seconds, unit="per s")
    return spent


def _background(place: _Place, idle: _Spent) -> None:
    """What describing the images costs that have come in, without what is spent all the time."""
    results, name = place.bench.results, several(1)
    with place.servers(1) as servers:
        spent = _Spent()
        time.sleep(place.bench.size(3, 1))  # it starts decoders first
        with place.engines.spending(servers, spent):
            time.sleep(place.bench.size(10, 3))
    if not spent.described:
        raise Wrong("no image was described")

    def each(name: str) -> float:
        always = getattr(idle, name) / idle.seconds * spent.seconds
        return float(max(0, getattr(spent, name) - always) / spent.described)

    for what, field_name in (("server", "servers"), ("PostgreSQL", "database"), ("S3 store", "store")):
        results.add(DESCRIBED.format(what), name, each(field_name) * 1e6, unit="µs/image")
    for what in ("transactions", "statements"):
        results.add(DESCRIBED.format(what), name, each(what), unit="per image")
    results.add(DESCRIBED.format("images"), name, spent.described / spent.seconds, unit="images/s")
