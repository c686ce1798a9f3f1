"""What nothing refers to is removed, and nothing else."""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import obstore
import pytest

from conexiones.adapters.blobs.s3 import rows, sweep_rows
from conexiones.adapters.blobs.s3.compacting import compact
from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.patience import Graces
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.transaction import Transaction, time_of
from conexiones.errors import BlobCorrupt, StorageUnavailable
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.blobs.contents import MIB, content, counted, fill, gone, sha, tell_nobody, whole
from tests.adapters.blobs.s3.holding import holding
from tests.adapters.blobs.s3.restarted import AT_ONCE, PATIENT, RestartedS3Store, add, objects_at, spoil

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]
NewStore = Callable[..., RestartedS3Store]


@pytest.fixture
def graces() -> Graces:
    return AT_ONCE


async def loose_and_all(catalog: PostgresCatalog) -> tuple[int, int]:
    async def ask(connection: Any) -> tuple[int, int]:
        return (
            await connection.fetchval("SELECT count(*) FROM loose"),
            await connection.fetchval("SELECT count(*) FROM places"),
        )

    return await catalog.read(ask)


async def stored(store: RestartedS3Store) -> dict[str, int]:
    """Without the size of the tables, which is for PostgreSQL to know."""
    sizes = await store.sizes()
    assert sizes.pop("catalog") > 0
    return sizes


@pytest.mark.parametrize("size", [10, 5 * MIB])
async def test_what_is_deleted_goes_with_its_objects(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, place: BlobPlace, size: int
) -> None:
    data = content(size)
    for name in ("1", "2"):
        await add(store, catalog, image(name, digest=sha(data)), data)
    await store.sweep()
    assert len(await objects_at(place)) == -(-size // (2 * MIB)), "the twin's go"
    await catalog.delete_image("1", now=1)
    await store.sweep()
    assert await whole(store, sha(data)) == data
    await catalog.delete_image("2", now=1)
    assert await gone(store, sha(data))
    await store.sweep()
    assert await objects_at(place) == []
    assert await stored(store) == {"blobs": 0, "uploads": 0}
    assert await loose_and_all(catalog) == (0, 0)


async def test_a_pack_with_many_holes_is_compacted(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, place: BlobPlace
) -> None:
    datas = [content(2000 + n) for n in range(12)]
    every = [add(store, catalog, image(f"{n}", digest=sha(data)), data) for n, data in enumerate(datas)]
    await asyncio.gather(*every)
    before = await objects_at(place)
    assert len(before) < 12
    for n in range(9):
        await catalog.delete_image(f"{n}", now=1)
    await store.sweep()  # compacts
    await store.sweep()  # and removes what nobody reads any more
    after = await objects_at(place)
    assert len(after) == 1
    assert after[0] not in before
    assert [await whole(store, sha(data)) for data in datas[9:]] == datas[9:]
    assert await loose_and_all(catalog) == (0, 3)


async def test_damaged_bytes_stay_where_they_are(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, place: BlobPlace
) -> None:
    datas = [content(3000 + n) for n in range(3)]
    every = [add(store, catalog, image(f"{n}", digest=sha(data)), data) for n, data in enumerate(datas)]
    await asyncio.gather(*every)
    (pack,) = await objects_at(place)
    places = [await catalog.read(rows.find_blob, sha(data), 0) for data in datas]
    spoil_at = [found.places[0].start for found in places if found]
    await spoil(place, pack, spoil_at[0] + 7)
    for n in (1, 2):
        await catalog.delete_image(f"{n}", now=1)
    await store.sweep()
    await store.sweep()
    assert await objects_at(place) == [pack]
    with pytest.raises(BlobCorrupt):
        await whole(store, sha(datas[0]))


async def test_what_is_needed_of_a_pack_is_read_together_by_whoever_sweeps(
    store: RestartedS3Store,
    catalog: PostgresCatalog,
    image: Make,
    place: BlobPlace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    datas = [content(2000 + n) for n in range(30)]
    every = [add(store, catalog, image(f"{n}", digest=sha(data)), data) for n, data in enumerate(datas)]
    await asyncio.gather(*every)
    before = await objects_at(place)
    for n in range(30):
        if n % 3:
            await catalog.delete_image(f"{n}", now=1)
    reads: list[str] = []
    get = Objects.get

    async def counting(self: Objects, name: str, start: int, size: int) -> bytes:
        reads.append(name)
        return await get(self, name, start, size)

    monkeypatch.setattr(Objects, "get", counting)
    await store.sweep()
    assert sorted(reads) == sorted({*reads})
    assert {*reads} <= {*before}
    assert [await whole(store, sha(data)) for data in datas[::3]] == datas[::3]


async def test_a_pack_that_was_cut_short_keeps_no_other_from_being_compacted(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, place: BlobPlace
) -> None:
    datas = [[content(2000 + n, lap) for n in range(6)] for lap in range(2)]
    packs: list[str] = []
    for lap in datas:
        every = [add(store, catalog, image(f"{sha(data)!r}", digest=sha(data)), data) for data in lap]
        await asyncio.gather(*every)
        packs += sorted({*await objects_at(place)} - {*packs})
    found = await catalog.read(rows.places_of, [sha(data) for lap in datas for data in lap])
    # The last one in the first pack, and the first one in the second, are all that is needed.
    kept = [max(datas[0], key=lambda data: found[sha(data)][0].start), datas[1][0]]
    assert len(packs) == 2
    for lap in datas:
        for data in lap:
            if data not in kept:
                await catalog.delete_image(f"{sha(data)!r}", now=1)
    bucket = place.connect(PATIENT)
    whole_pack = bytes(await (await obstore.get_async(bucket, packs[0])).bytes_async())
    cut = found[sha(kept[0])][0].start
    await obstore.put_async(bucket, packs[0], whole_pack[:cut], use_multipart=False)
    await store.sweep()
    await store.sweep()
    after = await objects_at(place)
    assert packs[0] in after
    assert packs[1] not in after
    assert await whole(store, sha(kept[1])) == kept[1]


async def test_whoever_reads_while_a_pack_is_compacted_looks_again(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    datas = [content(2000 + n) for n in range(6)]
    every = [add(store, catalog, image(f"{n}", digest=sha(data)), data) for n, data in enumerate(datas)]
    await asyncio.gather(*every)
    for n in range(5):
        await catalog.delete_image(f"{n}", now=1)
    get = Objects.get
    moved = False

    async def late(self: Objects, name: str, start: int, size: int) -> bytes:
        nonlocal moved
        if not moved:
            moved = True
            await store.sweep()
            await store.sweep()
        return await get(self, name, start, size)

    monkeypatch.setattr(Objects, "get", late)
    assert await whole(store, sha(datas[5])) == datas[5]
    assert moved


async def test_objects_without_a_row_go_once_none_can_come(
    new_store: NewStore, place: BlobPlace, catalog: PostgresCatalog, image: Make
) -> None:
    patient = new_store()
    await patient.open()
    await add(patient, catalog, image("1", digest=sha(b"1")), b"1")
    (kept,) = await objects_at(place)
    objects = Objects(place, PATIENT)
    objects.open()
    objects.learn_time(await catalog.read(time_of))
    names = [objects.name(kind) for kind in ("packs", "parts") for _ in range(3)]
    for name in names:
        await objects.put(name, b"nobody was told")
    # The second has a time that is none.
    others = ["packs/of somebody else", f"packs/20269999/000000-{'0' * 32}"]
    for name in others:
        await objects.put(name, b"")
    await patient.sweep()
    assert len(await objects_at(place)) == 9
    await patient.close()
    store = new_store(graces=AT_ONCE)
    await store.open()
    assert await objects_at(place) == sorted([kept, *others])
    await store.close()


@pytest.mark.parametrize("size", [10, 3 * MIB])
async def test_a_row_that_comes_too_late_is_refused(
    new_store: NewStore, catalog: PostgresCatalog, image: Make, size: int
) -> None:
    store = new_store(graces=Graces(pack=-10, part=-10))
    await store.open()
    with pytest.raises(StorageUnavailable):
        await add(store, catalog, image("1", digest=sha(content(size))), content(size))
    assert await catalog.get_image("1") is None
    with pytest.raises(StorageUnavailable):
        await (await fill(store.staging.stage(), content(size))).publish(tell_nobody)
    await store.close()


@pytest.mark.parametrize("state", ["CANCELLED", "EXPIRED"])
async def test_the_bytes_of_an_upload_go_when_it_has_ended(
    store: RestartedS3Store, catalog: PostgresCatalog, upload: Upload, place: BlobPlace, state: Any
) -> None:
    await catalog.create_upload(upload("a"))
    staged = await fill(await store.staging.resume("a", 0), content(3 * MIB))
    await staged.commit(lambda size: catalog.advance_upload("a", epoch=0, size=size, now=2))
    await staged.release()
    await store.sweep()
    assert len(await objects_at(place)) == 2
    assert await stored(store) == {"blobs": 0, "uploads": 3 * MIB}
    await catalog.end_upload("a", state=state, image=None, failure=None, now=3)
    await store.sweep()
    await store.sweep()
    assert await objects_at(place) == []


async def test_one_sweeps_at_a_time(store: RestartedS3Store, catalog: PostgresCatalog) -> None:
    assert await catalog.write((), sweep_rows.begin_sweep, "another", 60.0)
    assert not await store.sweep()
    await catalog.write((), sweep_rows.end_sweep, "another")
    assert await store.sweep()
    assert await catalog.write((), sweep_rows.begin_sweep, "another", 0.0)  # and its server was killed
    assert await store.sweep()


async def test_what_was_dead_and_has_an_image_again_stays(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make
) -> None:
    await add(store, catalog, image("1", digest=sha(b"1")), b"1")
    await catalog.delete_image("1", now=1)
    await add(store, catalog, image("2", digest=sha(b"1")), b"1")
    await store.sweep()
    assert await whole(store, sha(b"1")) == b"1"


async def test_uncommitted_bytes_are_garbage(
    store: RestartedS3Store, catalog: PostgresCatalog, upload: Upload, place: BlobPlace
) -> None:
    await catalog.create_upload(upload("a"))
    staged = await fill(await store.staging.resume("a", 0), content(MIB))
    await staged.commit(counted)
    await fill(staged, content(3 * MIB))
    await staged.inspect(len)
    await staged.release()
    assert len(await objects_at(place)) == 2
    await store.sweep()
    assert len(await objects_at(place)) == 1


async def test_bytes_that_come_again_while_they_are_swept_stay(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(store, catalog, image("1", digest=sha(b"1")), b"1")
    await catalog.delete_image("1", now=1)
    dead_blobs = sweep_rows.dead_blobs

    async def and_then(connection: Any, seconds: float, limit: int) -> list[bytes]:
        digests = await dead_blobs(connection, seconds, limit)
        if digests:
            await add(store, catalog, image("2", digest=sha(b"1")), b"1")
        return digests

    monkeypatch.setattr(sweep_rows, "dead_blobs", and_then)
    await store.sweep()
    assert await whole(store, sha(b"1")) == b"1"


@pytest.mark.parametrize("bulk", [True, False], ids=["together", "one by one"])
async def test_an_object_that_may_not_be_deleted_is_in_the_way_of_no_other(
    place: BlobPlace,
    catalog: PostgresCatalog,
    image: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    bulk: bool,
) -> None:
    if not bulk:
        monkeypatch.setenv("AWS_DISABLE_BULK_DELETE", "true")
    async with holding(place) as (gate, place_behind):
        store = RestartedS3Store(place_behind, catalog, folder=tmp_path / "held", graces=AT_ONCE)
        await store.open()
        for n in range(9):
            await add(store, catalog, image(f"{n}", digest=sha(content(500, n))), content(500, n))
        names = await objects_at(place)
        gate.held = [names[4]]
        for n in range(9):
            await catalog.delete_image(f"{n}", now=1)
        await store.sweep()
        assert await objects_at(place) == [names[4]]
        assert store._sweeper._removed.value == 8
        asked = len(gate.asked)
        for _ in range(2):  # it waits for its day, and what comes after it goes
            await add(store, catalog, image("9", digest=sha(b"9")), b"9")
            await catalog.delete_image("9", now=1)
            await store.sweep()
            assert await objects_at(place) == [names[4]]
        assert len(gate.asked) == asked + 2
        (said,) = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
        assert said.startswith("The object store refuses to delete 1 objects that nothing needs, such as ")
        assert f"such as {names[4]} (The object is under a legal hold" in said
        assert "in 24 hours" in said
        gate.held = []
        await catalog.write((), make_due)
        await store.sweep()
        assert await objects_at(place) == []
        assert await loose_and_all(catalog) == (0, 0)
        await store.close()


async def make_due(transaction: Transaction) -> None:
    """Has a day go by for all loose objects."""
    await transaction.connection.execute("UPDATE loose SET not_before = not_before - interval '1 day'")


async def test_garbage_that_may_not_be_deleted_is_passed_over(
    place: BlobPlace, catalog: PostgresCatalog, tmp_path: Path
) -> None:
    async with holding(place) as (gate, place_behind):
        store = RestartedS3Store(place_behind, catalog, folder=tmp_path / "held", graces=AT_ONCE)
        await store.open()
        objects = Objects(place, PATIENT)
        objects.open()
        objects.learn_time(await catalog.read(time_of))
        names = [objects.name("parts") for _ in range(7)]
        for name in names:
            await objects.put(name, b"nobody was told")
        gate.held = names[:2]
        await store.sweep()
        assert await objects_at(place) == sorted(names[:2])
        assert await loose_and_all(catalog) == (2, 0)
        gate.held, asked = [], len(gate.asked)
        await store.sweep()
        assert len(gate.asked) == asked
        await catalog.write((), make_due)
        await store.sweep()
        assert await objects_at(place) == []
        await store.close()


async def test_a_store_that_is_away_ends_a_sweep_at_once(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(9):
        await add(store, catalog, image(f"{n}", digest=sha(content(500, n))), content(500, n))
        await catalog.delete_image(f"{n}", now=1)
    asked: list[str] = []

    async def request(self: Objects, request: str, ask: object, size: int) -> object:
        asked.append(request)
        raise StorageUnavailable from TimeoutError()

    with monkeypatch.context() as away:
        away.setattr(Objects, "_request", request)
        with pytest.raises(StorageUnavailable):
            await store.sweep()
    assert asked == ["DELETE"]
    assert await loose_and_all(catalog) == (9, 0)
    await store.sweep()
    assert await loose_and_all(catalog) == (0, 0)


async def test_the_same_bytes_come_again_while_their_packs_are_compacted(
    new_store: NewStore,
    catalog: PostgresCatalog,
    image: Make,
    place: BlobPlace,
    database: str,
    tmp_path: Path,
) -> None:
    """At two servers, by transactions that have several of them in common."""
    other = PostgresCatalog(database)
    await other.open()
    one, two = new_store(), RestartedS3Store(place, other, folder=tmp_path / "two")
    await one.open()
    await two.open()
    datas = [content(500, n) for n in range(24)]
    numbers = count()

    async def add_all(store: RestartedS3Store, at: PostgresCatalog, order: list[bytes]) -> None:
        records = [image(f"{next(numbers)}", digest=sha(data)) for data in order]
        await asyncio.gather(*(add(store, at, *both) for both in zip(records, order, strict=True)))

    async def go_on() -> bool:
        return True

    await add_all(one, catalog, datas)
    for _ in range(3):
        packs = await catalog.read(sweep_rows.needed, await objects_at(place))
        await asyncio.gather(
            compact(one._backend, packs, go_on),
            add_all(one, catalog, datas),
            add_all(two, other, datas[::-1]),
        )
        assert [await whole(two, sha(data)) for data in datas] == datas
    assert (await loose_and_all(catalog))[1] == len(datas)
    await one.close()
    await two.close()
    await other.close()
