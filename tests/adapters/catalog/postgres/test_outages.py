"""A database that dies, freezes, and comes back."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import Patience
from conexiones.adapters.catalog.postgres.reading import READERS
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import ImageRecord, StoredBy
from tests.support.postgres import Engine, running

Make = Callable[..., ImageRecord]

HASTY = Patience(connect=1, read=2, write=2, transaction=2, lock=1, idle=1)

CALLERS = 12


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A PostgreSQL that the tests of this module may kill. It keeps what it says it keeps."""
    with running(fsync=True) as engine:
        yield engine


@pytest.fixture
async def catalog(engine: Engine) -> AsyncIterator[PostgresCatalog]:
    catalog = PostgresCatalog(engine.schema(), patience=HASTY)
    await catalog.open()
    yield catalog
    await catalog.close()


class Load:
    """Callers that write, and note what was acknowledged and what was not."""

    def __init__(self, catalog: PostgresCatalog, image: Make) -> None:
        self._catalog = catalog
        self._image = image
        self._ended = False
        self.stored: set[str] = set()
        self.deleted: set[str] = set()
        self.failed: set[str] = set()
        self.progress = asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._call(number)) for number in range(CALLERS)]

    async def _call(self, caller: int) -> None:
        number = 0
        while not self._ended:
            number += 1
            name = f"{caller}-{number}"
            try:
                await self._store(name, number)
                self.stored.add(name)
                if number % 5 == 0:
                    await self._catalog.delete_image(name, now=1)
                    self.deleted.add(name)
                self.progress.set()
            except StorageUnavailable:
                self.failed.add(name)
                await asyncio.sleep(0.01)

    async def _store(self, name: str, number: int) -> None:
        match number % 3:
            case 0:
                await self._catalog.add_image(self._image(name))
            case 1:
                await self._catalog.put_user(name, pow=1, image=self._image(name), now=1)
            case _:
                await self._catalog.add_stored(self._image(name), StoredBy(name, name, "", ""))

    async def goes_on(self) -> None:
        """Returns when something was done that began after this."""
        for _ in range(2):
            self.progress.clear()
            await self.progress.wait()

    async def end(self) -> None:
        self._ended = True
        await asyncio.gather(*self._tasks)


async def check(catalog: PostgresCatalog, load: Load) -> None:
    """What was acknowledged is there, and every image has its event, once and in order."""
    there: set[str] = set()
    numbers, after = [], 0
    while events := await catalog.events(after=after, limit=1000):
        for event in events:
            numbers.append(event.sequence)
            assert (event.kind == "STORED") == (event.image_id not in there)
            (there.add if event.kind == "STORED" else there.remove)(event.image_id)
        after = events[-1].sequence
    assert numbers == list(range(1, len(numbers) + 1))
    unknown = load.failed
    assert load.stored - load.deleted - unknown <= there
    assert not (load.deleted & there)
    assert there <= load.stored | unknown
    assert (await catalog.counts()).images == len(there)
    for name in random.Random(1).sample(sorted(there), 5):
        assert await catalog.get_image(name)


async def test_nothing_acknowledged_is_lost_by_kill_9(
    engine: Engine, catalog: PostgresCatalog, image: Make
) -> None:
    load = Load(catalog, image)
    try:
        for _ in range(2):
            await load.goes_on()
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
    assert int(engine.sql(connections)) <= READERS + 2, "those that were given up are gone"


async def test_a_restart_of_the_database_is_no_error_for_who_only_reads(
    engine: Engine, catalog: PostgresCatalog, image: Make
) -> None:
    await catalog.add_image(image("1"))
    await asyncio.gather(*(catalog.get_image("1") for _ in range(10)))
    engine.stop()
    engine.start()
    assert await asyncio.gather(*(catalog.get_image("1") for _ in range(10))) == [image("1")] * 10
    await catalog.add_image(image("2"))
    await catalog.changed(1)


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
