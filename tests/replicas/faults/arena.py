"""What a piece of runs has: PostgreSQL, an S3 store, three servers, and the ways between all of them."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import asyncpg  # type: ignore[import-untyped]

from conexiones import AsyncClient
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.testing import Server, serve
from conexiones.upkeep.first_token import first_token
from tests.adapters.catalog.postgres.cutting import Way as DatabaseWay
from tests.replicas.faults.ways import ObjectWay, Way
from tests.support import postgres, seaweed
from tests.support.postgres import Engine
from tests.support.seaweed import ObjectServer

SERVERS = 3
DECODE_SECONDS = "60"
FOLDER = "pieces/of"
"""Below which the objects are."""

_CLOCK = """
CREATE TABLE clock (ahead interval NOT NULL);
INSERT INTO clock VALUES ('0');
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$ SELECT pg_catalog.clock_timestamp() + ahead FROM clock $$;
"""
"""The database's clock, as the servers read it. It can be moved, so that nobody waits for a grace."""


@dataclass(frozen=True)
class Replica:
    """A server, the way to it, and its ways to the database and to the object store."""

    server: Server
    way: Way
    database: DatabaseWay
    objects: ObjectWay


@dataclass(frozen=True)
class Arena:
    """`address` names all servers, by the ways to them. `token` is the administrator's. `catalog` and `store`
    are on the shortest way to the same database and objects."""

    engine: Engine
    objects: ObjectServer
    replicas: list[Replica]
    token: str
    url: str
    place: BlobPlace
    catalog: PostgresCatalog
    store: S3Store

    @property
    def address(self) -> str:
        return ",".join(replica.way.address for replica in self.replicas)

    def client(self, replica: Replica) -> AsyncClient:
        """The administrator's, of one server."""
        return AsyncClient(replica.way.address, token=self.token)

    async def rows(self, query: str) -> list[tuple[str | int | None, ...]]:
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def later(self, hours: float) -> None:
        """Moves the database's clock."""
        await self.rows(f"UPDATE clock SET ahead = ahead + interval '{hours} hours'")


@asynccontextmanager
async def arena() -> AsyncIterator[Arena]:
    with (
        postgres.running() as engine,
        seaweed.running() as objects,
        # Sockets have short names, and each server a folder for its copies.
        tempfile.TemporaryDirectory(prefix="ways-") as folder,
        patch.dict(os.environ, {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}),
    ):
        name = f"{engine.schema().rpartition('=')[2]}"
        url = engine.url(search_path=f"{name},pg_catalog")
        engine.sql(_CLOCK, url=url)
        _, token = await first_token(url)
        bucket = f"s3://{objects.bucket()}/{FOLDER}"
        place = BlobPlace(url=bucket, endpoint=objects.url)
        async with AsyncExitStack() as stack:
            catalog = PostgresCatalog(url)
            await catalog.open()
            stack.push_async_callback(catalog.close)
            store = S3Store(place, catalog, folder=Path(folder) / "copies")
            await store.open()
            stack.push_async_callback(store.close)
            names = [Path(folder) / str(number) for number in range(SERVERS)]
            for one in names:
                one.mkdir()
            started = (_replica(stack, one, url, bucket, objects.url) for one in names)
            replicas = list(await asyncio.gather(*started))
            yield Arena(engine, objects, replicas, token, url, place, catalog, store)


async def _replica(stack: AsyncExitStack, folder: Path, url: str, bucket: str, endpoint: str) -> Replica:
    database = DatabaseWay(folder, url)
    await database.open()
    stack.push_async_callback(database.close)
    objects = ObjectWay(int(endpoint.rpartition(":")[2]))
    await objects.open()
    stack.callback(objects.close)
    running = serve(
        database=database.url,
        blobs=bucket,
        s3_endpoint=f"http://{objects.address}",
        cache_dir=folder / "cache",
        auth="required",
        admin_address="127.0.0.1:0",
        decode_seconds=DECODE_SECONDS,
        decode_workers=1,
        grace_seconds=2,
    )
    server = await asyncio.to_thread(running.__enter__)
    stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
    way = Way(server.port)
    await way.open()
    stack.callback(way.close)
    return Replica(server, way, database, objects)
