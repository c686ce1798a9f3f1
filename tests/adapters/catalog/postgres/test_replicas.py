"""Several servers on one database: two catalogs that know nothing of each other."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.domain.ids import now
from conexiones.errors import (
    ConexionesError,
    QuotaExceeded,
    TicketUsedUp,
    TooManyUploads,
    UploadBytesExceeded,
)
from conexiones.ports.records import (
    Charge,
    Facts,
    ImageRecord,
    StoredBy,
    UploadQuota,
    UploadRecord,
    UploadTerms,
)
from conexiones.principals import Allowance, Terms
from tests.support.postgres import Engine

Make = Callable[..., ImageRecord]
MakeUpload = Callable[..., UploadRecord]
Two = tuple[PostgresCatalog, PostgresCatalog]


@pytest.fixture
async def two(database: str) -> AsyncIterator[Two]:
    catalogs = PostgresCatalog(database), PostgresCatalog(database)
    for catalog in catalogs:
        await catalog.open()
    yield catalogs
    for catalog in catalogs:
        await catalog.close()


async def together(calls: list[Awaitable[object]]) -> list[object]:
    """What came of calls at once. Only refusals are expected to fail."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(
            outcome, QuotaExceeded | TicketUsedUp | TooManyUploads | UploadBytesExceeded
        ):
            raise outcome
    return outcomes


def refused(outcomes: list[object]) -> int:
    return sum(isinstance(outcome, ConexionesError) for outcome in outcomes)


async def test_what_one_has_committed_the_other_sees_and_is_told(two: Two, image: Make) -> None:
    one, other = two
    waiting = asyncio.ensure_future(other.changed(0))
    await one.put_user("ana", pow=1, image=image("1"), now=1)
    assert (await other.get_user("ana")).image_id == "1"
    assert await other.has_digest(image("1").digest)
    await waiting
    assert await other.delete_image("1", now=2) == image("1")
    await one.changed(1)
    assert (await one.get_user("ana")).image_id is None


async def test_whoever_does_not_hear_of_events_looks(two: Two, postgres: Engine, image: Make) -> None:
    one, other = two
    listening = "query LIKE 'LISTEN%' OR query LIKE '%FROM event_head'"
    for number in range(1, 3):
        postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")
        await one.add_image(image(f"{number}"))
        await other.changed(number - 1)
    assert (await other.event_range())[1] == 2


async def test_of_the_same_rows_each_is_written_by_one_after_the_other(two: Two, image: Make) -> None:
    """In whatever order the groups have them: none waits for another that waits for it."""
    rng = random.Random(1)
    names = [f"user {number}" for number in range(20)]

    async def write(catalog: PostgresCatalog, lap: int) -> None:
        rng.shuffle(names)
        await together(
            [
                catalog.put_user(name, pow=lap, image=image(f"{name} {id(catalog)} {lap}"), now=lap)
                for name in names
            ]
        )
        rng.shuffle(names)
        doomed = [f"{name} {id(catalog)} {lap}" for name in names[:10]]
        await together([catalog.delete_image(doomed_id, now=lap) for doomed_id in doomed])

    for lap in range(6):
        await asyncio.gather(*(write(catalog, lap) for catalog in two))
    one, other = two
    for name in names:
        user = await one.get_user(name)
        assert user == await other.get_user(name)
        assert user.pow == 5
        if user.image_id:
            assert await other.get_image(user.image_id)
    assert (await one.counts()).images == 2 * 6 * 10


async def test_of_many_that_delete_one_is_told(two: Two, image: Make) -> None:
    for lap in range(5):
        await two[0].add_image(image(f"{lap}"))
        outcomes = await together(
            [catalog.delete_image(f"{lap}", now=1) for catalog in two for _ in range(5)]
        )
        assert [outcome for outcome in outcomes if outcome] == [image(f"{lap}")]
    assert await two[1].event_range() == (0, 10)


async def test_of_the_same_request_one_is_stored(two: Two, image: Make, upload: MakeUpload) -> None:
    calls: list[Awaitable[object]] = []
    for number in range(60):
        catalog, request = two[number % 2], f"r{number // 4}"
        calls.append(catalog.add_stored(image(f"{number}"), StoredBy(f"u{number}", request, "", "")))
    found = await together(calls)
    assert sum(before is None for before in found) == 15
    begun = await together(
        [
            catalog.create_upload(upload(f"c{number}", request_id="r"))
            for number, catalog in enumerate(two * 9)
        ]
    )
    assert len(set(begun)) == 1
    assert (await two[0].counts()).images == 15


async def test_each_claim_has_an_epoch_of_its_own_and_fences_the_others(two: Two, upload: MakeUpload) -> None:
    await two[0].create_upload(upload("u"))
    claims = await asyncio.gather(*(catalog.claim_upload("u", now=1) for catalog in two * 10))
    assert sorted(claim.writer_epoch for claim in claims) == list(range(1, 21))
    for catalog in two:
        fenced = await catalog.advance_upload("u", epoch=19, size=5, now=2)
        assert (fenced.committed_size, fenced.writer_epoch) == (0, 20)
    assert (await two[1].advance_upload("u", epoch=20, size=5, now=2)).committed_size == 5


async def test_what_an_owner_may_store_is_no_more_on_several_servers(two: Two, image: Make) -> None:
    charge = Charge(allowance=Allowance(stored_images=20), ticket="t", terms=Terms(images=20, bytes=1 << 30))
    calls: list[Awaitable[object]] = []
    for number in range(60):
        catalog, one = two[number % 2], image(f"{number:02}", owner="ana", size=3)
        match number % 3:
            case 0:
                calls.append(catalog.add_image(one, charge=charge))
            case 1:
                calls.append(
                    catalog.put_user(f"{number}", owner="ana", pow=1, image=one, now=1, charge=charge)
                )
            case _:
                by = StoredBy(f"u{number}", f"r{number}", "", "t")
                calls.append(catalog.add_stored(one, by, charge=charge))
    assert refused(await together(calls)) == 40
    usage = await two[0].usage("ana", ticket="t")
    assert (usage.stored_images, usage.stored_bytes, usage.ticket_images) == (20, 60, 20)
    assert (await two[1].counts()).images == 20


async def test_open_uploads_are_no_more_on_several_servers(two: Two, upload: MakeUpload) -> None:
    charge = Charge(allowance=Allowance(open_uploads=7))
    begun = await together(
        [
            catalog.create_upload(upload(f"{number}", owner="ana"), charge=charge)
            for number, catalog in enumerate(two * 15)
        ]
    )
    assert refused(begun) == 30 - 7
    quota = UploadQuota(uploads=30, bytes=1 << 40)  # seven are taken, and a client has half of what is left
    begun = await together(
        [
            catalog.create_upload(upload(f"q{number}", client="c"), quota=quota)
            for number, catalog in enumerate(two * 15)
        ]
    )
    assert refused(begun) == 30 - 12


async def test_bytes_of_open_uploads_are_no_more_on_several_servers(two: Two, upload: MakeUpload) -> None:
    quota = UploadQuota(uploads=100, bytes=2000)
    await together([two[0].create_upload(upload(f"{number}"), quota=quota) for number in range(20)])
    advanced = await together(
        [
            two[number % 2].advance_upload(f"{number}", epoch=0, size=150, now=2, quota=quota)
            for number in range(20)
        ]
    )
    assert refused(advanced) == 20 - 6


async def test_uploads_end_once_and_make_room_once(two: Two, upload: MakeUpload) -> None:
    terms = UploadTerms(idle=100, total=1000, quiet=10, least_rate=0)
    quota = UploadQuota(uploads=8, bytes=1 << 40)
    for number in range(8):
        await two[0].create_upload(upload(f"{number}", client="a", committed_size=1, update_time=50))
    new = [upload(f"n{number}", client=f"n{number}", create_time=99, update_time=99) for number in range(2)]
    made = await asyncio.gather(
        *(
            catalog.make_room(one, quota=quota, terms=terms, now=100)
            for catalog, one in zip(two, new, strict=True)
        )
    )
    assert len(made[0]) + len(made[1]) == len({*made[0], *made[1]}) >= 1
    ended = await asyncio.gather(*(catalog.expire_uploads(terms, now=10_000) for catalog in two))
    assert len(ended[0]) + len(ended[1]) + len(made[0]) + len(made[1]) == 8


async def test_readers_of_events_miss_none_while_several_write(two: Two, image: Make) -> None:
    """Transactions of several servers end in whatever order; numbers become visible in theirs."""
    seen: list[tuple[int, str]] = []
    total = 300

    async def follow(catalog: PostgresCatalog) -> list[int]:
        after = 0
        numbers: list[int] = []
        while len(numbers) < total:
            await catalog.changed(after)
            for event in await catalog.events(after=after, limit=50):
                numbers.append(event.sequence)
                seen.append((event.sequence, event.image_id))
                after = event.sequence
        return numbers

    async def write(catalog: PostgresCatalog, name: str) -> None:
        for number in range(50):
            await catalog.add_image(image(f"{name}{number}", digest=bytes([number % 3])))
            if number % 2:
                await catalog.delete_image(f"{name}{number}", now=1)

    following = [asyncio.ensure_future(follow(catalog)) for catalog in two]
    await asyncio.gather(
        *(write(catalog, name) for catalog in two for name in (f"{id(catalog)}a", f"{id(catalog)}b"))
    )
    for numbers in await asyncio.gather(*following):
        assert numbers == list(range(1, total + 1))
    assert len(set(seen)) == total


async def test_facts_and_images_of_the_same_bytes_do_not_pass_each_other(two: Two, image: Make) -> None:
    for lap in range(10):
        one = image(f"{lap}a", digest=bytes([lap]), width=1)
        await two[0].add_image(one)
        corrected = image(f"{lap}a", digest=bytes([lap]), width=2)
        await asyncio.gather(
            two[0].put_facts(corrected, Facts(color_space="RGB"), judge=1, now=1),
            two[1].delete_image(one.id, now=1),
        )
        known = await two[0].facts([one.digest])
        assert known == {}, "facts go with the last image, or are not added when it has gone"


async def test_a_server_whose_clock_is_ahead_ends_no_upload_of_the_others(
    two: Two, upload: MakeUpload
) -> None:
    """Of one that has bytes, or that was begun a moment ago."""
    right, ahead = two
    day = 24 * 3600 * 1_000_000
    terms = UploadTerms(idle=day, total=7 * day, quiet=day // 144, least_rate=1)
    for name, size in (("with bytes", 5), ("new", 0)):
        time = now()
        record = upload(name, client=name, create_time=time, update_time=time, committed_size=size)
        await right.create_upload(record)
    assert await ahead.expire_uploads(terms, now=now() + 30 * day) == []
    wanted = upload("wanted", client="another", create_time=now(), update_time=now())
    quota = UploadQuota(uploads=2, bytes=100)
    assert await ahead.make_room(wanted, quota=quota, terms=terms, now=now() + 30 * day) == []
    old = upload("old", create_time=now() - 8 * day, update_time=now() - 2 * day, committed_size=5)
    await right.create_upload(old)
    assert await ahead.expire_uploads(terms, now=now() + 30 * day) == ["old"]
