"""A load on three servers while they, their database and their object store are killed and frozen in turn."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import count

from conexiones import AsyncClient
from conexiones.errors import ConexionesError
from conexiones.sdk import Deleted, Described, Event, Resync, Stored
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.postgres import Engine
from tests.support.seaweed import ObjectServer
from tests.support.waiting import DEADLINE

WORKERS = 4
FROZEN_SECONDS = 1.5
PROGRESS = 6
"""Acknowledgements between two faults."""


Line = tuple[str, str]
"""What happened, and the id of the image."""


@dataclass
class Acknowledged:
    """What clients were told. `stored` has bytes by the id of the image; `unsure` are the ids of images of
    which it is not known whether they were deleted."""

    stored: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def kept(self) -> dict[str, bytes]:
        gone = self.deleted | self.unsure
        return {id: data for id, data in self.stored.items() if id not in gone}

    async def note(self) -> None:
        async with self.more:
            self.more.notify_all()

    async def progress(self) -> None:
        """Waits until more was acknowledged."""
        enough = len(self.stored) + PROGRESS
        async with asyncio.timeout(DEADLINE), self.more:
            await self.more.wait_for(lambda: len(self.stored) >= enough)


class Load:
    """Clients of all servers, which store and delete images at random, and one for each that watches."""

    def __init__(self, servers: list[Server], chance: random.Random) -> None:
        self.servers = servers
        self.acknowledged = Acknowledged()
        self.heard: list[list[Event]] = [[] for _ in servers]
        self._chance = chance
        self._numbers = count()
        self._last = ""  # the image that was stored last

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ends when whatever is under way has been answered."""
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(AsyncClient(server.address, patience=DEADLINE))
                for server in self.servers
            ]
            watching = []
            for client, heard in zip(clients, self.heard, strict=True):
                ready = asyncio.Event()
                watching.append(asyncio.create_task(self._watch(client, heard, ready)))
                await ready.wait()
            going = asyncio.Event()
            going.set()
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(self._work(clients, going))
                try:
                    yield
                finally:
                    going.clear()
            self._last = await self._store(self._chance.choice(clients))
            for heard in self.heard:
                await self._told(heard)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _watch(self, client: AsyncClient, heard: list[Event], ready: asyncio.Event) -> None:
        async for event in client.watch(ready=lambda _: ready.set()):
            heard.append(event)
            await self.acknowledged.note()

    async def _told(self, heard: list[Event]) -> None:
        """Waits until a watcher has heard of the last image."""
        async with asyncio.timeout(DEADLINE), self.acknowledged.more:
            await self.acknowledged.more.wait_for(
                lambda: any(stored_id(event) == self._last for event in heard)
            )

    async def _work(self, clients: list[AsyncClient], going: asyncio.Event) -> None:
        while going.is_set():
            client = self._chance.choice(clients)
            with suppress(ConexionesError):
                if self._chance.random() < 0.2 and self.acknowledged.kept:
                    await self._delete(client, self._chance.choice(list(self.acknowledged.kept)))
                else:
                    await self._store(client)

    async def _store(self, client: AsyncClient) -> str:
        """Stores one of few contents, so that equal bytes come and go, or a larger one in parts."""
        number = next(self._numbers)
        if self._chance.random() < 0.2:
            data = b"".join(bitmap(900, 700, seed=number % 5))  # 1.9 MB
        else:
            data = b"".join(bitmap(8, 8, seed=number % 7))
        id = (await client.upload(data)).id
        self.acknowledged.stored[id] = data
        await self.acknowledged.note()
        return id

    async def _delete(self, client: AsyncClient, id: str) -> None:
        self.acknowledged.unsure.add(id)
        await client.delete(id)
        self.acknowledged.deleted.add(id)

    async def check(self) -> None:
        """Whether everything that was acknowledged is so, at every server."""
        acknowledged = self.acknowledged
        for server in self.servers:
            async with AsyncClient(server.address) as client:
                there = [image.id async for image in client.images()]
                assert set(acknowledged.kept) <= set(there)
                assert not acknowledged.deleted & set(there)
                for id in there:
                    data = await client.download(id)
                    assert acknowledged.stored.get(id, data) == data
        self._check_events()

    def _check_events(self) -> None:
        # Of an image that was deleted before somebody was told of it, only that is told.
        gone = self.acknowledged.deleted | self.acknowledged.unsure
        lines = [
            [
                line(event)
                for event in heard
                if not isinstance(event, Described) and stored_id(event) not in gone
            ]
            for heard in self.heard
        ]
        # What nobody waited for any more may have come about behind it, and not all have heard of it.
        lines = [told[: told.index(("Stored", self._last)) + 1] for told in lines]
        for told in lines:
            apart = [f"{mark}{kind} {id}" for mark, (kind, id) in _difference(lines[0], told)]
            assert not apart, f"all hear the same, in the same order: {apart}"
            assert len(told) == len(set(told)), "and everything once"
        assert not any(isinstance(event, Resync) for heard in self.heard for event in heard)
        assert {id for kind, id in lines[0] if kind == "Stored"} >= set(self.acknowledged.kept)
        assert {id for kind, id in lines[0] if kind == "Deleted"} >= self.acknowledged.deleted


def line(event: Event) -> Line:
    """What happened to which image."""
    if isinstance(event, Stored | Described):
        return type(event).__name__, event.image.id
    return type(event).__name__, event.id if isinstance(event, Deleted) else ""


def _difference(
    one: list[tuple[str, str]], other: list[tuple[str, str]]
) -> list[tuple[str, tuple[str, str]]]:
    """What only one of two watchers was told, in the order in which it was."""
    found = []
    for tag, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if tag != "equal":
            found += [("-", told) for told in one[a:b]] + [("+", told) for told in other[c:d]]
    return found


def stored_id(event: Event) -> str:
    return event.image.id if isinstance(event, Stored) else ""


def faults(
    servers: list[Server], engine: Engine, objects: ObjectServer
) -> dict[str, Callable[[random.Random], None]]:
    """What goes wrong, and is well again when it returns. Each blocks."""

    def kill_server(chance: random.Random) -> None:
        server = chance.choice(servers)
        server.kill()
        server.start()

    def kill_database(chance: random.Random) -> None:
        engine.kill()
        engine.start()

    def kill_objects(chance: random.Random) -> None:
        objects.kill()
        objects.start()

    return {
        "a server is killed": kill_server,
        "the database is killed": kill_database,
        "the object store is killed": kill_objects,
        "the database stands still": lambda chance: _still(engine),
        "the object store stands still": lambda chance: _still(objects),
    }


def _still(engine: Engine | ObjectServer) -> None:
    with _frozen(engine):
        threading.Event().wait(FROZEN_SECONDS)  # that it stands still for so long is what is tried


@contextmanager
def _frozen(engine: Engine | ObjectServer) -> Iterator[None]:
    engine.freeze()
    try:
        yield
    finally:
        engine.thaw()
