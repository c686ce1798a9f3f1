"""Servers die at every step. What was acknowledged stays, and nothing of the rest after the sweeps."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.patience import Graces
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.errors import BlobCorrupt, StorageUnavailable, WriterFenced
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.blobs.contents import MIB, content, everything, fill, sha, whole
from tests.adapters.blobs.s3.restarted import AT_ONCE, RestartedS3Store, objects_at
from tests.support.lengths import examples

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]
NewStore = Callable[..., RestartedS3Store]

SERVERS = 5
ACTIONS = 24
"""Of each server."""

GRACES = Graces(dead=0.05, moved=0.3, pack=5, part=5, late=1)
SMALL = [content(2000 + n) for n in range(6)]
LARGE = [content(5 * MIB + n) for n in range(2)]
LONG = content(3 * MIB, "upload")


class Died(Exception):
    """The server was killed."""


_FATE: ContextVar[random.Random | None] = ContextVar("fate", default=None)


async def pass_on(fate: random.Random | None) -> None:
    """Others come in between, or this server dies here."""
    if fate is not None:
        if fate.random() < 0.3:
            await asyncio.sleep(fate.random() * 0.02)
        if fate.random() < 0.015:
            raise Died


def mortal(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same, before or after which those servers may die that have a fate."""

    async def done(*given: Any, **named: Any) -> Any:
        await pass_on(_FATE.get())
        found = await work(*given, **named)
        await pass_on(_FATE.get())
        return found

    return done


class Server:
    """One of several that share all. `acknowledged` are the images that are there, `doubted` those that may
    have been deleted."""

    acknowledged: dict[str, bytes]
    doubted: set[str]

    def __init__(
        self, new_store: NewStore, catalog: PostgresCatalog, image: Make, upload: Upload, seed: int
    ) -> None:
        self.new_store = new_store
        self.catalog = catalog
        self.image = image
        self.upload = upload
        self.rng = random.Random(seed)
        self.name = f"s{seed}"
        self.stores: list[RestartedS3Store] = []
        self.deaths = 0

    async def live(self) -> None:
        _FATE.set(self.rng)
        actions = [self.store, self.store, self.delete, self.delete, self.go_on, self.sweep, self.sweep]
        actions.append(self.read)
        for number in range(ACTIONS):
            action = self.rng.choice(actions)
            try:
                if not self.stores:
                    self.stores.append(self.new_store(graces=GRACES))
                    await self.stores[-1].open()
                await action(f"{self.name}-{number}")
            except Died:
                self.deaths += 1
                old = self.stores.pop()
                await asyncio.shield(old.close())
                await sweeper_gone(self.catalog)
            except (StorageUnavailable, WriterFenced):
                pass  # refused: it came too late, or another one was before
        for store in self.stores:
            await store.close()

    async def store(self, name: str) -> None:
        """Several at once, so that they share packs."""
        adding = [self.add(f"{name}-{number}") for number in range(self.rng.randint(1, 4))]
        outcomes = await asyncio.gather(*adding, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def add(self, name: str) -> None:
        data = self.rng.choice(SMALL * 3 + LARGE)
        record = self.image(name, digest=sha(data), size=len(data))
        staged = await fill(self.stores[-1].staging.stage(), data)
        await staged.publish(lambda _: self.catalog.add_image(record))
        self.acknowledged[name] = data
        await staged.settle()

    async def delete(self, _: str) -> None:
        if self.acknowledged:
            data = self.acknowledged[self.rng.choice(list(self.acknowledged))]
            for name in [name for name, has in self.acknowledged.items() if has is data]:
                self.doubted.add(name)
                self.acknowledged.pop(name, None)
                async with self.stores[-1].blobs.removing(sha(data)):
                    await self.catalog.delete_image(name, now=1)

    async def go_on(self, name: str) -> None:
        """With an upload of any server; the newest writer wins."""
        upload_id = self.rng.choice(["a", "b", "c"])
        await self.catalog.create_upload(self.upload(upload_id))
        row = await self.catalog.claim_upload(upload_id, now=2)
        assert row is not None
        if row.state != "OPEN":
            return
        staging = self.stores[-1].staging
        with suppress(RuntimeError):  # it is held by an action that died
            staged = await staging.resume(upload_id, row.committed_size)
            try:
                for _ in range(self.rng.randint(1, 3)):
                    size = self.rng.choice([3000, 400_000, 2_500_000])
                    await staged.write(LONG[staged.size : staged.size + size])
                    await staged.commit(
                        lambda size: self.catalog.advance_upload(
                            upload_id, epoch=row.writer_epoch, size=size, now=2
                        )
                    )
                assert await staged.inspect(everything) == LONG[: staged.size]
                if staged.size == len(LONG):
                    record = self.image(name, digest=sha(LONG), size=len(LONG))
                    ended = await staged.publish(lambda digest: self.end(upload_id, digest, record))
                    if ended is not None and ended.image_id == name:
                        self.acknowledged[name] = LONG
                        await staged.settle()
            finally:
                await staged.release()

    async def end(self, upload_id: str, digest: bytes, record: ImageRecord) -> UploadRecord | None:
        assert digest == record.digest
        return await self.catalog.end_upload(upload_id, state="READY", image=record, failure=None, now=3)

    async def sweep(self, _: str) -> None:
        await self.stores[-1].sweep()

    async def read(self, _: str) -> None:
        if self.acknowledged:
            name, data = self.rng.choice(list(self.acknowledged.items()))
            try:
                assert await whole(self.stores[-1], sha(data)) == data
            except BlobCorrupt:
                assert name in self.doubted


async def sweeper_gone(catalog: PostgresCatalog) -> None:
    """As when the time of a sweeper that died is over."""

    async def let_others_sweep(transaction: Transaction) -> None:
        await transaction.connection.execute("UPDATE sweeping SET until = '-infinity'")

    fate = _FATE.set(None)
    await catalog.write((), let_others_sweep)
    _FATE.reset(fate)


@pytest.mark.parametrize("seed", range(examples(2)))
async def test_nothing_is_lost_and_nothing_is_left(
    new_store: NewStore,
    catalog: PostgresCatalog,
    image: Make,
    upload: Upload,
    place: BlobPlace,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    for owner, name in ((Objects, "put"), (Objects, "get"), (Objects, "delete"), (PostgresCatalog, "write")):
        monkeypatch.setattr(owner, name, mortal(getattr(owner, name)))
    Server.acknowledged, Server.doubted = {}, set()
    servers = [
        Server(new_store, catalog, image, upload, seed=seed * SERVERS + number) for number in range(SERVERS)
    ]
    await asyncio.gather(*(server.live() for server in servers))
    assert sum(server.deaths for server in servers)

    await sweeper_gone(catalog)
    store = new_store(graces=AT_ONCE)
    await store.open()
    for name, data in Server.acknowledged.items():
        assert await catalog.get_image(name) is not None
        assert await whole(store, sha(data)) == data
    for digest in {sha(data) for data in [*SMALL, *LARGE, LONG]}:
        if await catalog.has_digest(digest):
            assert sum([size async for size in store.blobs.check(digest)])
    for name in ("a", "b", "c"):
        row = await catalog.get_upload(name)
        if row is not None and row.state == "OPEN":
            staged = await store.staging.resume(name, row.committed_size)
            assert not row.committed_size or await staged.inspect(everything) == LONG[: row.committed_size]
            await staged.release()
    while await is_loose(catalog):
        assert await store.sweep()
    assert await objects_at(place) == await named(catalog)
    await store.close()


async def is_loose(catalog: PostgresCatalog) -> bool:
    """Whether the sweeper has to look at any object, now or after a while."""

    async def ask(connection: Any) -> bool:
        return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM loose)"))

    return await catalog.read(ask)


async def named(catalog: PostgresCatalog) -> list[str]:
    """The objects that rows name."""

    async def ask(connection: Any) -> list[str]:
        rows = await connection.fetch("SELECT object FROM places UNION SELECT object FROM extents")
        return sorted(row["object"] for row in rows)

    return await catalog.read(ask)
