"""Clients in Python that store, read, delete and watch images at random."""

import asyncio
import hashlib
import io
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import cast

from conexiones import AsyncClient, errors
from conexiones.errors import ConexionesError
from conexiones.sdk import Deleted, Described, Event, NewImage, NoProgress, Quota, Rendition, Stored
from conexiones.testing import Server
from tests.replicas.faults.arena import Arena
from tests.replicas.faults.node_load import NodeLoad
from tests.replicas.faults.told import Line, Told
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

PATIENCE = DEADLINE
TIMEOUT = 4.0
"""Of a call, so that a server that stands still is left for another one."""

CHUNK = 200_000
ROOM = 40
"""Images that the first owner may have: it hears of its quota at times."""

OWNERS = ("ana", "eva", "node")
BUSY = (errors.Unavailable, errors.DeadlineExceeded, NoProgress)
"""What a client may be told while something is away for longer than it waits."""


def contents() -> dict[str, bytes]:
    """Few, so that equal bytes come and go: icons, and scans that need several calls."""
    small = {f"icon {n}": b"".join(bitmap(8 + n, 8, seed=n)) for n in range(6)}
    large = {f"scan {n}": b"".join(bitmap(700, 560 + 90 * n, seed=n)) for n in range(3)}  # 1.2 to 1.6 MB
    return small | large


class Load:
    """Goes on over many runs: `begin` and `end` are the bounds of one. `workers` is how many clients work at
    a time in Python; in Node there is one less."""

    def __init__(self, arena: Arena, folder: Path, node: str, workers: int) -> None:
        self.arena = arena
        self.workers = workers
        self.told = Told()
        self.contents = contents()
        for name, data in self.contents.items():
            (folder / name).write_bytes(data)
        self._node = NodeLoad(node, folder, self.told)
        self._numbers = count()
        self._tokens: dict[str, str] = {}
        self.read: dict[Server, int] = {}
        """How much of the log of each server was looked at."""
        self.before = 0
        """Images that were acknowledged before this run."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Makes the owners, and has everybody watch."""
        async with self.arena.client(self.arena.replicas[0]) as admin:
            for owner in OWNERS:
                quota = Quota(stored_images=ROOM) if owner == OWNERS[0] else None
                made = await admin.create_token(owner, ["read", "write", "delete"], own=True, quota=quota)
                self._tokens[owner] = made.secret
        ready = [asyncio.Event() for _ in range(2)]
        watching = [
            asyncio.create_task(self._watch("Python", ready[0])),
            asyncio.create_task(self._watch("Python, again and again", ready[1], events=15)),
        ]
        try:
            async with self._node.open(self.arena.address, self.arena.token, self._tokens[OWNERS[-1]]):
                for one in ready:
                    async with asyncio.timeout(DEADLINE):
                        await one.wait()
                yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def begin(self, seed: int) -> None:
        self.before = len(self.told.stored)
        self._going = asyncio.Event()
        self._going.set()
        self._workers = [
            asyncio.create_task(self._work(random.Random(f"{seed} {number}"), OWNERS[number % 2]))
            for number in range(self.workers)
        ]
        await self._node.begin(seed, self.workers - 1)

    async def end(self) -> None:
        """When whatever is under way has been answered."""
        self._going.clear()
        await asyncio.gather(*self._workers)
        await self._node.end()

    async def _watch(self, name: str, ready: asyncio.Event, events: int = 0) -> None:
        """With `events`, as a client that ends after so many, and goes on as another one."""
        heard = self.told.heard.setdefault(name, [])
        token = None
        while True:
            client = self._client(self.arena.token)
            watching = client.watch(token, ready=lambda _: ready.set())
            async with client, aclosing(cast("AsyncGenerator[Event, None]", watching)) as happening:
                left = events
                async for event in happening:
                    heard.append(line(event))
                    token = event.token
                    await self.told.note()
                    left -= 1
                    if not left:
                        break

    async def _work(self, chance: random.Random, owner: str) -> None:
        client = self._client(self._tokens[owner])
        works: list[tuple[str, Callable[[AsyncClient, random.Random, str], Awaitable[None]], int]] = [
            ("upload", self._upload, 5),
            ("stream", self._stream, 2),
            ("scan", self._scan, 3),
            ("delete", self._delete, 4),
            ("read", self._read, 3),
            ("rendition", self._rendition, 1),
        ]
        async with client:
            while self._going.is_set():
                ((what, work, _),) = chance.choices(works, [often for _, _, often in works])
                try:
                    await work(client, chance, owner)
                except BUSY as error:
                    self.told.failed[f"{what}: {error.reason or type(error).__name__}"] += 1
                except errors.QuotaExceeded:
                    await self.told.did("quota")
                except (ConexionesError, AssertionError) as error:
                    self.told.wrong.append(f"{what}: {error!r}")
                    await self.told.note()
                    return
                await asyncio.sleep(0)

    def _client(self, token: str) -> AsyncClient:
        return AsyncClient(self.arena.address, token=token, patience=PATIENCE, timeout=TIMEOUT)

    def _new_name(self) -> str:
        """That of one image. Were it stored twice, there would be two of that name."""
        return f"p{next(self._numbers)}.bmp"

    async def _upload(self, client: AsyncClient, chance: random.Random, owner: str) -> None:
        content = f"icon {chance.randrange(6)}"
        image = await client.upload(self.contents[content], name=self._new_name())
        await self.told.store(image.id, content, owner, "Python upload")

    async def _stream(self, client: AsyncClient, chance: random.Random, owner: str) -> None:
        wanted = [f"icon {chance.randrange(6)}" for _ in range(8)]
        images = [NewImage(source=self.contents[name], name=self._new_name()) for name in wanted]
        async with aclosing(client.upload_many(images)) as outcomes:
            async for one in outcomes:
                if one.error:
                    raise one.error
                assert one.image
                await self.told.store(one.image.id, wanted[one.index], owner, "Python stream")

    async def _scan(self, client: AsyncClient, chance: random.Random, owner: str) -> None:
        content = f"scan {chance.randrange(3)}"
        sizes: list[int] = []
        source = io.BytesIO(self.contents[content])
        image = await client.upload(
            source,
            name=self._new_name(),
            chunk_size=CHUNK,
            progress=lambda done, _: sizes.append(done),
        )
        assert sizes == sorted(sizes), f"what was acknowledged was taken back: {sizes}"
        await self.told.store(image.id, content, owner, "Python scan")

    async def _delete(self, client: AsyncClient, chance: random.Random, owner: str) -> None:
        if kept := self.told.kept(owner):
            id = chance.choice(kept)
            self.told.unsure.add(id)
            await client.delete(id)
            self.told.deleted.add(id)
            await self.told.did("delete")

    async def _read(self, client: AsyncClient, chance: random.Random, owner: str) -> None:
        if kept := self.told.kept(owner):
            id = chance.choice(kept)
            try:
                data = await client.download(id)
            except errors.ImageNotFound:
                assert id in self.told.unsure, f"{id} is not there"
                return
            assert data == self.contents[self.told.stored[id]], f"{id} has other bytes"
            await self.told.did("read")

    async def _rendition(self, client: AsyncClient, chance: random.Random, owner: str) -> None:
        if kept := self.told.kept(owner):
            id = chance.choice(kept)
            target = io.BytesIO()
            try:
                made = await client.download(id, target, rendition=Rendition(width=5 + chance.randrange(2)))
            except errors.ImageNotFound:
                assert id in self.told.unsure, f"{id} is not there"
                return
            assert hashlib.sha256(target.getvalue()).digest() == made.sha256
            await self.told.did("rendition")


def line(event: Event) -> Line:
    """What happened to which image."""
    if isinstance(event, Stored | Described):
        return type(event).__name__.upper(), event.image.id
    return type(event).__name__.upper(), event.id if isinstance(event, Deleted) else ""
