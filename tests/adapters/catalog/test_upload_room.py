"""How every Catalog divides the room for open uploads among clients."""

import asyncio
from collections.abc import Callable

import pytest

from conexiones.errors import TooManyUploads, UploadBytesExceeded
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import UploadQuota, UploadRecord, UploadTerms
from tests.adapters.backends import CatalogBackend

Upload = Callable[..., UploadRecord]

SECOND = 1_000_000
TERMS = UploadTerms(idle=1000 * SECOND, total=7000 * SECOND, quiet=10 * SECOND, least_rate=100)


async def fill(catalog: Catalog, upload: Upload, quota: UploadQuota, client: str, **fields: object) -> int:
    """Creates uploads of a client until one is refused; gives how many."""
    for n in range(1000):
        try:
            await catalog.create_upload(upload(f"{client} {n}", client=client, **fields), quota=quota)
        except (TooManyUploads, UploadBytesExceeded):
            return n
    raise AssertionError("no end of it")


def recent(upload: Upload, id: str, **fields: object) -> UploadRecord:
    """An upload that was created a moment before the 100th second."""
    return upload(id, **{"client": id, "create_time": 95 * SECOND, "update_time": 95 * SECOND, **fields})


async def is_open(catalog: Catalog, id: str) -> bool:
    found = await catalog.get_upload(id)
    return found is not None and found.state == "OPEN"


async def test_each_client_may_have_half_of_what_others_leave(
    new_catalog: Callable[[], CatalogBackend], upload: Upload
) -> None:
    quota = UploadQuota(uploads=16, bytes=2**62)
    catalog = new_catalog()
    await catalog.open()
    assert await fill(catalog, upload, quota, "first") == 8
    await catalog.close()
    catalog = new_catalog()
    await catalog.open()
    with pytest.raises(TooManyUploads) as caught:
        await catalog.create_upload(upload("more", client="first"), quota=quota)
    assert caught.value.facts == {"limit": 8, "actual": 9}, "uploads count over restarts too"
    assert await fill(catalog, upload, quota, "second") == 4
    assert await fill(catalog, upload, quota, "third") == 2
    assert await fill(catalog, upload, quota, "fourth") == 1
    assert await fill(catalog, upload, quota, "fifth") == 1, "its first one, as it is free"
    with pytest.raises(TooManyUploads) as caught:
        await catalog.create_upload(upload("none", client="sixth"), quota=quota)
    assert caught.value.facts == {"limit": 0, "actual": 1}
    await catalog.close()


async def test_bytes_are_divided_in_the_same_way(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=100, bytes=1600)
    assert await fill(catalog, upload, quota, "first", declared_size=100) == 8
    assert await fill(catalog, upload, quota, "second", declared_size=100) == 4
    only = upload("only", client="third", declared_size=400)
    assert await catalog.create_upload(only, quota=quota) == only, "more than half, as its only one"
    with pytest.raises(UploadBytesExceeded) as caught:
        await catalog.create_upload(upload("x", client="second", declared_size=1), quota=quota)
    assert caught.value.facts == {"limit": 200, "actual": 401}


async def test_an_upload_of_unknown_size_grows_within_the_share(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=100, bytes=1000)
    await catalog.create_upload(upload("a", client="one"), quota=quota)
    alone = await catalog.advance_upload("a", epoch=0, size=700, now=2, quota=quota)
    assert alone is not None
    assert alone.committed_size == 700, "as the only one it may have what is free"
    await catalog.create_upload(upload("b", client="one"), quota=quota)
    with pytest.raises(UploadBytesExceeded) as caught:
        await catalog.advance_upload("b", epoch=0, size=1, now=3, quota=quota)
    assert caught.value.facts == {"limit": 500, "actual": 701}
    await catalog.create_upload(upload("c", client="other"), quota=quota)
    advanced = await catalog.advance_upload("c", epoch=0, size=300, now=3, quota=quota)
    assert advanced is not None
    assert advanced.committed_size == 300


async def test_time_is_over_for_what_is_idle_old_or_empty(catalog: Catalog, upload: Upload) -> None:
    terms = UploadTerms(idle=100, total=1000, quiet=10, least_rate=0)
    now = 5000
    for id, committed, create_time, update_time in (
        ("idle", 1, now - 500, now - 101),
        ("not idle", 1, now - 500, now - 100),
        ("old", 1, now - 1001, now),
        ("not old", 1, now - 1000, now),
        ("empty", 0, now - 11, now),
        ("not empty for long", 0, now - 10, now),
        ("ended", 0, 1, 1),
    ):
        record = upload(id, committed_size=committed, create_time=create_time, update_time=update_time)
        await catalog.create_upload(record)
    await catalog.end_upload("ended", state="CANCELLED", image=None, failure=None, now=1)
    assert sorted(await catalog.expire_uploads(terms, now=now)) == ["empty", "idle", "old"]
    assert await catalog.expire_uploads(terms, now=now) == []
    empty = await catalog.get_upload("empty")
    assert empty is not None
    assert (empty.state, empty.update_time) == ("EXPIRED", now)


async def make_room(
    catalog: Catalog, upload: UploadRecord, quota: UploadQuota, *, seconds: float
) -> list[str]:
    return await catalog.make_room(upload, quota=quota, terms=TERMS, now=round(seconds * SECOND))


async def test_room_comes_from_what_is_quiet_for_longest_of_who_has_most(
    catalog: Catalog, upload: Upload
) -> None:
    quota = UploadQuota(uploads=8, bytes=2**62)
    for client, count in (("much", 4), ("some", 2), ("little", 1), ("least", 1)):
        for n in range(count):
            # The first of each is quiet for longest; all have had a byte.
            record = upload(f"{client} {n}", client=client, update_time=n * SECOND, committed_size=1)
            await catalog.create_upload(record, quota=quota)
    new = recent(upload, "new")
    with pytest.raises(TooManyUploads):
        await catalog.create_upload(new, quota=quota)
    assert await make_room(catalog, new, quota, seconds=9) == [], "all of them came a moment ago"
    assert await make_room(catalog, new, quota, seconds=100) == ["much 0"]
    assert await catalog.create_upload(new, quota=quota) == new
    assert await make_room(catalog, recent(upload, "newer"), quota, seconds=100) == ["much 1"]
    assert not await is_open(catalog, "much 1")


async def test_nobody_has_to_yield_to_more_than_an_equal_part(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=12, bytes=2**62)
    for client, count in (("much", 8), ("mine", 3)):
        for n in range(count):
            await catalog.create_upload(upload(f"{client} {n}", client=client, committed_size=1))
    # Two clients, and a part for a third: four each.
    fourth = recent(upload, "mine 3", client="mine")
    with pytest.raises(TooManyUploads):
        await catalog.create_upload(fourth, quota=quota)
    assert len(await make_room(catalog, fourth, quota, seconds=100)) == 3, "half of the rest is then four"
    assert await catalog.create_upload(fourth, quota=quota) == fourth
    assert await make_room(catalog, recent(upload, "mine 4", client="mine"), quota, seconds=100) == []
    assert await is_open(catalog, "mine 0"), "and never its own"


async def test_nothing_ends_in_vain(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=100, bytes=1000)
    await catalog.create_upload(upload("quiet", client="a", declared_size=300))
    await catalog.create_upload(recent(upload, "busy", declared_size=600))
    await catalog.advance_upload("busy", epoch=0, size=500, now=95 * SECOND)
    await catalog.advance_upload("quiet", epoch=0, size=1, now=5 * SECOND)
    large = recent(upload, "large", declared_size=500)
    assert await make_room(catalog, large, quota, seconds=100) == []
    fits = recent(upload, "fits", declared_size=400)
    assert await make_room(catalog, fits, quota, seconds=100) == ["quiet"]
    assert await make_room(catalog, fits, quota, seconds=100) == [], "there is room by now"


async def test_of_bytes_the_largest_yields_first(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=100, bytes=1000)
    for n, size in enumerate((10, 800, 20, 170)):
        await catalog.create_upload(upload(f"{n}", client="a", declared_size=size, committed_size=1))
    new = recent(upload, "new", declared_size=700)
    assert await make_room(catalog, new, quota, seconds=100) == ["1"]


async def test_a_trickle_keeps_no_room(catalog: Catalog, upload: Upload) -> None:
    """A byte now and then is a commit, but an upload that comes too slowly counts as quiet."""
    just_now = 99 * SECOND
    for id, committed in (("trickle", 1), ("slow", 900_000), ("in time", 1_000_001)):
        # 10,000 bytes in a second take 70 MB within the 7,000 seconds of the terms.
        await catalog.create_upload(upload(id, client=id, declared_size=70_000_000, create_time=0))
        await catalog.advance_upload(id, epoch=0, size=committed, now=just_now)
    quota = UploadQuota(uploads=100, bytes=3 * 70_000_000)
    ended = []
    for n in range(3):
        new = recent(upload, f"new {n}", declared_size=70_000_000)
        ended += await make_room(catalog, new, quota, seconds=100)
        await asyncio.gather(catalog.create_upload(new, quota=quota), return_exceptions=True)
    assert sorted(ended) == ["slow", "trickle"]
    # What is small has to come at the least rate of 100 bytes in a second.
    quota = UploadQuota(uploads=5, bytes=2**62)
    for id, committed in (("s trickle", 9_999), ("s in time", 10_000)):
        await catalog.create_upload(upload(id, client="s", declared_size=20_000, create_time=0))
        await catalog.advance_upload(id, epoch=0, size=committed, now=just_now)
    assert await make_room(catalog, recent(upload, "n"), quota, seconds=100) == ["s trickle"]


async def test_what_has_expired_makes_room_for_anybody(catalog: Catalog, upload: Upload) -> None:
    quota = UploadQuota(uploads=4, bytes=2**62)
    for n in range(2):
        await catalog.create_upload(upload(f"{n}", client="a"), quota=quota)
    third = upload("third", client="a")
    with pytest.raises(TooManyUploads):
        await catalog.create_upload(third, quota=quota)
    assert sorted(await make_room(catalog, third, quota, seconds=100)) == ["0", "1"], "without a byte"
    assert await catalog.create_upload(third, quota=quota) == third


async def test_one_client_leaves_room_for_many_others(catalog: Catalog, upload: Upload) -> None:
    """As an attacker would: all that fits, announced and left, from a few addresses."""
    quota = UploadQuota(uploads=1000, bytes=1024 << 30)
    for address in range(12):
        await fill(catalog, upload, quota, f"bad {address}", declared_size=16 << 30, committed_size=1)
    for n in range(40):
        good = upload(f"good {n}", client=f"good {n}", declared_size=16 << 30, committed_size=1)
        try:
            await catalog.create_upload(good, quota=quota)
        except UploadBytesExceeded:
            assert await make_room(catalog, good, quota, seconds=700)
            assert await catalog.create_upload(good, quota=quota) == good
        await catalog.advance_upload(good.id, epoch=0, size=16 << 30, now=650 * SECOND)
    assert all([await is_open(catalog, f"good {n}") for n in range(40)])
