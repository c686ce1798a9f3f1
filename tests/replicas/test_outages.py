"""A server whose database or object store is away, stands still or refuses: what it says, what goes on, and
that nothing piles up."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
import pytest

from conexiones import AsyncClient
from conexiones.adapters.blobs.s3.objects import MOST
from conexiones.adapters.catalog.postgres.reading import READERS
from conexiones.errors import StorageUnavailable
from conexiones.sdk import Deleted, Described, Event
from conexiones.testing import Server
from tests.adapters.catalog.postgres.cutting import Way as DatabaseWay
from tests.replicas.conftest import Replica
from tests.replicas.faults.ways import Mood, ObjectWay
from tests.support.bitmaps import bitmap
from tests.support.scrapes import ask
from tests.support.waiting import DEADLINE, until

AT_ONCE = 30
"""Calls that come while something is away."""

STATED_SECONDS = 30.0
"""The time within which a server says that its storage cannot be reached: docs/scale.md."""

MORE_THREADS = 16
"""Threads that a server may begin for them: those of its pool."""


class Served(NamedTuple):
    server: Server
    objects: ObjectWay
    database: DatabaseWay

    def readiness(self) -> int:
        return ask(self.server.admin_address, "/readyz").status

    def threads(self) -> int:
        return sum(self._of_each(psutil.Process.num_threads))

    def descriptors(self) -> int:
        """Those of connections to the database are among them."""
        return sum(self._of_each(psutil.Process.num_fds))

    def _of_each(self, count: Callable[[psutil.Process], int]) -> Iterator[int]:
        """A figure of each process of the server."""
        server = psutil.Process(self.server.pid)
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                yield count(process)


@asynccontextmanager
async def _served(replica: Replica, shared: dict[str, str]) -> AsyncIterator[Served]:
    """One whose ways to both can be cut."""
    objects = ObjectWay(int(shared["s3_endpoint"].rpartition(":")[2]))
    await objects.open()
    with TemporaryDirectory(prefix="way-") as folder:
        database = DatabaseWay(Path(folder), shared["database"])
        await database.open()
        server = await asyncio.to_thread(
            replica,
            auth="none",
            admin_address="127.0.0.1:0",
            database=database.url,
            s3_endpoint=f"http://{objects.address}",
        )
        yield Served(server, objects, database)
        await asyncio.to_thread(server.stop)
        objects.close()
        await database.close()


async def _refused(calls: list[Callable[[], object]]) -> None:
    """All of them fail in time, and are told when to come again."""
    said = await asyncio.gather(*(call() for call in calls), return_exceptions=True)  # type: ignore[call-overload]
    assert {type(one) for one in said} == {StorageUnavailable}, said
    assert all(one.retry_after for one in said)


class Watcher:
    """Hears of what is deleted, and of what is described: until the first image is, a server may still start
    a process for that."""

    def __init__(self, client: AsyncClient) -> None:
        self.ready = asyncio.Event()
        self._heard: set[tuple[type[Event], str]] = set()
        self._more = asyncio.Condition()
        self._task = asyncio.create_task(self._watch(client))

    async def _watch(self, client: AsyncClient) -> None:
        event: Event
        async for event in client.watch(ready=lambda _: self.ready.set()):
            if isinstance(event, Deleted | Described):
                async with self._more:
                    self._heard.add((type(event), event.id if isinstance(event, Deleted) else event.image.id))
                    self._more.notify_all()

    async def hears_of(self, kind: type[Event], id: str) -> None:
        async with asyncio.timeout(DEADLINE), self._more:
            await self._more.wait_for(lambda: (kind, id) in self._heard)

    async def ends(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))


async def test_without_the_object_store_lists_and_events_go_on(
    replica: Replica, shared_settings: dict[str, str]
) -> None:
    moods: list[Mood] = ["busy", "failing", "still"]
    async with _served(replica, shared_settings) as served:
        address = served.server.address
        patient = AsyncClient(address, patience=DEADLINE)
        hasty = AsyncClient(address, retries=0, patience=0, timeout=STATED_SECONDS)
        async with patient, hasty:
            watcher = Watcher(patient)
            await watcher.ready.wait()
            large = await patient.upload(b"".join(bitmap(700, 600)))
            await watcher.hears_of(Described, large.id)
            number = 0
            threads = served.threads()
            for mood in [*moods, None]:
                small = await patient.upload(b"".join(bitmap(8, 8, seed=number)))
                if mood is None:
                    served.objects.close()
                else:
                    served.objects.mood = mood
                numbers = range(number := number + 1, number := number + AT_ONCE)
                new = [b"".join(bitmap(9, 9, seed=one)) + bytes([one]) for one in numbers]
                calls = [lambda data=data: hasty.process_image(data) for data in new]
                await _refused([*calls, lambda: hasty.download(large.id)])
                assert {image.id async for image in hasty.images()} == {large.id, small.id}
                assert served.readiness() == 200
                await hasty.delete(small.id)
                await watcher.hears_of(Deleted, small.id)
                assert served.objects.connections <= MOST
                assert served.threads() <= threads + MORE_THREADS
                if mood is None:
                    await served.objects.open()
                served.objects.mood = ""
                await patient.delete((await patient.upload(new[0])).id)
                assert len(await patient.download(large.id)) == large.size_bytes
            await watcher.ends()


@pytest.mark.parametrize("outage", ["away", "still"])
async def test_without_the_database_calls_end_and_all_is_well_when_it_is_back(
    replica: Replica, shared_settings: dict[str, str], outage: str
) -> None:
    async with _served(replica, shared_settings) as served:
        address, database = served.server.address, served.database
        hasty = AsyncClient(address, retries=0, patience=0, timeout=STATED_SECONDS)
        async with AsyncClient(address, patience=DEADLINE) as patient, hasty:
            watcher = Watcher(patient)
            await watcher.ready.wait()
            image = await patient.upload(b"".join(bitmap(8, 8)))
            await watcher.hears_of(Described, image.id)
            threads, descriptors = served.threads(), served.descriptors()
            if outage == "away":
                database.closed = True
                database.break_all()
            else:
                database.moving.clear()
            new = [b"".join(bitmap(9, 9, seed=one)) for one in range(AT_ONCE)]
            calls = [lambda data=data: hasty.process_image(data) for data in new]
            await _refused([*calls, *[lambda: hasty.image(image.id)] * AT_ONCE])
            await until(lambda: served.readiness() == 503)
            assert served.descriptors() <= descriptors + READERS + 3
            assert served.threads() <= threads + MORE_THREADS
            database.closed = False
            database.moving.set()
            stored = await patient.upload(b"".join(bitmap(10, 9)))
            await until(lambda: served.readiness() == 200)
            assert (await patient.image(image.id)).id == image.id
            await patient.delete(stored.id)
            await watcher.hears_of(Deleted, stored.id)
            await watcher.ends()
