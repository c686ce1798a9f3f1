"""How large work is, and work that several calls wait for: in whose turn it is done, and when it stops."""

import asyncio
from contextlib import suppress
from typing import cast

import pytest

from conexiones.adapters.decoder.places import Place, Places
from conexiones.domain.decoding import Flights, is_large
from conexiones.errors import ServerBusy
from conexiones.image_formats import ImageFormat
from conexiones.ports.decoder import Turn
from conexiones.ports.records import ImageRecord, Recipe, RenditionFormat
from conexiones.shares import SERVER, Caller
from tests.support.waiting import DEADLINE, idle

ANA, BEA, EVA = (Caller(name, "1") for name in ("ana", "bea", "eva"))


def image(format: ImageFormat, width: int, height: int, frames: int = 1) -> ImageRecord:
    return ImageRecord(
        id="1",
        digest=b"",
        size=1,
        format=format,
        width=width,
        height=height,
        frames=frames,
        user=None,
        create_time=0,
    )


def recipe(format: RenditionFormat, width: int = 0, height: int = 0, *, animated: bool = False) -> Recipe:
    return Recipe(
        width=width,
        height=height,
        fit="COVER" if width and height else "INSIDE",
        format=format,
        quality=80,
        animated=animated,
        keep_profile=False,
    )


@pytest.mark.parametrize(
    ("work", "large"),
    [
        ((image("JPEG", 4000, 3000), None), False),
        ((image("JPEG", 4000, 3000), recipe("WEBP", 640)), False),
        ((image("JPEG", 3000, 4000), recipe("AVIF", 640)), False),
        ((image("JPEG", 4000, 3000), recipe("JPEG")), True),
        ((image("JPEG", 4000, 3000), recipe("AVIF", 1200)), True),
        ((image("PNG", 100, 100), recipe("PNG", 8000, 8000)), True),
        ((image("AVIF", 4000, 3000), None), True),
        ((image("PNG", 8000, 6000), None), True),
        ((image("GIF", 500, 500, 200), None), False),
        ((image("GIF", 500, 500, 200), recipe("WEBP", animated=True)), True),
    ],
)
def test_large_work_is_known_by_its_pixels_and_formats(
    work: tuple[ImageRecord, Recipe | None], large: bool
) -> None:
    assert is_large(*work) == large


class OneTurn:
    """A turn at the decoder below. Its work is that of the test."""

    def __init__(self, places: Places, place: Place) -> None:
        self._places = places
        self.place: Place | None = place

    def close(self) -> None:
        place, self.place = self.place, None
        if place:
            self._places.give(place)


class OneDecoder:
    """A decoder with one place, and no process behind it."""

    def __init__(self) -> None:
        self.places = Places(1, wait_seconds=None)
        self.busy = False

    async def turn(self, *, caller: Caller = SERVER, large: bool = False) -> Turn:
        if self.busy:
            raise ServerBusy
        return cast(Turn, OneTurn(self.places, await self.places.take(caller, large=large)))


class Work:
    """What the calls want. It ends when it is told to."""

    def __init__(self) -> None:
        self.decoder = OneDecoder()
        self.dropped: list[str] = []
        self.begun: list[str] = []
        self.kept: str | None = None
        self.end = asyncio.Event()
        self.flights: Flights[str] = Flights(self.decoder, dropped=self.dropped.append)

    async def _find(self) -> str | None:
        return self.kept

    async def _do(self, turn: Turn) -> str:
        place = cast(OneTurn, turn).place
        assert place
        self.begun.append(place.caller.client)
        await self.end.wait()
        return "made"

    async def wanted(self, caller: Caller) -> asyncio.Task[str]:
        async def call() -> str:
            async with self.flights.join("key", self._find, self._do, caller=caller, large=True) as found:
                return found

        task = asyncio.create_task(call())
        await idle()
        return task

    async def occupied(self) -> Place:
        return await self.decoder.places.take(ANA, large=True)

    async def free(self, place: Place | None = None) -> None:
        """Gives a place back, and sees that there is one then."""
        if place:
            self.decoder.places.give(place)
        await idle()


async def gone(task: asyncio.Task[str]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await idle()


async def none_is_held(work: Work) -> None:
    async with asyncio.timeout(DEADLINE):
        work.decoder.places.give(await work.occupied())
    assert len(work.decoder.places) == 0


async def test_it_is_done_once_for_all_calls() -> None:
    work = Work()
    calls = [await work.wanted(caller) for caller in (ANA, BEA, EVA)]
    work.end.set()
    assert await asyncio.gather(*calls) == ["made"] * 3
    await idle()
    assert (work.begun, work.dropped) == (["ana"], ["made"])
    await none_is_held(work)


async def test_what_is_kept_needs_no_turn() -> None:
    work = Work()
    work.kept = "kept"
    await work.occupied()
    assert await (await work.wanted(BEA)) == "kept"
    await idle()
    assert (work.begun, work.dropped) == ([], ["kept"])


async def test_it_is_done_in_the_turn_that_comes_first() -> None:
    """Whoever wants what a greedy client asked for before does not wait in that client's line."""
    work = Work()
    place = await work.occupied()
    greedy = [asyncio.create_task(work.occupied()) for _ in range(3)]
    await idle()
    first = await work.wanted(ANA)
    second = await work.wanted(BEA)
    await work.free(place)
    assert work.begun == ["bea"]
    work.end.set()
    assert [await first, await second] == ["made"] * 2
    for task in greedy:
        task.cancel()


async def test_whoever_asked_first_may_leave() -> None:
    work = Work()
    place = await work.occupied()
    first, second = await work.wanted(ANA), await work.wanted(BEA)
    await gone(first)
    await work.free(place)
    assert work.begun == ["bea"]
    third = await work.wanted(EVA)
    await gone(second)
    work.end.set()
    assert await third == "made"
    await none_is_held(work)


async def test_it_is_stopped_when_all_have_gone() -> None:
    work = Work()
    calls = [await work.wanted(caller) for caller in (ANA, BEA)]
    assert work.begun == ["ana"]
    ended = work.flights.under_way("key")
    assert ended
    for call in calls:
        await gone(call)
    assert ended.done()
    assert work.flights.under_way("key") is None
    await none_is_held(work)
    assert work.dropped == []


async def test_one_that_finds_no_place_leaves_the_others() -> None:
    work = Work()
    place = await work.occupied()
    first = await work.wanted(ANA)
    work.decoder.busy = True
    with pytest.raises(ServerBusy):
        await (await work.wanted(BEA))
    await work.free(place)
    work.end.set()
    assert await first == "made"


async def test_all_is_stopped_at_the_end() -> None:
    work = Work()
    call = await work.wanted(ANA)
    await work.flights.close()
    with pytest.raises(asyncio.CancelledError):
        await call
    await none_is_held(work)
