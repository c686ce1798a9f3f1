"""What every Catalog promises of lists, deletion and events."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from conexiones.errors import StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import EventRecord, ImageRecord, UploadRecord
from tests.adapters.backends import CatalogBackend
from tests.support.waiting import DEADLINE

Make = Callable[..., ImageRecord]


async def ids(catalog: Catalog, limit: int = 100, before: str | None = None, **filters: Any) -> str:
    every: dict[str, Any] = {"user": None, "start": None, "end": None} | filters
    return "".join(image.id for image in await catalog.list_images(limit=limit, before=before, **every))


async def test_images_are_listed_newest_first_in_pages(catalog: Catalog, image: Make) -> None:
    assert await ids(catalog) == ""
    for name in "cabed":
        await catalog.add_image(image(name, width=ord(name)))
    assert await catalog.list_images(limit=2, before=None, user=None, start=None, end=None) == [
        image("e", width=ord("e")),
        image("d", width=ord("d")),
    ]
    assert await ids(catalog, 2, "d") == "cb"
    assert await ids(catalog, 2, "b") == "a"
    assert await ids(catalog, 2, "a") == ""
    assert await ids(catalog, 9, "bb") == "ba", "before one that is not there"


async def test_every_image_is_given_with_whether_its_row_is_intact(catalog: Catalog, image: Make) -> None:
    for name in "cab":
        await catalog.add_image(image(name))
    assert await catalog.every_image(before=None, limit=2) == [(image("c"), True), (image("b"), True)]
    assert await catalog.every_image(before="b", limit=2) == [(image("a"), True)]
    assert await catalog.every_image(before="a", limit=2) == []


async def test_lists_are_filtered_by_user_and_time(catalog: Catalog, image: Make) -> None:
    for i, name in enumerate("abcdefgh"):
        await catalog.add_image(image(name, user=["ana", "Ana", None, ""][i % 4], create_time=i))
    assert await ids(catalog, user="ana") == "ea"
    assert await ids(catalog, user="") == "hd"
    assert await ids(catalog, user="eva") == ""
    assert await ids(catalog, start=2, end=5) == "edc"
    assert await ids(catalog, start=5) == "hgf"
    assert await ids(catalog, end=2) == "ba"
    assert await ids(catalog, start=5, end=5) == ""
    assert await ids(catalog, 1, "f", start=2, end=7, user="ana") == "e"
    assert await ids(catalog, 2, "f", start=0, end=7) == "ed"


async def test_pages_miss_and_repeat_nothing_while_images_come_and_go(catalog: Catalog, image: Make) -> None:
    rng = random.Random(3)
    there = {f"{i:03}" for i in range(0, 200, 2)}
    await asyncio.gather(*(catalog.add_image(image(name)) for name in there))
    steady = set(there)
    seen: list[str] = []
    while page := await catalog.list_images(
        limit=7, before=seen[-1] if seen else None, user=None, start=None, end=None
    ):
        seen += [record.id for record in page]
        gone = rng.choice(sorted(there))  # the one the next page begins at, too
        there.remove(gone)
        steady.discard(gone)
        await catalog.delete_image(gone, now=1)
        if rng.random() < 0.3 and seen[-1] in there:
            there.remove(seen[-1])
            await catalog.delete_image(seen[-1], now=1)
        await catalog.add_image(image(f"{rng.choice(range(1, 200, 2)):03}.{len(seen)}"))
    assert seen == sorted(set(seen), reverse=True)
    assert steady <= set(seen)


async def test_a_deleted_image_is_gone_and_told(catalog: Catalog, image: Make) -> None:
    await catalog.put_user("ana", pow=3, image=image("1"), now=1)
    await catalog.put_user("eva", pow=4, image=image("2", digest=b"2"), now=1)
    assert await catalog.delete_image("1", now=5) == image("1")
    assert await catalog.get_image("1") is None
    ana, eva = await catalog.get_user("ana"), await catalog.get_user("eva")
    assert (ana.pow, ana.image_id, eva.image_id) == (3, None, "2")
    assert not await catalog.has_digest(b"\x11" * 32)
    assert await catalog.delete_image("1", now=6) is None
    assert await catalog.delete_image("none", now=6) is None
    assert [event.kind for event in await catalog.events(after=0, limit=9)] == ["STORED", "STORED", "DELETED"]


async def test_of_many_that_delete_one_is_told(catalog: Catalog, image: Make) -> None:
    await catalog.add_image(image("1"))
    outcomes = await asyncio.gather(*(catalog.delete_image("1", now=2) for _ in range(20)))
    assert [outcome for outcome in outcomes if outcome] == [image("1")]
    assert await catalog.event_range() == (0, 2)


async def test_every_way_to_add_or_delete_makes_an_event(
    catalog: Catalog, image: Make, upload: Callable[..., UploadRecord]
) -> None:
    assert await catalog.event_range() == (0, 0)
    await catalog.add_image(image("a", create_time=10))
    await catalog.put_user("ana", pow=None, image=image("b", user="ana", create_time=11), now=11)
    await catalog.put_user("ana", pow=1, image=None, now=12)
    await catalog.create_upload(upload("u"))
    end: dict[str, Any] = {"state": "READY", "image": image("c", create_time=13), "failure": None, "now": 13}
    await catalog.end_upload("u", **end)
    await catalog.end_upload("u", **end)
    await catalog.delete_image("b", now=14)
    with pytest.raises(StorageUnavailable):
        await catalog.add_image(image("a"))
    assert await catalog.events(after=0, limit=100) == [
        EventRecord(sequence=1, kind="STORED", image_id="a", user=None, time=10),
        EventRecord(sequence=2, kind="STORED", image_id="b", user="ana", time=11),
        EventRecord(sequence=3, kind="STORED", image_id="c", user=None, time=13),
        EventRecord(sequence=4, kind="DELETED", image_id="b", user="ana", time=14),
    ]
    assert [event.sequence for event in await catalog.events(after=1, limit=2)] == [2, 3]
    assert await catalog.events(after=4, limit=2) == []
    assert await catalog.event_range() == (0, 4)


async def test_sequences_have_no_gaps_and_are_never_used_again(
    new_catalog: Callable[[], CatalogBackend], image: Make
) -> None:
    catalog = new_catalog()
    await catalog.open()
    await asyncio.gather(
        *(catalog.add_image(image(f"{i % 30}")) for i in range(40)), return_exceptions=True
    )  # ten fail, in between
    assert [event.sequence for event in await catalog.events(after=0, limit=99)] == list(range(1, 31))
    await catalog.forget_events(keep=100)
    assert await catalog.event_range() == (0, 30)
    await catalog.forget_events(keep=10)
    assert await catalog.event_range() == (20, 30)
    assert [event.sequence for event in await catalog.events(after=5, limit=1)] == [21]
    await catalog.forget_events(keep=0)
    assert await catalog.event_range() == (30, 30)
    await catalog.close()
    catalog = new_catalog()
    await catalog.open()
    assert await catalog.event_range() == (30, 30)
    await asyncio.wait_for(catalog.changed(29), DEADLINE)
    await catalog.add_image(image("later"))
    assert await catalog.event_range() == (30, 31)
    await catalog.close()


async def test_changed_waits_for_the_next_event_only(catalog: Catalog, image: Make) -> None:
    await catalog.add_image(image("1"))
    await asyncio.wait_for(catalog.changed(0), DEADLINE)
    waiting = [asyncio.ensure_future(catalog.changed(1 + i % 2)) for i in range(500)]
    cancelled = asyncio.ensure_future(catalog.changed(1))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    await catalog.put_user("ana", pow=1, image=None, now=1)  # no event
    await catalog.get_user("ana")
    assert not any(task.done() for task in waiting)
    await catalog.add_image(image("2"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, False] * 250
    await catalog.delete_image("1", now=1)
    await asyncio.wait_for(asyncio.gather(*waiting), DEADLINE)


async def test_an_event_is_there_when_changed_says_so(catalog: Catalog, image: Make) -> None:
    seen: list[str] = []

    async def follow() -> None:
        after = 0
        while len(seen) < 100:
            await catalog.changed(after)
            for event in await catalog.events(after=after, limit=7):
                seen.append(event.image_id)
                after = event.sequence

    following = asyncio.ensure_future(follow())
    for i in range(0, 100, 5):
        await asyncio.gather(*(catalog.add_image(image(f"{i + j}")) for j in range(5)))
    await asyncio.wait_for(following, DEADLINE)
    assert sorted(seen, key=int) == [f"{i}" for i in range(100)]


async def test_close_ends_the_wait_for_changes(new_catalog: Callable[[], CatalogBackend]) -> None:
    catalog = new_catalog()
    await catalog.open()
    waiting = asyncio.ensure_future(catalog.changed(0))
    await asyncio.sleep(0)
    await catalog.close()
    with pytest.raises(StorageUnavailable):
        await asyncio.wait_for(waiting, DEADLINE)
    with pytest.raises(StorageUnavailable):
        await catalog.changed(0)
