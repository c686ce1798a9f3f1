"""Measures several servers over one PostgreSQL and one S3 store: what each of them adds, and what it costs.

All run on this machine, with their engines and the load. So the rows do not show how fast more machines would
be, but what each part takes for an image. `bench.knee` works out from that how far more machines go.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

from bench.images import framed
from bench.load import bulk
from bench.load.h2load import h2load
from bench.load.streams import Plan, load, load_all
from bench.measures import Wrong, interleave
from bench.peers.server_process import ServerProcess, ours, settle
from bench.processes import Meter, family
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
TRANSACTIONS = "transactions for a 10 KB image"
STATEMENTS = "statements for a 10 KB image"
CONNECTIONS = "connections to PostgreSQL"
IDLE_DATABASE = "processor of PostgreSQL for a server that does nothing"
IDLE_STATEMENTS = "statements of a server that does nothing"
PAGE_SERVER = "processor of the servers for a page of 100"
PAGE_DATABASE = "processor of PostgreSQL for a page of 100"
MEMORY = "memory of one of several servers"

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


@dataclass(frozen=True, slots=True)
class _Spent:
    """What servers and engines have spent until a time, or in some seconds. CPU times are in seconds."""

    seconds: float
    servers: float
    database: float
    store: float
    commits: float
    statements: float

    def minus(self, other: "_Spent", times: float = 1) -> "_Spent":
        """What is left without the other, taken so many times."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return _Spent(*(mine - times * theirs for mine, theirs in pairs))


@dataclass(frozen=True, slots=True)
class _Engines:
    postgres: Engine
    seaweed: ObjectServer
    database: str

    @property
    def url(self) -> str:
        return self.postgres.url(self.database)

    def counts(self) -> tuple[float, float]:
        """The transactions and the statements so far."""
        return (
            self.number("SELECT xact_commit FROM pg_stat_database"),
            self.number("SELECT sum(calls) FROM pg_stat_statements JOIN pg_database ON oid = dbid"),
        )

    def number(self, query: str) -> float:
        """What a query gives of the database of the servers. It has no condition."""
        return float(self.postgres.sql(f"{query} WHERE datname = '{self.database}'") or 0)


def _cpu(pid: int) -> float:
    """CPU seconds of a process and all below it so far."""
    return sum(sum(one.cpu_times()[:2]) for one in family(pid))


@dataclass(slots=True)
class _Cluster:
    """Servers, their engines, and an embedded server, which runs in its turns only."""

    bench: Bench
    engines: _Engines
    servers: list[ServerProcess]
    alone: ServerProcess
    seed: int = 1
    stored: int = 0

    def spent(self, *, first: bool) -> _Spent:
        """What was spent so far. What this takes itself comes before the `first` time, and after the second
        one."""
        counts = self.engines.counts() if first else (0, 0)
        now = time.perf_counter()
        servers = sum(server.cpu() for server in self.servers)
        database, store = _cpu(self.engines.postgres.pid), _cpu(self.engines.seaweed.pid)
        return _Spent(now, servers, database, store, *(counts if first else self.engines.counts()))

    def plans(self, servers: Sequence[ServerProcess], images: int) -> list[tuple[ServerProcess, Plan]]:
        """The load of STREAMS streams, divided among the servers. Every image is a new one."""
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
    with _cluster(bench) as cluster:
        _large(cluster)
        _small(cluster)
        _lists(cluster)


@contextmanager
def _cluster(bench: Bench) -> Iterator[_Cluster]:
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
        servers = [
            stack.enter_context(
                ours(folder / f"server-{number}", cache_dir=str(folder / f"cache-{number}"), **settings)
            )
            for number in range(max(COUNTS))
        ]
        alone = stack.enter_context(ours(folder / "embedded"))
        yield _Cluster(bench, engines, servers, alone)


def _engines(bench: Bench, folder: Path, stack: ExitStack) -> _Engines:
    disk = folder / "postgres"
    disk.mkdir()
    for parent in (bench.root, folder):
        parent.chmod(0o711)  # PostgreSQL runs as another user than root
    database = stack.enter_context(postgres_running(fsync=True, disk=disk))
    # The servers of a row have all statements counted.
    database.sql("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
    database.stop()
    database.start()
    name = database.database()
    for place in (name, "postgres"):
        database.sql("CREATE EXTENSION pg_stat_statements", url=database.url(place))
    return _Engines(database, stack.enter_context(seaweed_running()), name)


def _small(cluster: _Cluster) -> None:
    bench, engines = cluster.bench, cluster.engines
    images = bench.size(3200, 320)

    idle = _idle(cluster)

    def by_servers(count: int, number: int) -> float:
        before, name = cluster.spent(first=True), several(count)
        with Meter(cluster.servers[0].pid, every=0.25) as meter:
            outcome = load_all(cluster.plans(cluster.servers[:count], images))
        settle(*cluster.servers)  # until the images are described
        spent = cluster.spent(first=False).minus(before)
        spent = spent.minus(idle, spent.seconds)
        cluster.stored += images
        if number >= 0:
            add = bench.results.add
            add(SERVER, name, spent.servers / images * 1e6, unit="µs/image")
            add(DATABASE, name, spent.database / images * 1e6, unit="µs/image")
            add(STORE, name, spent.store / images * 1e6, unit="µs/image")
            add(TRANSACTIONS, name, spent.commits / images, unit="per image")
            add(STATEMENTS, name, spent.statements / images, unit="per image")
            add(MEMORY, name, meter.peak / MIB, unit="MiB")
        return images / outcome.seconds

    def embedded(number: int) -> float:
        ((server, plan),) = cluster.plans([cluster.alone], images)
        outcome = load(server, plan)
        if number >= 0:
            bench.results.add(SERVER, EMBEDDED, outcome.server / images * 1e6, unit="µs/image")
        return images / outcome.seconds

    rows = engines.postgres.url(engines.postgres.database())
    asyncio.run(postgres.prepare(rows))
    place = BlobPlace(url=f"s3://{engines.seaweed.bucket()}/images", endpoint=engines.seaweed.url)
    puts = objects.puts(rows, place, bench, images)

    def bare_rows(connections: int, each: int, count: int, number: int) -> float:
        return count / asyncio.run(postgres.add_bare(rows, connections, each, count))

    contenders: dict[str, Callable[[int], float]] = {
        **{several(count): partial(by_servers, count) for count in COUNTS},
        EMBEDDED: embedded,
        ROWS: partial(bare_rows, 1, postgres.CALLERS, images),
        COMMITS: partial(bare_rows, postgres.CONNECTIONS, 1, images // 4),
        PUTS: puts,
    }
    interleave(bench.results, SMALL, contenders, unit="images/s", warm=True)
    _check(cluster)


def _idle(cluster: _Cluster) -> _Spent:
    """What all servers and engines spend in a second while nobody calls them."""
    results, count = cluster.bench.results, len(cluster.servers)
    settle(*cluster.servers)
    before = cluster.spent(first=True)
    time.sleep(cluster.bench.size(10, 2))
    spent = cluster.spent(first=False).minus(before)
    idle = _Spent(1, *(one / spent.seconds for one in astuple(spent)[1:]))
    name = several(count)
    results.add(IDLE_DATABASE, name, idle.database / count * 1e3, unit="ms/s, each")
    results.add(IDLE_STATEMENTS, name, idle.statements / count, unit="per s, each")
    connections = cluster.engines.number("SELECT count(*) FROM pg_stat_activity")
    results.add(CONNECTIONS, name, connections / count, unit="each")
    return idle


def _check(cluster: _Cluster) -> None:
    """Raises Wrong unless every server lists every image that was acknowledged."""
    counts = []
    for server in cluster.servers:
        with Client(server.address) as client:
            counts.append(sum(1 for _ in client.images()))
    if counts != [cluster.stored] * len(counts):
        raise Wrong(f"the servers list {counts} images, not {cluster.stored}")


def _large(cluster: _Cluster) -> None:
    """MB/s of UPLOADS images at once, which are deleted after each turn."""
    bench = cluster.bench
    size = bench.size(GIB, 32 * MIB) // UPLOADS
    with ExitStack() as stack:
        sources = [Source(stack.enter_context(bench.folder()), size) for _ in range(UPLOADS)]
        pool = stack.enter_context(ThreadPoolExecutor(UPLOADS))

        def send(servers: Sequence[ServerProcess], number: int) -> float:
            pictures = [source.number(number * UPLOADS + at) for at, source in enumerate(sources)]
            begin = time.perf_counter()
            for _ in pool.map(
                lambda at: bulk.grpc(
                    servers[at % len(servers)].address,
                    GET_STREAM_IMAGE,
                    partial(sources[at].frames, FRAGMENT),
                ),
                range(UPLOADS),
            ):
                pass
            took = time.perf_counter() - begin
            _take_out(servers[0], {picture.digest for picture in pictures})
            return sum(picture.size for picture in pictures) / took / 1e6

        def embedded(number: int) -> float:
            with cluster.alone.turn():
                return send([cluster.alone], number)

        contenders: dict[str, Callable[[int], float]] = {
            **{several(count): partial(send, cluster.servers[:count]) for count in COUNTS},
            EMBEDDED: embedded,
        }
        rounds = min(3, bench.results.rounds)
        interleave(bench.results, LARGE, contenders, unit="MB/s", warm=True, rounds=rounds)


def _take_out(server: ServerProcess, digests: set[bytes]) -> None:
    """Deletes the images, which have to be all that there are. Raises Wrong."""
    with Client(server.address) as client:
        found = list(client.images())
        if {image.sha256 for image in found} != digests or len(found) != len(digests):
            raise Wrong(f"{len(found)} images are stored, not {len(digests)}, or not these")
        for image in found:
            client.delete(image.id)


def _lists(cluster: _Cluster) -> None:
    """Pages per second."""
    bench = cluster.bench
    pages = bench.size(400, 64)
    with ExitStack() as stack:
        body = stack.enter_context(bench.folder()) / "body"
        body.write_bytes(framed(ListImagesRequest(page_size=PAGE)))
        pool = stack.enter_context(ThreadPoolExecutor(max(COUNTS)))

        def ask(servers: Sequence[ServerProcess]) -> float:
            count = len(servers)
            loads = pool.map(
                lambda server: h2load(
                    server.address,
                    LIST_IMAGES,
                    body,
                    requests=pages // count,
                    connections=CALLERS // count,
                ),
                servers,
            )
            return pages / max(one.seconds for one in loads)

        def by_servers(count: int, number: int) -> float:
            settle(*cluster.servers)
            servers, name = cluster.servers[:count], several(count)
            before = cluster.spent(first=True)
            rate = ask(servers)
            spent = cluster.spent(first=False).minus(before)
            if number >= 0:
                bench.results.add(PAGE_SERVER, name, spent.servers / pages * 1e6, unit="µs/page")
                bench.results.add(PAGE_DATABASE, name, spent.database / pages * 1e6, unit="µs/page")
            return rate

        def embedded(number: int) -> float:
            with cluster.alone.turn():
                return ask([cluster.alone])

        contenders: dict[str, Callable[[int], float]] = {
            **{several(count): partial(by_servers, count) for count in COUNTS},
            EMBEDDED: embedded,
        }
        interleave(bench.results, LIST, contenders, unit="pages/s", warm=True)
