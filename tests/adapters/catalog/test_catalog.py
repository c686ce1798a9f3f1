"""What every Catalog promises."""

import asyncio
from collections.abc import Callable

import pytest

from conexiones.errors import StorageUnavailable
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, StoredBy, UploadRecord, UserRecord
from tests.adapters.backends import CatalogBackend

Make = Callable[..., ImageRecord]
BIG = 2**63 - 1


async def test_an_image_comes_back_as_it_was(catalog: Catalog, image: Make) -> None:
    full = image("1", size=BIG, width=BIG, height=2**31, frames=3, user="Ñandú 🦤", create_time=BIG)
    await catalog.add_image(full)
    await catalog.add_image(image("2"))
    assert await catalog.get_image("1") == full
    assert await catalog.get_image("2") == image("2")
    assert await catalog.get_image("3") is None


@pytest.mark.parametrize(
    "text", ["\0", "\x01", "a\0b\x01\x02\x03\0", "\x01\x02", "\U0001f9a4'\"\\{},NULL", " "]
)
async def test_any_text_comes_back_as_it_was(
    catalog: Catalog, image: Make, upload: Callable[..., UploadRecord], text: str
) -> None:
    assert (await catalog.put_user(text, pow=1, image=image("1", user=text, name=text), now=1)).name == text
    assert await catalog.get_user(text) == UserRecord(
        name=text, pow=1, image_id="1", create_time=1, update_time=1
    )
    assert await catalog.get_user(f"{text}\x02") is None
    listed = await catalog.list_images(limit=9, before=None, user=text, start=None, end=None)
    assert listed == [image("1", user=text, name=text)]
    begun = await catalog.create_upload(upload("u", request_id=text, client=text))
    assert await catalog.find_upload(text, owner="", ticket="") == begun
    stored = await catalog.add_stored(image("2"), StoredBy("v", text, "", ""))
    assert stored == begun
    assert [event.user for event in await catalog.events(after=0, limit=9)] == [text]


async def test_a_digest_is_known_by_any_of_its_images(catalog: Catalog, image: Make) -> None:
    assert not await catalog.has_digest(b"\x11" * 32)
    await catalog.add_image(image("1"))
    await catalog.add_image(image("2"))
    assert await catalog.has_digest(b"\x11" * 32)
    assert not await catalog.has_digest(b"\x12" * 32)


async def test_an_id_is_used_once(catalog: Catalog, image: Make) -> None:
    await catalog.add_image(image("1", width=7))
    with pytest.raises(StorageUnavailable):
        await catalog.add_image(image("1", width=8))
    assert await catalog.get_image("1") == image("1", width=7)


async def test_a_new_user_has_pow_0_and_no_image(catalog: Catalog) -> None:
    user = await catalog.put_user("ana", pow=None, image=None, now=5)
    assert user == UserRecord(name="ana", pow=0, image_id=None, create_time=5, update_time=5)
    assert await catalog.get_user("ana") == user
    assert await catalog.get_user("Ana") is None


async def test_none_leaves_what_is_stored(catalog: Catalog, image: Make) -> None:
    await catalog.put_user("ana", pow=-7, image=None, now=1)
    await catalog.put_user("ana", pow=None, image=image("1"), now=2)
    expected = UserRecord(name="ana", pow=-7, image_id="1", create_time=1, update_time=2)
    assert await catalog.put_user("ana", pow=None, image=None, now=3) == expected
    assert await catalog.get_user("ana") == expected
    changed = await catalog.put_user("ana", pow=0, image=image("2"), now=4)
    assert changed == UserRecord(name="ana", pow=0, image_id="2", create_time=1, update_time=4)
    assert await catalog.get_image("1") == image("1"), "an image that was replaced stays"


async def test_a_user_and_the_image_come_together_or_not_at_all(catalog: Catalog, image: Make) -> None:
    await catalog.put_user("ana", pow=1, image=image("1"), now=1)
    with pytest.raises(StorageUnavailable):
        await catalog.put_user("ana", pow=2, image=image("1"), now=2)
    with pytest.raises(StorageUnavailable):
        await catalog.put_user("eva", pow=2, image=image("1"), now=2)
    assert (await catalog.get_user("ana")).pow == 1
    assert await catalog.get_user("eva") is None


async def test_two_writers_of_a_user_see_each_others_work_whole(catalog: Catalog, image: Make) -> None:
    for i in range(40):
        name = f"user {i}"
        await asyncio.gather(
            catalog.put_user(name, pow=i, image=None, now=1),
            catalog.put_user(name, pow=None, image=image(f"{i}"), now=1),
        )
        user = await catalog.get_user(name)
        assert (user.pow, user.image_id) == (i, f"{i}")


async def test_a_failing_write_does_not_harm_those_beside_it(catalog: Catalog, image: Make) -> None:
    await catalog.add_image(image("50", width=9))
    writes = (catalog.add_image(image(f"{i}")) for i in range(100))
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(outcomes.pop(50), StorageUnavailable)
    assert outcomes == [None] * 99
    assert await catalog.get_image("50") == image("50", width=9)
    assert all([await catalog.get_image(f"{i}") for i in range(100)])


async def test_a_read_sees_every_write_acknowledged_before(catalog: Catalog, image: Make) -> None:
    async def write_and_read(i: int) -> None:
        await catalog.add_image(image(f"{i}"))
        assert await catalog.get_image(f"{i}") == image(f"{i}")

    await asyncio.gather(*(write_and_read(i) for i in range(200)))


async def test_a_cancelled_write_is_decided_when_its_caller_hears_of_it(
    catalog: Catalog, image: Make
) -> None:
    for i in range(30):
        tasks = [asyncio.ensure_future(catalog.add_image(image(f"{i}.{j}"))) for j in range(5)]
        for _ in range(i % 6):
            await asyncio.sleep(0)  # cancelled before it began, or after
        tasks[2].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        known = await catalog.get_image(f"{i}.2")
        assert isinstance(outcomes[2], asyncio.CancelledError) or known
        await catalog.add_image(image(f"{i}.later"))
        assert await catalog.get_image(f"{i}.2") == known, "it must not come later"
        assert [await catalog.get_image(f"{i}.{j}") is not None for j in (0, 1, 3, 4)] == [True] * 4


async def test_close_finishes_what_waits(new_catalog: Callable[[], CatalogBackend], image: Make) -> None:
    catalog = new_catalog()
    await catalog.open()
    writes = [asyncio.ensure_future(catalog.add_image(image(f"{i}"))) for i in range(50)]
    await asyncio.sleep(0)
    await catalog.close()
    await asyncio.gather(*writes)
    await catalog.close()  # again: nothing to do
    with pytest.raises(StorageUnavailable):
        await catalog.add_image(image("late"))
    with pytest.raises(StorageUnavailable):
        await catalog.get_image("1")
    await catalog.open()
    assert all([await catalog.get_image(f"{i}") for i in range(50)])
    await catalog.close()


async def test_a_restart_keeps_everything(new_catalog: Callable[[], CatalogBackend], image: Make) -> None:
    for i in range(3):
        catalog = new_catalog()
        await catalog.open()
        await catalog.put_user("ana", pow=i if i == 1 else None, image=image(f"{i}"), now=i)
        await catalog.close()
    catalog = new_catalog()
    await catalog.open()
    assert await catalog.get_user("ana") == UserRecord(
        name="ana", pow=1, image_id="2", create_time=0, update_time=2
    )
    await catalog.close()
