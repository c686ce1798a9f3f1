"""However many images come in at once, their memory is bounded, and all of them go on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from conexiones.adapters.blobs.s3.memory import UNIT, Memory
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.ports.records import ImageRecord
from conexiones.shares import Caller, act_for
from tests.adapters.blobs.contents import MIB, content, fill, sha, whole
from tests.adapters.blobs.s3.restarted import PATIENT


@pytest.fixture
async def narrow(place: BlobPlace, catalog: PostgresCatalog, tmp_path: Path) -> AsyncIterator[S3Store]:
    """A store with 2 MiB for parts of images."""
    folder = tmp_path / "local"
    store = S3Store(place, catalog, memory=3 * MIB, uploads=20, part=MIB, folder=folder, patience=PATIENT)
    await store.open()
    yield store
    await store.close()


async def test_many_large_images_at_once_have_bounded_memory_and_come_in(
    narrow: S3Store,
    catalog: PostgresCatalog,
    image: Callable[..., ImageRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = 0
    take = Memory.take

    def watched(self: Memory, caller: Caller) -> bool:
        nonlocal most
        taken = take(self, caller)
        most = max(most, self.held)
        return taken

    monkeypatch.setattr(Memory, "take", watched)

    async def add(number: int) -> None:
        act_for(Caller(f"client {number % 4}"))
        data = content(2 * MIB + number)
        staged = await fill(narrow.staging.stage(), data, fragment=70_000)
        record = image(f"{number}", digest=sha(data))
        await staged.publish(lambda _: catalog.add_image(record))
        await staged.settle()
        assert await whole(narrow, sha(data)) == data

    await asyncio.gather(*(add(number) for number in range(16)))
    assert 2 * MIB - 4 * UNIT <= most <= 2 * MIB


def test_a_client_leaves_some_for_others() -> None:
    memory = Memory(memory=12 * MIB, uploads=10)
    assert memory.limit == 8 * MIB
    greedy, other = Caller("greedy"), Caller("other")
    taken = 0
    while memory.take(greedy):
        taken += 1
    assert 0 < taken * UNIT < memory.limit
    assert memory.take(other)
    memory.give(greedy, taken)
    memory.give(other, 1)
    assert memory.held == 0
