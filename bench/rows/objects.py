"""Measures the store of blobs on S3, beside bare requests to its server, and bare rows of its database.

The server, SeaweedFS, calls no fsync; PostgreSQL does.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import obstore

from bench.measures import Wrong, interleave
from bench.rows import Bench
from bench.rows.postgres import record
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from tests.support import postgres, seaweed

SMALL = "images of 10 KB on S3 with rows in PostgreSQL, 32 callers"
LARGE = "one image on S3 with its row in PostgreSQL"
OURS = "ours"
PUTS = "obstore's puts to the same server, no rows"
ROWS = "limit: ours, rows alone"

CALLERS = 32
SIZE = 10_000
PIECE = 1 << 20
PART = 8 << 20


Turn = Callable[["Stores"], Awaitable[None]]


class Stores:
    """A store, its catalog, and the bucket of both. Open for one turn."""

    def __init__(self, url: str, place: BlobPlace, bench: Bench) -> None:
        self.catalog = PostgresCatalog(url)
        self.store = S3Store(place, self.catalog, folder=bench.root / "copies")
        self.bucket = place.connect(Patience())

    async def add(self, digest: bytes, size: int = SIZE) -> bytes:
        await self.catalog.add_image(record(digest, size))
        return digest

    async def store_image(self) -> None:
        staged = self.store.staging.stage()
        await staged.write(os.urandom(SIZE))
        await staged.publish(self.add)
        await staged.settle()

    async def put(self, size: int = SIZE) -> None:
        name = f"bare/{secrets.token_hex(16)}"
        await obstore.put_async(self.bucket, name, os.urandom(size), use_multipart=False)

    async def row(self) -> None:
        await self.add(secrets.token_bytes(32))


def run(bench: Bench) -> None:
    """Images per second that are acknowledged, and MB/s of a large one."""
    count, mib = bench.size((6400, 512), (320, 32))
    with ExitStack() as stack:
        stack.enter_context(keys())
        folder = stack.enter_context(bench.folder())
        disk = folder / "postgres"
        disk.mkdir()
        for parent in (bench.root, folder):
            parent.chmod(0o711)  # PostgreSQL runs as another user than root
        url = stack.enter_context(postgres.running(fsync=True, disk=disk)).schema()
        server = stack.enter_context(seaweed.running())
        place = BlobPlace(url=f"s3://{server.bucket()}/images", endpoint=server.url)
        make = partial(Stores, url, place, bench)
        small = {
            OURS: partial(_rate, make, Stores.store_image, count),
            PUTS: partial(_rate, make, Stores.put, count),
            ROWS: partial(_rate, make, Stores.row, count),
        }
        interleave(bench.results, SMALL, small, unit="images/s", warm=True)
        large = {OURS: partial(_large, make, mib), PUTS: partial(_large_bare, make, mib)}
        interleave(bench.results, LARGE, large, unit="MB/s", warm=True)


@contextmanager
def keys() -> Iterator[None]:
    """Has the environment say who the clients of the S3 server are, for it and for those that it starts."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "bench"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def puts(url: str, place: BlobPlace, bench: Bench, count: int) -> Callable[[int], float]:
    """A contender that puts so many small objects and adds no rows, and gives the objects per second."""
    return partial(_rate, partial(Stores, url, place, bench), Stores.put, count)


def _timed(make: Callable[[], Stores], work: Turn) -> float:
    """The seconds that it takes."""

    async def seconds() -> float:
        stores = make()
        await stores.catalog.open()
        await stores.store.open()
        begin = time.perf_counter()
        await work(stores)
        took = time.perf_counter() - begin
        await stores.store.close()
        await stores.catalog.close()
        return took

    return asyncio.run(seconds())


def _rate(make: Callable[[], Stores], one: Turn, count: int, _: int) -> float:
    async def all_of_them(stores: Stores) -> None:
        left = iter(range(count))

        async def caller() -> None:
            for _ in left:
                await one(stores)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))

    return count / _timed(make, all_of_them)


def _large(make: Callable[[], Stores], mib: int, _: int) -> float:
    piece = os.urandom(PIECE)

    async def store(stores: Stores) -> None:
        staged = stores.store.staging.stage()
        await staged.write(secrets.token_bytes(16))  # no two have the same bytes
        for _ in range(mib):
            await staged.write(piece)
        digest = await staged.publish(partial(stores.add, size=staged.size))
        await staged.settle()
        if [size async for size in stores.store.blobs.read(digest, staged.size - 1)] != [piece[-1:]]:
            raise Wrong("bytes are missing")

    return mib * PIECE / 1e6 / _timed(make, store)


def _large_bare(make: Callable[[], Stores], mib: int, _: int) -> float:
    """Objects of the size of ours, as many at a time."""

    async def put(stores: Stores) -> None:
        left = iter(range(mib * PIECE // PART))

        async def caller() -> None:
            for _ in left:
                await stores.put(PART)

        await asyncio.gather(*(caller() for _ in range(2)))

    return mib * PIECE / 1e6 / _timed(make, put)
