"""Callers that write while something goes wrong, and what has to be there afterwards."""

import asyncio
import random
from collections.abc import Callable
from functools import partial

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import Patience
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import ImageRecord, StoredBy
from tests.support.waiting import DEADLINE, surely

Make = Callable[..., ImageRecord]

CALLERS = 12

PATIENT = Patience(
    connect=DEADLINE, read=DEADLINE, write=DEADLINE, transaction=DEADLINE, lock=DEADLINE, idle=DEADLINE
)
"""For what has to succeed: the machine may be busy."""


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
    while events := await surely(partial(catalog.events, after=after, limit=1000)):
        for event in events:
            numbers.append(event.sequence)
            assert (event.kind == "STORED") == (event.image_id not in there)
            (there.add if event.kind == "STORED" else there.remove)(event.image_id)
        after = events[-1].sequence
    assert numbers == list(range(1, len(numbers) + 1))
    # Of these the outcome was not told: each is there with all that belongs to it, or not at all.
    unknown = load.failed
    assert load.stored - load.deleted - unknown <= there
    assert not (load.deleted & there)
    assert there <= load.stored | unknown
    assert (await surely(catalog.counts)).images == len(there)
    for name in random.Random(1).sample(sorted(there), 5):
        assert await surely(partial(catalog.get_image, name))
