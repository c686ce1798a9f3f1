"""A database that dies, freezes, and comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext

import asyncpg  # type: ignore[import-untyped]
import pytest

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import Patience
from conexiones.adapters.catalog.postgres.reading import READERS
from conexiones.errors import StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.ports.records import ImageRecord
from tests.adapters.catalog.postgres.load import PATIENT, Load, check
from tests.support.figures import figure, figures
from tests.support.postgres import Engine, running
from tests.support.waiting import until

Make = Callable[..., ImageRecord]

HASTY = Patience(connect=5, read=3, write=3, transaction=3, lock=2, idle=2)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A PostgreSQL that the tests of this module may kill. It keeps what it says it keeps."""
    with running(fsync=True) as engine:
        yield engine


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def database(engine: Engine) -> str:
    return engine.schema()


@pytest.fixture
async def catalog(database: str, metrics: Metrics) -> AsyncIterator[PostgresCatalog]:
    catalog = PostgresCatalog(database, patience=HASTY, metrics=metrics)
    await catalog.open()
    yield catalog
    await catalog.close()


async def test_nothing_acknowledged_is_lost_by_kill_9(
    engine: Engine, catalog: PostgresCatalog, database: str, image: Make, metrics: Metrics
) -> None:
    load = Load(catalog, image)
    try:
        for met in (False, True):
            await load.goes_on()
            async with _a_transaction_waits(engine, database) if met else nullcontext():
                await asyncio.to_thread(engine.kill)
            with pytest.raises(StorageUnavailable):
                await catalog.get_image("x")
            with pytest.raises(StorageUnavailable):
                await catalog.add_image(image("x"))
            await asyncio.to_thread(engine.start)
            await load.goes_on()
    finally:
        await load.end()
    await check(catalog, load)
    transactions = figures(metrics, "conexiones.database.transactions")
    assert transactions["committed",] >= 2
    # Of the transactions alone that a kill met: the first may have met none.
    assert transactions["lost",] + transactions["unknown",] >= 1
    assert figure(metrics, "conexiones.database.connections.lost") >= 2
    assert figure(metrics, "conexiones.database.connects", "failed") >= 2
    assert figures(metrics, "conexiones.database.connections").keys() == {("read",), ("write",), ("listen",)}
    assert figure(metrics, "conexiones.database.connections", "write") == 1


@asynccontextmanager
async def _a_transaction_waits(engine: Engine, database: str) -> AsyncIterator[None]:
    """Holds what every transaction needs at its end while the block runs."""
    stranger = await asyncpg.connect(database)
    await stranger.execute("BEGIN; UPDATE event_head SET sequence = sequence + 1")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await until(lambda: int(engine.sql(waits)) >= 1)
    yield
    stranger.terminate()


async def test_every_wait_for_a_frozen_database_ends(
    engine: Engine, catalog: PostgresCatalog, image: Make
) -> None:
    load = Load(catalog, image)
    await load.goes_on()
    engine.freeze()
    try:
        outcomes = await asyncio.gather(
            *(catalog.get_image("1") for _ in range(40)),
            *(catalog.add_image(image(f"frozen {number}")) for number in range(40)),
            return_exceptions=True,
        )
        assert all(isinstance(outcome, StorageUnavailable) for outcome in outcomes)
    finally:
        engine.thaw()
    await load.goes_on()
    await load.end()
    load.failed |= {f"frozen {number}" for number in range(40)}
    await check(catalog, load)
    connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'conexiones'"
    # Those that were given up go.
    await until(lambda: int(engine.sql(connections)) <= READERS + 2)


async def test_a_restart_of_the_database_is_no_error_for_who_only_reads(
    engine: Engine, database: str, image: Make
) -> None:
    catalog = PostgresCatalog(database, patience=PATIENT)
    await catalog.open()
    await catalog.add_image(image("1"))
    await asyncio.gather(*(catalog.get_image("1") for _ in range(10)))
    engine.stop()
    engine.start()
    assert await asyncio.gather(*(catalog.get_image("1") for _ in range(10))) == [image("1")] * 10
    await catalog.add_image(image("2"))
    await catalog.changed(1)
    await catalog.close()


async def test_a_catalog_whose_database_is_away_closes(engine: Engine, image: Make) -> None:
    catalog = PostgresCatalog(engine.schema(), patience=HASTY)
    await catalog.open()
    engine.kill()
    waiting = asyncio.ensure_future(catalog.add_image(image("1")))
    await asyncio.sleep(0)
    await catalog.close()
    with pytest.raises(StorageUnavailable):
        await waiting
    engine.start()
