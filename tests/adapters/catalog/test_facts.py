"""What every catalog promises of facts: Descriptions."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from conexiones.ports.catalog import Catalog, Descriptions
from conexiones.ports.records import EventRecord, Facts, ImageRecord

Make = Callable[..., ImageRecord]

ONE, TWO = b"\x11" * 32, b"\x12" * 32
RED, CORRUPT = Facts(color_space="RGB", dominant_color="#ff0000"), Facts(problem="CORRUPT")


class Described(Catalog, Descriptions, Protocol):
    """A catalog with its facts."""


async def described(catalog: Described, after: int) -> list[EventRecord]:
    return [event for event in await catalog.events(after=after, limit=100) if event.kind == "DESCRIBED"]


async def newest(catalog: Described) -> int:
    return (await catalog.event_range())[1]


async def test_facts_are_told_to_all_images_of_the_bytes(catalog: Described, image: Make) -> None:
    for record in (image("1"), image("2", user="ana"), image("3", digest=TWO)):
        await catalog.add_image(record)
    at = await newest(catalog)
    await catalog.put_facts(image("1"), RED, judge=1, now=9)
    assert await catalog.facts([ONE, TWO]) == {ONE: RED}
    events = await described(catalog, at)
    assert [(event.image_id, event.user, event.time) for event in events] == [("1", None, 9), ("2", "ana", 9)]


async def test_facts_of_bytes_without_an_image_are_not_kept(catalog: Described, image: Make) -> None:
    await catalog.put_facts(image("1"), RED, judge=1, now=9)
    assert (await catalog.facts([ONE]), await newest(catalog)) == ({}, 0)


async def test_only_news_has_an_event(catalog: Described, image: Make) -> None:
    await catalog.add_image(image("1"))
    await catalog.put_facts(image("1"), RED, judge=1, now=1)
    at = await newest(catalog)
    await catalog.put_facts(image("1"), RED, judge=2, now=2)
    assert await newest(catalog) == at
    assert await catalog.facts([ONE], judge=2) == {ONE: RED}, "the judge is another one all the same"
    await catalog.put_facts(image("1"), CORRUPT, judge=2, now=3)
    assert [event.time for event in await described(catalog, at)] == [3]


async def test_what_is_said_of_the_bytes_is_corrected_in_all_images(catalog: Described, image: Make) -> None:
    first, twin = image("1", width=3, height=2), image("2", width=3, height=2, user="ana", name="a.png")
    other = image("3", digest=TWO, width=3, height=2)
    for record in (first, twin, other):
        await catalog.add_image(record)
    at = await newest(catalog)
    shape: dict[str, Any] = {"format": "TIFF", "width": 2, "height": 3, "frames": 7}
    for _ in range(2):
        await catalog.put_facts(replace(first, **shape), RED, judge=1, now=1)
    assert [await catalog.get_image(id) for id in "123"] == [
        replace(first, **shape),
        replace(twin, **shape),
        other,
    ]
    assert [event.image_id for event in await described(catalog, at)] == ["1", "2"]
    await catalog.put_facts(replace(first, **shape | {"frames": 8}), RED, judge=1, now=1)
    assert [event.image_id for event in await described(catalog, at)] == ["1", "2"] * 2


async def test_facts_of_earlier_judges_are_found_newest_first(catalog: Described, image: Make) -> None:
    assert await catalog.judged_before(9, before=None, limit=9) == []
    for number, judge in enumerate((1, 2, 3, 1)):
        record = image(f"{number}", digest=bytes([number]) * 32)
        await catalog.add_image(record)
        await catalog.put_facts(record, RED, judge=judge, now=1)
    await catalog.add_image(image("without facts"))

    async def ids(judge: int, *, before: str | None = None, limit: int = 9) -> list[str]:
        return [record.id for record in await catalog.judged_before(judge, before=before, limit=limit)]

    assert await ids(1) == []
    assert await ids(2) == ["3", "0"]
    assert await ids(3) == ["3", "1", "0"]
    assert await ids(3, limit=1) == ["3"]
    assert await ids(3, before="3") == ["1", "0"]
    digests = [bytes([number]) * 32 for number in range(4)]
    assert set(await catalog.facts(digests, judge=2)) == {digests[1], digests[2]}


async def test_facts_go_with_the_last_image(catalog: Described, image: Make) -> None:
    for id in "12":
        await catalog.add_image(image(id))
    await catalog.put_facts(image("1"), RED, judge=1, now=1)
    await catalog.delete_image("1", now=2)
    assert await catalog.facts([ONE]) == {ONE: RED}
    await catalog.delete_image("2", now=3)
    assert await catalog.facts([ONE]) == {}


async def test_facts_that_come_at_once_are_kept_as_if_each_came_alone(
    catalog: Described, image: Make
) -> None:
    images = [image(f"{number:02}", digest=bytes([number]) * 32, frames=1) for number in range(20)]
    twin = image("twin", digest=images[3].digest, user="ana", frames=1)
    for record in (*images, twin):
        await catalog.add_image(record)
    await catalog.put_facts(images[5], RED, judge=1, now=1)
    at = await newest(catalog)
    found = [replace(record, frames=2) if record is images[7] else record for record in images]
    await asyncio.gather(
        *(catalog.put_facts(record, RED, judge=2, now=2) for record in found),
        catalog.put_facts(image("nobody's", digest=b"\x77" * 32), RED, judge=2, now=2),
        catalog.put_facts(images[0], CORRUPT, judge=2, now=3),
    )
    events = await described(catalog, at)
    expected = [record.id for record in images if record is not images[5]]
    expected.insert(expected.index("03") + 1, "twin")
    assert [event.image_id for event in events] == [*expected, "00"]
    assert [event.sequence for event in events] == list(range(at + 1, at + 1 + len(events)))
    assert [event.time for event in events if event.image_id == "00"] == [2, 3]
    facts = await catalog.facts([record.digest for record in images], judge=2)
    assert facts == {record.digest: RED for record in images} | {images[0].digest: CORRUPT}
    assert await catalog.facts([b"\x77" * 32]) == {}
    assert await catalog.get_image("07") == found[7]
    assert await catalog.get_image("08") == images[8]
