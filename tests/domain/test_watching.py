"""What watchers hear who see only what is theirs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain import watching
from conexiones.domain.ids import Ids
from conexiones.domain.watching import Watching
from conexiones.ports.records import ImageRecord
from conexiones.principals import EVERYBODY, Principal, Scope
from tests.support.waiting import DEADLINE

READ: frozenset[Scope] = frozenset({"read"})
ANA = Principal(subject="token:ana", scopes=READ, own=True, owner="token:ana")
NOBODYS = Principal(subject="certificate:x", scopes=READ, own=True)
ANONYMOUS = Principal(scopes=READ)
IDS = Ids()


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    await catalog.open()
    yield catalog
    await catalog.close()


async def stored(catalog: SqliteCatalog, owner: str = "") -> str:
    image = ImageRecord(
        id=IDS.new(),
        digest=bytes(32),
        size=1,
        format="PNG",
        width=1,
        height=1,
        frames=1,
        user=None,
        create_time=1,
        owner=owner,
    )
    await catalog.add_image(image)
    return image.id


async def heard(catalog: SqliteCatalog, by: Principal, until: str, **more: Any) -> list[str]:
    """The ids of all images that a watcher hears of from the first event on, until one of them."""
    found: list[str] = []
    async with asyncio.timeout(DEADLINE):
        async with aclosing(Watching(catalog, catalog).watch(token="0", user=None, by=by, **more)) as watch:
            async for news in watch:
                found += [
                    event.image.id if event.image else f"-{event.record.image_id}" for event in news.events
                ]
                if found[-1:] == [until]:
                    break
    return found


async def test_a_watcher_hears_of_what_it_sees(catalog: SqliteCatalog) -> None:
    first, other, nobodys = [await stored(catalog, owner) for owner in ("token:ana", "token:eva", "")]
    for image in (first, other, nobodys):
        await catalog.delete_image(image, now=1)
    last = [await stored(catalog, owner) for owner in ("token:eva", "", "token:ana")]
    mine, others = last[-1], last[:2]
    # The images of the first events are gone.
    assert await heard(catalog, ANA, mine) == [f"-{first}", mine]
    assert await heard(catalog, EVERYBODY, mine) == [f"-{first}", f"-{other}", f"-{nobodys}", *others, mine]
    assert await heard(catalog, EVERYBODY, mine, owner="token:ana") == [f"-{first}", mine]
    assert await heard(catalog, ANA, mine, owner="token:ana") == [f"-{first}", mine]


@pytest.mark.parametrize(
    ("by", "owner"), [(ANA, None), (ANA, "token:eva"), (NOBODYS, None), (ANONYMOUS, "token:eva")]
)
async def test_events_of_others_are_no_more_than_numbers_and_put_no_heartbeat_off(
    catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch, by: Principal, owner: str | None
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_SECONDS", 0.01)
    coming = asyncio.create_task(_stored_without_end(catalog))
    async with asyncio.timeout(DEADLINE):
        watch = Watching(catalog, catalog).watch(token="", user=None, owner=owner, by=by)
        told = [await anext(watch) for _ in range(20)]
        await watch.aclose()
    coming.cancel()
    assert [(news.kind, news.events) for news in told] == [("HEARTBEAT", ())] * 20
    assert int(told[-1].token) > int(told[0].token)


async def _stored_without_end(catalog: SqliteCatalog) -> None:
    while True:
        await asyncio.gather(*(stored(catalog, owner) for owner in ("token:eva", "", "guest")))


async def test_watchers_who_keep_up_hear_the_same_which_is_read_once(catalog: SqliteCatalog) -> None:
    together = Watching(catalog, catalog)
    watches = [together.watch(token="", user=None, by=by) for by in (EVERYBODY, EVERYBODY, ANA, ANA)]
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(anext(watch) for watch in watches))
        waiting = [asyncio.ensure_future(anext(watch)) for watch in watches]
        image = await stored(catalog, "token:ana")
        one, other, mine, mine_too = await asyncio.gather(*waiting)
        assert one is other
        assert mine is mine_too
        assert {event.image.id for event in (*one.events, *mine.events) if event.image} == {image}
        for watch in watches:
            await watch.aclose()


async def test_whoever_reads_while_events_are_forgotten_is_told_to_list_anew(
    catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, event_range = Watching(catalog, catalog), catalog.event_range
    for _ in range(5):
        await stored(catalog)

    async def then_forget() -> tuple[int, int]:
        found = await event_range()
        await catalog.forget_events(keep=2)
        return found

    async with asyncio.timeout(DEADLINE):
        first = together.watch(token="", user=None, by=EVERYBODY)
        slow = together.watch(token="1", user=None, by=EVERYBODY)
        assert [(await anext(watch)).kind for watch in (first, slow)] == ["HEARTBEAT", "HEARTBEAT"]
        waiting = asyncio.ensure_future(anext(first))
        await stored(catalog)
        assert (await waiting).kind == "EVENTS"  # what the slow one needs is not in memory
        monkeypatch.setattr(catalog, "event_range", then_forget)
        assert (await anext(slow)).kind == "RESYNC"
        for watch in (first, slow):
            await watch.aclose()


async def test_whoever_joins_misses_nothing_and_makes_nobody_miss_anything(catalog: SqliteCatalog) -> None:
    """Watchers come while images do, from the newest event and from older ones, and stay behind for a
    while. Each hears of every event behind its token once, in order."""
    watching = Watching(catalog, catalog)
    last = 400
    random = Random(5)

    async def watch(token: str) -> None:
        at = None
        async with aclosing(watching.watch(token=token, user=None, by=EVERYBODY)) as watch:
            async for news in watch:
                assert news.kind in {"HEARTBEAT", "EVENTS"}
                assert at is None or news.after == at or news.kind == "HEARTBEAT"
                if news.kind == "EVENTS":
                    sequences = [event.record.sequence for event in news.events]
                    assert sequences == list(range(news.after + 1, news.until + 1))
                    if random.random() < 0.1:
                        await asyncio.wait_for(catalog.changed(news.until + 40), DEADLINE)
                at = news.until
                if at >= last:
                    return

    async def store() -> None:
        for _ in range(0, last + 80, 8):
            await asyncio.gather(*(stored(catalog) for _ in range(8)))

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        tasks.create_task(store())
        for number in range(20):
            await catalog.changed(number * 15)
            tasks.create_task(watch("" if number % 3 else str(random.randrange(number * 15 + 1))))
