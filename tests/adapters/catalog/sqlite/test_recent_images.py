"""The catalog keeps what it has read in memory, and never says what an acknowledged change made untrue."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.catalog.sqlite.recent_images import RecentImages
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import Facts, ImageRecord

Make = Callable[..., ImageRecord]
RED, BLUE = Facts(dominant_color="#ff0000"), Facts(dominant_color="#0000ff")
ONE, TWO = b"\x01" * 32, b"\x02" * 32


async def test_while_images_are_deleted_nobody_is_given_one_whose_deletion_was_acknowledged(
    tmp_path: Path, image: Make
) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db", recent=8)
    await catalog.open()
    gone: set[str] = set()

    async def reads(image_id: str) -> None:
        while image_id not in gone:
            await catalog.get_image(image_id)
            await asyncio.sleep(0)

    async def deletes(image_id: str) -> None:
        await catalog.add_image(image(image_id))
        readers = [asyncio.create_task(reads(image_id)) for _ in range(3)]
        for _ in range(5):
            assert await catalog.get_image(image_id)
        assert await catalog.delete_image(image_id, now=1)
        gone.add(image_id)
        for _ in range(5):
            assert await catalog.get_image(image_id) is None
        await asyncio.gather(*readers)
        assert await catalog.get_image(image_id) is None

    await asyncio.gather(*(deletes(f"{number:02}") for number in range(12)))
    await catalog.close()


async def test_a_deletion_that_is_cancelled_is_seen(tmp_path: Path, image: Make) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    await catalog.add_image(image("a"))
    assert await catalog.get_image("a")
    deleting = asyncio.create_task(catalog.delete_image("a", now=1))
    await asyncio.sleep(0)
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    assert await catalog.get_image("a") is None
    await catalog.close()
    with pytest.raises(StorageUnavailable):
        await catalog.get_image("a")


async def test_what_is_said_of_an_image_is_what_was_found_last(tmp_path: Path, image: Make) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    for name, digest in (("a", ONE), ("b", ONE), ("c", TWO)):
        await catalog.add_image(image(name, digest=digest))
        assert (await catalog.get_image(name)).width == 1
    await catalog.put_facts(image("a", digest=ONE, width=7), RED, judge=1, now=1)
    assert await catalog.facts([ONE]) == await catalog.facts([ONE]) == {ONE: RED}
    assert await catalog.facts([TWO]) == await catalog.facts([TWO], judge=2) == {}
    assert await catalog.facts([ONE], judge=2) == {}
    assert [(await catalog.get_image(name)).width for name in "abc"] == [7, 7, 1]
    await catalog.put_facts(image("a", digest=ONE, width=8), BLUE, judge=2, now=1)
    assert await catalog.facts([ONE]) == {ONE: BLUE}
    assert [(await catalog.get_image(name)).width for name in "abc"] == [8, 8, 1]
    for name in "ab":
        await catalog.delete_image(name, now=1)
    assert await catalog.facts([ONE]) == {}
    await catalog.close()


def test_what_was_read_before_a_change_is_not_kept_after_it(image: Make) -> None:
    recent = RecentImages(2)
    one, two = image("1", digest=ONE), image("2", digest=TWO)
    mark = recent.mark
    recent.keep_image(one, mark)
    recent.keep_facts(ONE, RED, mark)
    recent.described(TWO)
    recent.keep_image(two, mark)
    recent.keep_facts(TWO, RED, mark)
    assert (recent.image("1"), recent.image("2")) == (one, None)
    assert (recent.facts(ONE), recent.facts(TWO)) == (RED, None)
    for each in (two, image("3", digest=TWO)):
        recent.keep_image(each, recent.mark)
    assert (recent.image("1"), recent.image("2")) == (None, two)
    recent.described(TWO)
    assert (recent.image("2"), recent.image("3")) == (None, None)
    recent.deleted(one)
    assert recent.facts(ONE) is None
