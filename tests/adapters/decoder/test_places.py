"""Places at the decoders: whose turn it is, what large work may not have, and that every wait ends."""

import asyncio

import pytest

from conexiones.adapters.decoder.places import Place, Places
from conexiones.errors import ServerBusy, ServerDraining
from conexiones.shares import Caller
from tests.support.waiting import idle

ANA, BEA, EVA = (Caller(name, "1") for name in ("ana", "bea", "eva"))


class Line:
    """Calls that wait for places, and those that have got one, in this order."""

    def __init__(self, workers: int, *, wait_seconds: float | None = None) -> None:
        self.places = Places(workers, wait_seconds=wait_seconds)
        self.got: list[str] = []
        self.held: dict[str, Place] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, caller: Caller, *names: str, large: bool = False) -> None:
        async def take(name: str) -> None:
            self.held[name] = await self.places.take(caller, large=large)
            self.got.append(name)

        for name in names:
            self.tasks[name] = asyncio.create_task(take(name))
        await idle()

    async def done(self, name: str) -> None:
        self.places.give(self.held.pop(name))
        await idle()

    async def rest(self) -> list[str]:
        """Lets all go on to the end, each as soon as the one before is done. Gives them in their order."""
        before = len(self.got)
        while self.held:
            await self.done(next(iter(self.held)))
        return self.got[before:]


async def test_clients_take_turns_and_so_do_their_connections() -> None:
    line = Line(1)
    await line.come(ANA, "ana 1", "ana 2", "ana 3")
    await line.come(Caller("ana", "2"), "ana on 2")
    await line.come(BEA, "bea")
    assert line.got == ["ana 1"]
    assert await line.rest() == ["bea", "ana on 2", "ana 2", "ana 3"]
    await line.come(EVA, "1", "2")
    await line.come(ANA, "3")
    await line.come(BEA, "4")
    assert await line.rest() == ["4", "3", "2"]


async def test_one_of_two_hundred_is_before_another_client() -> None:
    line = Line(2)
    await line.come(ANA, *(f"ana {number}" for number in range(200)), large=True)
    await line.come(BEA, "bea", large=True)
    assert line.got == ["ana 0"]
    await line.done("ana 0")
    assert line.got == ["ana 0", "bea"]


async def test_a_place_is_kept_for_small_work() -> None:
    line = Line(2)
    for caller in (ANA, BEA, EVA):
        await line.come(caller, f"large of {caller.client}", large=True)
    await line.come(ANA, "small")
    assert line.got == ["large of ana", "small"]
    await line.done("small")
    await line.come(EVA, "other")
    assert line.got == ["large of ana", "small", "other"]


async def test_small_work_may_have_all_places() -> None:
    line = Line(3)
    await line.come(ANA, "1", "2", "3", "4")
    assert line.got == ["1", "2", "3"]


async def test_large_work_leaves_a_place_to_the_large_work_of_other_clients() -> None:
    line = Line(4)
    await line.come(ANA, "1", "2", "3", "4", large=True)
    assert line.got == ["1", "2"]
    await line.come(BEA, "bea", large=True)
    assert line.got == ["1", "2", "bea"]
    assert await line.rest() == ["3", "4"]


async def test_a_flood_of_small_work_does_not_stop_large_work() -> None:
    line = Line(2)
    await line.come(ANA, *map(str, range(20)))
    await line.come(BEA, "large", large=True)
    assert line.got == ["0", "1"]
    await line.done("0")
    assert line.got == ["0", "1", "large"]


async def test_one_worker_does_small_work_for_as_long_as_large_work_took() -> None:
    line = Line(1)
    await line.come(ANA, "large", large=True)
    await line.come(BEA, "next large", large=True)
    await line.come(EVA, "1", "2", "3")
    line.held["large"].since -= 3600
    await line.done("large")
    assert await line.rest() == ["2", "3", "next large"]


async def test_small_work_that_outgrows_its_place() -> None:
    line = Line(2)
    await line.come(ANA, "1", "2")
    assert line.places.outgrow(line.held["1"])
    assert not line.places.outgrow(line.held["2"])
    await line.come(BEA, "large", large=True)
    await line.done("2")
    assert line.got == ["1", "2"]  # one large piece of work is going on
    await line.done("1")
    assert line.got == ["1", "2", "large"]


async def test_who_had_the_workers_for_long_is_behind_others() -> None:
    line = Line(1)
    await line.come(ANA, "1", "2", "3")
    line.held["1"].since -= 5
    await line.done("1")
    await line.come(BEA, *map(str, range(4, 9)))
    assert await line.rest() == ["4", "5", "6", "7", "8", "3"]


async def test_small_work_of_a_client_that_was_misjudged_counts_as_large() -> None:
    """So it never has the last worker, however much of it waits already."""
    line = Line(2)
    await line.come(ANA, *map(str, range(10)))
    line.places.misjudged(line.held["0"])
    await line.done("0")
    assert line.got == ["0", "1", "2"]
    assert line.held["2"].large
    await line.done("1")
    assert line.got == ["0", "1", "2"]
    await line.come(BEA, "bea")
    assert line.got[3:] == ["bea"]


async def test_a_wait_ends() -> None:
    line = Line(1, wait_seconds=0.05)
    await line.come(ANA, "first")
    await line.come(BEA, "second")
    with pytest.raises(ServerBusy):
        await line.tasks["second"]
    assert len(line.places) == 0
    await line.done("first")
    await line.come(BEA, "third")
    assert line.got == ["first", "third"]


async def test_one_that_leaves_lets_others_go_on() -> None:
    line = Line(2)
    await line.come(ANA, "1", "2")
    await line.come(BEA, "3")
    await line.come(EVA, "4")
    line.tasks["3"].cancel()
    await line.done("1")
    assert line.got == ["1", "2", "4"]


async def test_a_place_that_comes_at_the_same_time_as_the_cancellation_is_not_lost() -> None:
    line = Line(1)
    await line.come(ANA, "1")
    await line.come(BEA, "2")
    line.places.give(line.held.pop("1"))
    line.tasks["2"].cancel()
    await line.come(EVA, "3")
    assert line.got == ["1", "3"]


async def test_one_that_leaves_at_the_end() -> None:
    line = Line(1)
    await line.come(ANA, "1", "2")
    line.tasks["2"].cancel()
    line.places.close()
    with pytest.raises(asyncio.CancelledError):
        await line.tasks["2"]
    assert len(line.places) == 0


async def test_those_who_wait_are_sent_away_at_the_end() -> None:
    line = Line(1)
    await line.come(ANA, "1", "2")
    await line.come(BEA, "3", large=True)
    line.places.close()
    for name in ("2", "3"):
        with pytest.raises(ServerDraining):
            await line.tasks[name]
