"""Uploads that several servers hold, one after the other or at once."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import obstore
import pytest

from conexiones.adapters.blobs.s3 import rows, sha256
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.errors import StorageUnavailable, UploadBytesExceeded, WriterFenced
from conexiones.ports.records import ImageRecord, UploadQuota, UploadRecord
from conexiones.ports.staging import ResumableStaged
from tests.adapters.blobs.contents import MIB, content, everything, fill, sha, tell_nobody, whole
from tests.adapters.blobs.s3.restarted import AT_ONCE, RestartedS3Store, objects_at

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]
NewStore = Callable[..., RestartedS3Store]
Advance = Callable[[int], Awaitable[UploadRecord | None]]


@pytest.fixture
async def two(
    new_store: NewStore, catalog: PostgresCatalog, upload: Upload
) -> AsyncIterator[list[RestartedS3Store]]:
    """Two servers, and the row of the upload "a"."""
    stores = [new_store(graces=AT_ONCE) for _ in range(2)]
    for store in stores:
        await store.open()
    await catalog.create_upload(upload("a"))
    yield stores
    for store in stores:
        await store.close()


@pytest.fixture
def advance(catalog: PostgresCatalog) -> Callable[[int], Advance]:
    """Counts the bytes of "a", for the writer of an epoch."""

    def of(epoch: int) -> Advance:
        return lambda size: catalog.advance_upload("a", epoch=epoch, size=size, now=2)

    return of


async def extents(catalog: PostgresCatalog) -> list[rows.Place]:
    return await catalog.read(rows.extents_of, "a")


async def test_another_server_goes_on_and_reads_no_byte(
    two: list[RestartedS3Store],
    catalog: PostgresCatalog,
    advance: Callable[[int], Advance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b""
    reads: list[str] = []
    get = obstore.get_range_async

    async def counting(store: Any, path: str, **given: Any) -> Any:
        reads.append(path)
        return await get(store, path, **given)

    monkeypatch.setattr(obstore, "get_range_async", counting)
    for turn, size in enumerate([1, 2 * MIB + 5, 700_000, 5 * MIB]):
        staged = await two[turn % 2].staging.resume("a", len(data))
        await fill(staged, content(size))
        data += content(size)
        upload = await staged.commit(advance(0))
        assert upload is not None
        assert upload.committed_size == staged.size == len(data)
        await staged.release()
    staged = await two[0].staging.resume("a", len(data))
    assert await staged.publish(tell_nobody) == sha(data)
    assert reads == []
    await staged.settle()
    assert await whole(two[1], sha(data)) == data


async def test_where_no_state_can_be_kept_the_bytes_are_read_again(
    two: list[RestartedS3Store],
    catalog: PostgresCatalog,
    advance: Callable[[int], Advance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = content(3 * MIB)
    staged = await fill(await two[0].staging.resume("a", 0), data)
    await staged.commit(advance(0))
    await staged.release()
    monkeypatch.setattr(sha256, "library", lambda: None)
    staged = await fill(await two[1].staging.resume("a", len(data)), b"more")
    await staged.commit(advance(0))
    await staged.release()
    assert (await extents(catalog))[-1].hash == b""
    monkeypatch.undo()
    staged = await two[0].staging.resume("a", len(data) + 4)
    assert await staged.publish(tell_nobody) == sha(data + b"more")


async def test_of_two_that_hold_the_same_bytes_one_goes_on(
    two: list[RestartedS3Store], catalog: PostgresCatalog, advance: Callable[[int], Advance]
) -> None:
    """Even with one epoch and one size, as when a client sends to two servers at once."""
    first, second, third = (
        await two[0].staging.resume("a", 0),
        await two[1].staging.resume("a", 0),
        None,
    )
    await first.write(b"first")
    await first.commit(advance(0))
    await second.write(b"other")
    with pytest.raises(WriterFenced):
        await second.commit(advance(0))
    with pytest.raises(WriterFenced):
        await second.publish(lambda digest: _end(catalog, digest))
    await second.release()
    third = await two[1].staging.resume("a", 5)
    assert await third.inspect(everything) == b"first"
    await third.write(b" third")
    await third.commit(advance(0))
    await first.write(b"x")
    with pytest.raises(WriterFenced):
        await first.commit(advance(0))
    assert await third.publish(tell_nobody) == sha(b"first third")


async def _end(catalog: PostgresCatalog, digest: bytes) -> UploadRecord | None:
    return await catalog.end_upload("a", state="READY", image=None, failure=None, now=3)


async def test_a_fenced_writer_changes_nothing(
    two: list[RestartedS3Store], catalog: PostgresCatalog, advance: Callable[[int], Advance]
) -> None:
    zombie = await fill(await two[0].staging.resume("a", 0), b"zombie")
    await catalog.claim_upload("a", now=2)
    upload = await zombie.commit(advance(0))  # the domain sees by the epoch that it is fenced
    assert upload is not None
    assert (upload.writer_epoch, upload.committed_size) == (1, 0)
    assert await extents(catalog) == []
    heir = await fill(await two[1].staging.resume("a", 0), b"heir")
    await heir.commit(advance(1))
    with pytest.raises(WriterFenced):
        await zombie.commit(advance(0))
    await zombie.release()
    assert await heir.publish(tell_nobody) == sha(b"heir")


async def test_small_extents_are_put_together(
    two: list[RestartedS3Store],
    catalog: PostgresCatalog,
    advance: Callable[[int], Advance],
    image: Make,
    place: BlobPlace,
) -> None:
    data = content(5 * MIB)
    staged: ResumableStaged = await two[0].staging.resume("a", 0)
    for at in range(0, len(data), 250_000):
        await staged.write(data[at : at + 250_000])
        await staged.commit(advance(0))
    found = await extents(catalog)
    assert len(found) < 12
    assert [one.at for one in found] == [0, *(one.end for one in found[:-1])]
    assert max(one.size for one in found) >= 2 * MIB
    await staged.release()
    staged = await two[1].staging.resume("a", len(data))
    record = image("1", digest=sha(data))

    async def end(digest: bytes) -> UploadRecord | None:
        assert digest == record.digest
        return await catalog.end_upload("a", state="READY", image=record, failure=None, now=3)

    await staged.publish(end)
    await staged.settle()
    assert await extents(catalog) == []
    assert await whole(two[0], sha(data)) == data
    await two[0].sweep()
    await two[0].sweep()
    assert len(await objects_at(place)) == len(found)
    assert await whole(two[0], sha(data)) == data


async def test_bytes_for_which_there_is_no_room_are_not_recorded(
    two: list[RestartedS3Store], catalog: PostgresCatalog, advance: Callable[[int], Advance]
) -> None:
    quota = UploadQuota(uploads=9, bytes=100)
    staged = await fill(await two[0].staging.resume("a", 0), content(1000))
    with pytest.raises(UploadBytesExceeded):
        await staged.commit(lambda size: catalog.advance_upload("a", epoch=0, size=size, now=2, quota=quota))
    assert await extents(catalog) == []
    upload = await staged.commit(advance(0))  # the same ones, where there is room for them
    assert upload is not None
    assert upload.committed_size == 1000
    assert len(await extents(catalog)) == 1


async def test_an_upload_that_was_ended_elsewhere_gets_no_image(
    two: list[RestartedS3Store], catalog: PostgresCatalog, advance: Callable[[int], Advance], image: Make
) -> None:
    staged = await fill(await two[0].staging.resume("a", 0), b"123")
    await staged.commit(advance(0))
    await catalog.end_upload("a", state="CANCELLED", image=None, failure=None, now=2)
    record = image("1", digest=sha(b"123"))
    ended = await staged.publish(
        lambda _: catalog.end_upload("a", state="READY", image=record, failure=None, now=3)
    )
    assert ended is not None
    assert ended.state == "CANCELLED"
    assert await catalog.read(rows.find_blob, sha(b"123"), 0) is None
    await staged.release()


async def test_a_commit_whose_objects_are_too_old_is_refused(
    two: list[RestartedS3Store],
    catalog: PostgresCatalog,
    advance: Callable[[int], Advance],
    new_store: NewStore,
) -> None:
    late = new_store(graces=AT_ONCE.__class__(part=-10))
    await late.open()
    staged = await fill(await late.staging.resume("a", 0), b"123")
    with pytest.raises(StorageUnavailable):
        await staged.commit(advance(0))
    upload = await catalog.get_upload("a")
    assert upload is not None
    assert upload.committed_size == 0
    await late.close()


async def test_one_that_ends_before_it_is_resumed_is_not_damaged(
    two: list[RestartedS3Store], catalog: PostgresCatalog, advance: Callable[[int], Advance], image: Make
) -> None:
    staged = await fill(await two[0].staging.resume("a", 0), b"123")
    await staged.commit(advance(0))
    row = await catalog.claim_upload("a", now=2)  # by another server, which is slow
    assert row is not None
    assert row.state == "OPEN"
    record = image("1", digest=sha(b"123"))
    await staged.publish(lambda _: catalog.end_upload("a", state="READY", image=record, failure=None, now=3))
    with pytest.raises(WriterFenced):
        await two[1].staging.resume("a", row.committed_size)
    assert await whole(two[1], sha(b"123")) == b"123"


async def test_a_writer_that_is_slower_than_the_next_one_changes_nothing(
    two: list[RestartedS3Store], catalog: PostgresCatalog, advance: Callable[[int], Advance]
) -> None:
    """Even where both have sent as many bytes: it has the upload, then another one has it and commits, and
    then it opens the bytes."""
    slow = await catalog.claim_upload("a", now=2)
    assert slow is not None
    await catalog.claim_upload("a", now=2)
    heir = await fill(await two[1].staging.resume("a", 0), b"the heir")
    await heir.commit(advance(2))
    with pytest.raises(WriterFenced) as caught:
        await _sent(two[0], slow.committed_size, b"a zombie", advance(1))
    assert caught.value.facts["epoch"] == 2
    await heir.write(b" more")
    await heir.commit(advance(2))
    assert await heir.publish(tell_nobody) == sha(b"the heir more")


async def test_a_fenced_writer_that_finishes_leaves_the_bytes_to_the_next_one(
    two: list[RestartedS3Store],
    catalog: PostgresCatalog,
    advance: Callable[[int], Advance],
    image: Make,
) -> None:
    """Even where an image has the same bytes already."""
    await _store(two[0], catalog, image("twin", digest=sha(b"123")), b"123")
    staged = await fill(await two[0].staging.resume("a", 0), b"123")
    await staged.commit(advance(0))
    await catalog.claim_upload("a", now=2)
    heir = await two[1].staging.resume("a", 3)
    record = image("1", digest=sha(b"123"))
    refused = await staged.publish(
        lambda _: catalog.end_upload("a", state="READY", image=record, failure=None, now=3, epoch=0)
    )
    assert refused is not None
    assert (refused.state, refused.writer_epoch) == ("OPEN", 1)
    await staged.release()
    await two[0].sweep()
    assert [one.end for one in await extents(catalog)] == [3]
    await heir.write(b"4")
    await heir.commit(advance(1))
    await heir.release()
    heir = await two[1].staging.resume("a", 4)
    assert await heir.inspect(everything) == b"1234"


async def _sent(store: RestartedS3Store, size: int, data: bytes, advance: Advance) -> None:
    staged = await fill(await store.staging.resume("a", size), data)
    await staged.commit(advance)


async def _store(store: RestartedS3Store, catalog: PostgresCatalog, record: ImageRecord, data: bytes) -> None:
    staged = await fill(store.staging.stage(), data)
    await staged.publish(lambda _: catalog.add_image(record))
    await staged.settle()
