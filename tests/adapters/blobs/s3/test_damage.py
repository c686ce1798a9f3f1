"""Whatever is read was checked: damage in any object is noticed, and never given to anybody."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, nullcontext
from pathlib import Path

import obstore
import pytest

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.errors import BlobCorrupt
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.blobs.contents import MIB, content, everything, fill, sha, stored, whole
from tests.adapters.blobs.s3.restarted import AT_ONCE, PATIENT, RestartedS3Store, add, objects_at, spoil

Make = Callable[..., ImageRecord]
MakeUpload = Callable[..., UploadRecord]

SIZE = 5 * MIB + 17


async def spoil_blob(place: BlobPlace, catalog: PostgresCatalog, digest: bytes, at: int) -> None:
    """Changes the byte of a blob at that offset."""
    found = await catalog.read(rows.find_blob, digest, at)
    assert found is not None
    first = found.places[0]
    await spoil(place, first.object, first.start + at - first.at)


@pytest.mark.parametrize("at", [0, MIB - 1, MIB, 2 * MIB + 5, SIZE - 1])
async def test_no_range_gives_a_byte_of_a_damaged_piece(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, place: BlobPlace, at: int
) -> None:
    data = content(SIZE)
    digest = await stored(store, catalog, image("1", digest=sha(data)), data)
    await spoil_blob(place, catalog, digest, at)
    for offset in (0, 1, MIB + 1, at, SIZE - 1):
        given = b""
        with pytest.raises(BlobCorrupt) if offset <= at or at // MIB == offset // MIB else nullcontext():
            async for piece in store.blobs.read(digest, offset):
                given += piece
        assert data[offset:].startswith(given)
    with pytest.raises(BlobCorrupt):
        async with store.blobs.local(digest):
            pass
    with pytest.raises(BlobCorrupt):
        await store.blobs.inspect(digest, everything)
    with pytest.raises(BlobCorrupt):
        _ = [size async for size in store.blobs.check(digest)]


@pytest.mark.parametrize("how", ["changed", "shorter", "gone"])
async def test_damage_of_a_small_blob_is_noticed(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, place: BlobPlace, how: str
) -> None:
    data = content(5000)
    digest = await stored(store, catalog, image("1", digest=sha(data)), data)
    (name,) = await objects_at(place)
    bucket = place.connect(PATIENT)
    if how == "changed":
        await spoil(place, name, 4000)
    elif how == "shorter":
        await obstore.put_async(bucket, name, data[:4000], use_multipart=False)
    else:
        await obstore.delete_async(bucket, name)
    for read in (
        lambda: whole(store, digest),
        lambda: whole(store, digest, 10),
        lambda: store.blobs.inspect(digest, everything),
    ):
        with pytest.raises(BlobCorrupt) as noticed:
            await read()
        assert digest.hex() in "".join(getattr(noticed.value, "__notes__", [digest.hex()]))


async def test_damage_of_committed_bytes_is_noticed_by_whoever_looks(
    store: RestartedS3Store, catalog: PostgresCatalog, place: BlobPlace, upload: Callable[..., UploadRecord]
) -> None:
    await catalog.create_upload(upload("a"))
    staged = await fill(await store.staging.resume("a", 0), content(3 * MIB))
    await staged.commit(lambda size: catalog.advance_upload("a", epoch=0, size=size, now=2))
    await staged.release()
    await spoil(place, (await objects_at(place))[0], 100)
    staged = await store.staging.resume("a", 3 * MIB)
    with pytest.raises(BlobCorrupt):
        await staged.inspect(everything)
    await staged.release()


async def test_what_was_stored_together_is_read_ahead_and_checked(
    place: BlobPlace, catalog: PostgresCatalog, image: Make, tmp_path: Path
) -> None:
    cache = MemoryCache[bytes](MIB)
    store = S3Store(place, catalog, cache=cache, folder=tmp_path / "local", patience=PATIENT)
    await store.open()
    datas = [content(4000, n) for n in range(12)]
    records = [image(f"{n:02}", digest=sha(data)) for n, data in enumerate(datas)]
    await asyncio.gather(*(stored(store, catalog, *one) for one in zip(records, datas, strict=True)))
    assert len(await objects_at(place)) <= 2, "those that come while one is put are put together"
    whole, damaged, last = datas[9], datas[10], datas[11]
    await spoil_blob(place, catalog, sha(damaged), 7)
    await store.blobs.read_ahead([sha(whole), sha(damaged), sha(last), sha(b"nobody has it")])
    assert [store.blobs.cached(sha(data)) for data in (whole, damaged, last)] == [whole, None, last]
    for name in await objects_at(place):
        await obstore.delete_async(place.connect(PATIENT), name)
    await store.blobs.read_ahead(list(map(sha, datas)))  # what fails is told to whoever reads it
    async with store.blobs.local(sha(whole)) as path:
        assert path.read_bytes() == whole
    assert await store.blobs.inspect(sha(last), everything) == last
    for data in (damaged, datas[8]):
        with pytest.raises(BlobCorrupt):
            async with store.blobs.local(sha(data)):
                pass
    await store.close()


async def test_small_blobs_stay_in_memory_and_local_copies_in_their_folder(
    place: BlobPlace, catalog: PostgresCatalog, image: Make, tmp_path: Path
) -> None:
    cache = MemoryCache[bytes](MIB)
    store = S3Store(
        place, catalog, cache=cache, folder=tmp_path / "local", local_bytes=10_000, patience=PATIENT
    )
    await store.open()
    datas = [content(4000, n) for n in range(4)]
    for n, data in enumerate(datas):
        await stored(store, catalog, image(f"{n}", digest=sha(data)), data)
        assert store.blobs.cached(sha(data)) is None
        assert await whole(store, sha(data)) == data
        assert store.blobs.cached(sha(data)) == data
        async with store.blobs.local(sha(data)) as path:
            assert path.read_bytes() == data
    copies = [path for path in (tmp_path / "local").rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert {path.name for path in copies} == {sha(data).hex() for data in datas[-2:]}
    async with store.blobs.removing(sha(datas[0])):
        await catalog.delete_image("0", now=1)
    assert store.blobs.cached(sha(datas[0])) is None
    await store.close()
    assert list((tmp_path / "local").iterdir()) == []


@pytest.mark.parametrize("size", [5000, SIZE])
@pytest.mark.parametrize("way", ["image", "upload", "two at once"])
async def test_the_same_bytes_heal_a_damaged_blob(
    new_store: Callable[..., RestartedS3Store],
    catalog: PostgresCatalog,
    image: Make,
    upload: Callable[..., UploadRecord],
    place: BlobPlace,
    size: int,
    way: str,
) -> None:
    store = new_store(graces=AT_ONCE)
    await store.open()
    data = content(size)
    digest = await stored(store, catalog, image("1", digest=sha(data)), data)
    before = await objects_at(place)
    await spoil_blob(place, catalog, digest, size - 1)
    with pytest.raises(BlobCorrupt):
        await whole(store, digest)
    if way == "upload":
        await catalog.create_upload(upload("a"))
        staged = await fill(await store.staging.resume("a", 0), data)
        await staged.commit(lambda size: catalog.advance_upload("a", epoch=0, size=size, now=2))
        second = image("2", digest=digest)
        await staged.publish(
            lambda _: catalog.end_upload("a", state="READY", image=second, failure=None, now=3)
        )
        await staged.settle()
    else:
        twins = [image(f"{number}", digest=digest) for number in range(2, 3 + (way == "two at once"))]
        await asyncio.gather(*(add(store, catalog, twin, data) for twin in twins))
    assert await whole(store, digest) == data
    await store.sweep()
    await store.sweep()
    assert await whole(store, digest) == data
    after = await objects_at(place)
    assert not {*after} & {*before}, "the damaged objects go"
    assert len(after) == len(before)
    await store.close()


async def test_whoever_reads_goes_on_where_the_same_bytes_have_come_again(
    new_store: Callable[..., RestartedS3Store], catalog: PostgresCatalog, image: Make, upload: MakeUpload
) -> None:
    """In objects that begin elsewhere, and with the first ones removed."""
    store = new_store(graces=AT_ONCE)
    await store.open()
    data = content(SIZE)
    digest = await stored(store, catalog, image("1", digest=sha(data)), data)
    async with aclosing(store.blobs.read(digest)) as pieces:
        read = await anext(pieces)
        await catalog.create_upload(upload("a"))
        staged = await store.staging.resume("a", 0)
        for start, end in ((0, MIB + 5), (MIB + 5, SIZE)):
            await fill(staged, data[start:end])
            await staged.commit(lambda size: catalog.advance_upload("a", epoch=0, size=size, now=2))
        second = image("2", digest=digest)
        await staged.publish(
            lambda _: catalog.end_upload("a", state="READY", image=second, failure=None, now=3)
        )
        await staged.settle()
        await store.sweep()
        async for piece in pieces:
            read += piece
    assert read == data
    await store.close()
