"""Servers that share everything look like one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress

import pytest

from conexiones import AsyncClient
from conexiones.domain.duties import all_duties
from conexiones.errors import ConexionesError, TokenRevoked
from conexiones.sdk import Described, Event, Stored
from conexiones.testing import Server
from conexiones.upkeep.first_token import first_token
from tests.replicas.conftest import Replica
from tests.support.bitmaps import bitmap
from tests.support.scrapes import scraped
from tests.support.waiting import DEADLINE, until


@pytest.fixture
def token(shared_settings: dict[str, str]) -> str:
    """That of the administrator of all servers, made before any of them has started."""
    return asyncio.run(first_token(shared_settings["database"]))[1]


class Watcher:
    """Hears of events at a server, in a thread: reconnecting is up to the client. `until` waits for one."""

    def __init__(self, server: Server, token: str) -> None:
        self.events: list[Event] = []
        self.error: Exception | None = None
        self._came = threading.Condition()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(server, token))
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    def _watch(self, server: Server, token: str) -> None:
        with server.client(token=token, retries=0, patience=0.1) as client:
            try:
                for event in client.watch(ready=lambda _: self._ready.set()):
                    with self._came:
                        self.events.append(event)
                        self._came.notify_all()
            except ConexionesError as error:
                self.error = error

    def stored(self) -> list[str]:
        """The ids of images that were stored, in the order in which they were told."""
        return [event.image.id for event in self.events if isinstance(event, Stored)]

    def wait_for(self, ids: set[str]) -> None:
        with self._came:
            assert self._came.wait_for(lambda: ids <= set(self.stored()), DEADLINE)

    def ends(self) -> Exception | None:
        """How it has ended."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return self.error


def test_what_one_server_stores_all_have(replica: Replica, token: str, photograph: bytes) -> None:
    one, other = replica(auth="required"), replica(auth="required")
    with one.client(token=token) as here, other.client(token=token) as there:
        small = here.upload(b"".join(bitmap(3, 2)))
        large = here.upload(photograph)
        for image in (small, large):
            assert there.image(image.id).sha256 == image.sha256
        assert there.download(large.id) == photograph
        assert there.status().images == 2
        there.delete(small.id)
        assert [image.id for image in here.images()] == [large.id]
    assert "administrator" not in one.log + other.log


def test_each_image_is_described_by_one_server(replica: Replica) -> None:
    servers = [replica(auth="none", admin_address="127.0.0.1:0") for _ in range(2)]

    def figures(name: str) -> list[float]:
        families = [scraped(server)[name] for server in servers]
        return [sum(sample.value for sample in family.samples) for family in families]

    asyncio.run(until(lambda: max(figures("conexiones_duties")) < len(all_duties())))
    with servers[0].client() as here, servers[1].client() as there:
        described = set[str]()
        stored = set[str]()
        ready = threading.Event()

        def watch() -> None:
            for event in there.watch(ready=lambda _: ready.set()):
                if isinstance(event, Described):
                    described.add(event.image.id)
                    if len(described) == 20:
                        return

        with ThreadPoolExecutor() as pool:
            watching = pool.submit(watch)
            assert ready.wait(DEADLINE)
            for lap in range(20):
                stored.add((here, there)[lap % 2].upload(b"".join(bitmap(8, 8, seed=lap))).id)
            watching.result(DEADLINE)
    assert described == stored
    # A server counts after the event. While duties change hands, one may be described again.
    asyncio.run(until(lambda: sum(figures("conexiones_describing_described")) >= len(stored)))
    assert sum(figures("conexiones_describing_described")) < 1.5 * len(stored)


def test_access_is_that_of_all_servers(replica: Replica, token: str) -> None:
    one, other = replica(auth="required"), replica(auth="required")
    with one.client(token=token) as here, other.client(token=token) as there:
        for lap in range(5):  # at once, wherever it is shown
            made = here.create_token(f"t{lap}", ["read"])
            with other.client(token=made.secret) as client:
                access = client.access()
                assert access is not None
                assert access.subject == f"token:t{lap}"
        watcher = Watcher(other, made.secret)
        here.revoke_token(made.token.id)
        assert isinstance(watcher.ends(), TokenRevoked)
        listed = {one.id for one in there.tokens()}
        assert made.token.id not in listed
        assert listed == {one.id for one in here.tokens()}
        again = there.create_token("late", ["read"])
        here.revoke_token(again.token.id)


async def _store_until_killed(servers: list[Server], token: str) -> dict[str, bytes]:
    """Stores images at servers, which are killed meanwhile. Gives those that were acknowledged, by id."""
    stored: dict[str, bytes] = {}
    enough = asyncio.Event()

    async def store(client: AsyncClient, number: int) -> None:
        with suppress(ConexionesError):  # its server was killed
            for lap in range(1000):
                data = b"".join(bitmap(8, 8, seed=1000 * number + lap))
                stored[(await client.upload(data)).id] = data
                if len(stored) > 20:
                    enough.set()

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for number, server in enumerate(servers):
            client = AsyncClient(server.address, token=token, retries=0, patience=0.1)
            group.create_task(store(await stack.enter_async_context(client), number))
        await enough.wait()
        for server in servers:
            await asyncio.to_thread(server.kill)
    return stored


def test_what_was_acknowledged_survives_the_death_of_servers(replica: Replica, token: str) -> None:
    """Every image is there, and was told of once, in one order for all who watch."""
    *killed, last = [replica(auth="required") for _ in range(3)]
    watchers = [Watcher(last, token) for _ in range(2)]
    stored = asyncio.run(_store_until_killed(killed, token))
    for watcher in watchers:
        watcher.wait_for(set(stored))
    with last.client(token=token) as client:
        there = {image.id for image in client.images()}
        assert set(stored) <= there
        for id, data in stored.items():
            assert client.download(id) == data
        for watcher in watchers:  # also what was stored and not acknowledged
            watcher.wait_for(there)
            assert len(watcher.stored()) == len(there)
    assert watchers[0].stored() == watchers[1].stored()
    killed[0].start()
    with killed[0].client(token=token) as client:
        assert {image.id for image in client.images()} == there
    last.stop()
    assert all(watcher.ends() for watcher in watchers), "however they hear of it"
