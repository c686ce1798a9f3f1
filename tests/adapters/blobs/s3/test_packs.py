"""Small blobs that wait become one object, and none is left waiting."""

import asyncio
from typing import cast

import pytest

from conexiones.adapters.blobs.s3 import packs as packing
from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.packs import Packs
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.errors import StorageUnavailable
from tests.support.waiting import DEADLINE, until


class HeldObjects:
    """Takes an object when it is told to."""

    def __init__(self) -> None:
        self.held: list[asyncio.Future[None]] = []

    def name(self, kind: str) -> str:
        return f"{kind}/{len(self.held)}"

    async def put(self, name: str, data: bytes) -> None:
        self.held.append(asyncio.get_running_loop().create_future())
        await self.held[-1]


async def test_one_that_comes_when_all_others_end_at_once_is_put() -> None:
    objects = HeldObjects()
    packs = Packs(cast(Objects, objects))
    first = asyncio.create_task(packs.add(b"1"))
    await until(lambda: len(objects.held) == 1)
    second = asyncio.create_task(packs.add(b"2"))
    await until(lambda: len(objects.held) == 2)
    for put in objects.held:
        put.set_result(None)
    third = asyncio.create_task(packs.add(b"3"))  # in the turn of the loop in which both end
    await until(lambda: len(objects.held) == 3)
    objects.held[2].set_result(None)
    async with asyncio.timeout(DEADLINE):
        found = await asyncio.gather(first, second, third)
    assert [spot.object for spot in found] == ["packs/0", "packs/1", "packs/2"]


async def test_whoever_waits_for_a_store_that_stands_still_hears_of_it_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, "PACK", 10)
    objects = HeldObjects()
    packs = Packs(cast(Objects, objects), patience=Patience(request=0.1))
    waiting = [asyncio.create_task(packs.add(b"12345")) for _ in range(100)]
    async with asyncio.timeout(DEADLINE / 2):
        await asyncio.wait(waiting)
    assert {type(task.exception()) for task in waiting} == {StorageUnavailable}
    assert len(objects.held) == 2
    for put in objects.held:
        put.set_result(None)
    last = asyncio.create_task(packs.add(b"1"))
    await until(lambda: len(objects.held) == 3)
    objects.held[2].set_result(None)
    assert (await last).object == "packs/2", "what nobody waits for any more is not put"
