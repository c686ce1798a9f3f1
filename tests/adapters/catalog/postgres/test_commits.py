"""What becomes of a group of writes of which one cannot be done, and of a commit that nobody answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import asyncpg  # type: ignore[import-untyped]
import pytest

from conexiones.adapters.catalog.postgres import descriptions
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import Patience
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import Facts, ImageRecord, UploadRecord
from tests.adapters.catalog.postgres.cutting import Cut, Way
from tests.adapters.catalog.postgres.load import PATIENT, Load, check
from tests.support.postgres import Engine
from tests.support.waiting import surely, until

Make = Callable[..., ImageRecord]
MakeUpload = Callable[..., UploadRecord]

HASTY = replace(PATIENT, read=2, write=2)
"""For what waits for a database that is away."""


@pytest.fixture
async def catalog(database: str) -> AsyncIterator[PostgresCatalog]:
    catalog = PostgresCatalog(database, patience=replace(PATIENT, lock=0.5))
    await catalog.open()
    yield catalog
    await catalog.close()


@pytest.fixture
async def cut_off(way: Way) -> AsyncIterator[PostgresCatalog]:
    """A catalog on a way that can be cut."""
    catalog = PostgresCatalog(way.url, patience=PATIENT)
    await catalog.open()
    yield catalog
    way.closed = False
    await catalog.close()


async def test_what_waits_is_one_transaction(
    catalog: PostgresCatalog, postgres: Engine, database: str, image: Make
) -> None:
    await asyncio.gather(*(catalog.add_image(image(f"{number}")) for number in range(300)))
    assert int(postgres.sql("SELECT max(number) FROM writers", url=database)) <= 4


async def test_what_is_to_be_described_is_found_however_many_images_are_between(
    catalog: PostgresCatalog, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "WINDOW", 4)
    images = [image(f"{number:02}", digest=bytes([number]) * 32) for number in range(30)]
    await asyncio.gather(*map(catalog.add_image, images))
    left = [images[number] for number in (29, 20, 19, 18, 4)]
    old = [images[number] for number in (16, 2)]
    for one in images:
        if one not in left:
            await catalog.put_facts(one, Facts(color_space="RGB"), judge=1 if one in old else 2, now=1)
    for limit in (1, 2, 9):
        before, found = None, list[str]()
        while some := await catalog.undescribed(before=before, limit=limit):
            found += [one.id for one in some]
            before = some[-1].id
        assert found == [one.id for one in left]
        before, found = None, []
        while some := await catalog.judged_before(2, before=before, limit=limit):
            found += [one.id for one in some]
            before = some[-1].id
        assert found == [one.id for one in old]
    assert await catalog.judged_before(1, before=None, limit=9) == []


async def test_a_group_that_takes_too_long_is_done_in_smaller_ones(database: str) -> None:
    """As where each statement takes long: by the way to the database, or by its load."""
    catalog = PostgresCatalog(database, patience=Patience(transaction=1, write=60))
    await catalog.open()

    async def slowly(transaction: Transaction, number: int) -> int:
        await transaction.connection.execute("SELECT pg_sleep(0.05)")
        return number

    for lap in range(2):
        works = [catalog.write((), slowly, number) for number in range(40)]
        assert await asyncio.gather(*works) == list(range(40)), lap
    await catalog.close()


async def test_facts_that_wait_are_one_transaction(
    catalog: PostgresCatalog, postgres: Engine, database: str, image: Make
) -> None:
    def transactions() -> int:
        return int(postgres.sql("SELECT max(number) FROM writers", url=database))

    images = [image(f"{number}", digest=bytes([number]) * 32) for number in range(100)]
    await asyncio.gather(*map(catalog.add_image, images))
    before = transactions()
    red = Facts(color_space="RGB")
    await asyncio.gather(*(catalog.put_facts(one, red, judge=1, now=1) for one in images))
    assert transactions() == before + 1
    wrong = replace(images[1], frames=2**63)  # no number of the database
    outcomes = await asyncio.gather(
        catalog.put_facts(images[0], Facts(color_space="CMYK"), judge=1, now=2),
        catalog.put_facts(wrong, red, judge=1, now=2),
        catalog.add_image(image("new")),
        catalog.put_facts(images[2], Facts(color_space="CMYK"), judge=1, now=2),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), asyncpg.DataError] + [type(None)] * 2
    told = await catalog.events(after=200, limit=9)
    assert [event.image_id for event in told] == ["0", "new", "2"]


async def test_one_that_cannot_be_done_does_not_harm_those_beside_it(
    catalog: PostgresCatalog, image: Make, upload: MakeUpload
) -> None:
    await catalog.add_image(image("there"))
    await catalog.create_upload(upload("u"))
    outcomes = await asyncio.gather(
        *(catalog.add_image(image(f"{number}")) for number in range(20)),
        catalog.add_image(image("there")),
        catalog.add_image(image("large", size=2**63)),  # no number of the database
        catalog.put_user("ana", pow=1, image=image("there"), now=1),
        catalog.put_user("eva", pow=1, image=None, now=1),
        catalog.advance_upload("u", epoch=0, size=3, now=2),
        return_exceptions=True,
    )
    assert outcomes[:20] == [None] * 20
    assert isinstance(outcomes[20], StorageUnavailable)
    assert isinstance(outcomes[21], asyncpg.DataError), "a defect of the caller is no failure of the storage"
    assert isinstance(outcomes[22], StorageUnavailable)
    assert (outcomes[23].name, outcomes[24].committed_size) == ("eva", 3)
    assert await catalog.get_user("ana") is None
    assert await catalog.event_range() == (0, 21)


async def test_who_needs_what_is_held_fails_in_time_and_alone(
    catalog: PostgresCatalog, database: str, image: Make
) -> None:
    await catalog.put_user("ana", pow=1, image=None, now=1)
    stranger = await asyncpg.connect(database)
    async with stranger.transaction():
        await stranger.execute("SELECT FROM users WHERE name = 'ana' FOR UPDATE")
        outcomes = await asyncio.gather(
            *(catalog.add_image(image(f"{number}")) for number in range(10)),
            catalog.put_user("ana", pow=2, image=None, now=2),
            return_exceptions=True,
        )
    await stranger.close()
    assert outcomes[:10] == [None] * 10
    assert isinstance(outcomes[10], StorageUnavailable)
    assert (await catalog.get_user("ana")).pow == 1


async def test_a_server_that_stops_in_a_transaction_holds_nobody_up_for_good(
    postgres_catalog: PostgresCatalog, database: str, image: Make
) -> None:
    stopped = await asyncpg.connect(database)
    await stopped.execute(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 300;"
        " UPDATE event_head SET sequence = sequence + 1"
    )
    await postgres_catalog.add_image(image("1"))
    assert await postgres_catalog.event_range() == (0, 1)
    stopped.terminate()


async def test_what_a_killed_server_was_committing_is_decided_when_the_next_one_is_open(
    catalog: PostgresCatalog, postgres: Engine, database: str, image: Make
) -> None:
    """Otherwise its bytes would be removed, as if nothing referred to them, before the row is there."""
    killed = await asyncpg.connect(database)
    await killed.execute(
        "BEGIN; INSERT INTO images VALUES ('1', '\\x11', 1, 'PNG', 1, 1, 1, NULL, 1, NULL, '')"
    )
    await killed.execute("UPDATE event_head SET sequence = sequence + 1")
    after = PostgresCatalog(database)
    opening = asyncio.ensure_future(after.open())
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await until(lambda: postgres.sql(waits) == "1")
    await killed.execute("COMMIT")
    await opening
    assert await after.has_digest(b"\x11")
    await after.close()
    await killed.close()


async def test_a_catalog_that_closed_without_knowing_knows_when_it_opens_again(
    way: Way, image: Make, upload: MakeUpload
) -> None:
    catalog = PostgresCatalog(way.url, patience=HASTY)
    await catalog.open()
    way.cut, way.close_after_cut = "after the commit", True
    adding = asyncio.ensure_future(catalog.add_image(image("1")))
    await way.was_cut.wait()
    await catalog.close()
    with pytest.raises(StorageUnavailable):
        await adding
    way.closed = False
    await catalog.open()
    assert await catalog.has_digest(image("1").digest)
    await catalog.close()


@pytest.mark.parametrize("cut", ["before the commit", "after the commit"])
async def test_the_outcome_of_a_lost_commit_is_found_out(
    cut_off: PostgresCatalog, way: Way, image: Make, cut: Cut
) -> None:
    await cut_off.add_image(image("before"))
    way.cut = cut
    await asyncio.gather(
        cut_off.add_image(image("1")),
        cut_off.put_user("ana", pow=1, image=image("2"), now=1),
    )
    assert way.was_cut.is_set()
    assert [event.image_id for event in await cut_off.events(after=0, limit=9)] in (
        ["before", "1", "2"],
        ["before", "2", "1"],
    )


@pytest.mark.parametrize("cut", ["before the commit", "after the commit"])
async def test_while_an_outcome_is_unknown_nobody_is_told_anything_else(
    catalog: PostgresCatalog, way: Way, image: Make, upload: MakeUpload, cut: Cut
) -> None:
    await catalog.create_upload(upload("u"))
    cut_off = PostgresCatalog(way.url, patience=HASTY)
    await cut_off.open()
    way.cut, way.close_after_cut = cut, True
    ending = cut_off.end_upload("u", state="READY", image=image("1"), failure=None, now=2)
    with pytest.raises(StorageUnavailable):
        await ending
    asked = (cut_off.has_digest(image("1").digest), cut_off.get_upload("u"))
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(error, StorageUnavailable) for error in told)
    way.closed = False
    done = cut == "after the commit"
    assert (await catalog.get_upload("u")).state == ("READY" if done else "OPEN")
    assert await surely(lambda: cut_off.has_digest(image("1").digest)) == done
    assert (await surely(lambda: cut_off.get_upload("u"))).state == ("READY" if done else "OPEN")
    await cut_off.add_image(image("2"))
    assert (await surely(cut_off.counts)).images == 1 + done
    await cut_off.close()


async def test_commits_that_are_lost_at_any_moment_are_whole(
    cut_off: PostgresCatalog, way: Way, image: Make
) -> None:
    rng = random.Random(5)
    load = Load(cut_off, image)
    for _ in range(30):
        await load.goes_on()
        for _ in range(rng.randrange(200)):
            await asyncio.sleep(0)
        match rng.randrange(3):
            case 0:
                way.break_all()
            case 1:
                way.cut = "before the commit"
            case _:
                way.cut = "after the commit"
    await load.goes_on()
    await load.end()
    await check(cut_off, load)
    assert len(load.failed) < len(load.stored) / 10, "what is found out is no failure"


async def test_connections_that_were_lost_are_made_again_without_an_error(
    cut_off: PostgresCatalog, way: Way, image: Make
) -> None:
    await asyncio.gather(*(cut_off.counts() for _ in range(10)))
    for number in range(3):
        way.break_all()
        await cut_off.add_image(image(f"{number}"))
        way.break_all()
        assert await cut_off.get_image(f"{number}") == image(f"{number}")


async def test_a_cancelled_search_leaves_a_sound_catalog(catalog: PostgresCatalog, image: Make) -> None:
    await catalog.add_image(image("1"))
    for lap in range(30):
        tasks = [asyncio.ensure_future(catalog.get_image("1")) for _ in range(10)]
        for _ in range(lap % 7):
            await asyncio.sleep(0)
        tasks[lap % 10].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(outcome == image("1") for outcome in outcomes) >= 9
