"""What every Blobs promises of uploads that outlive connections and restarts, and of deletion."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable

import pytest

from conexiones.adapters.blobs.local.buffers import BATCH, OUTSTANDING, UNIT
from conexiones.errors import BlobCorrupt, StorageUnavailable
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UploadRecord
from conexiones.ports.staging import Staged
from tests.adapters.stored import everything
from tests.adapters.test_blobs import MIB, content, fill, gone, whole

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]
NAME = "0190b2a4-0000-7000-8000-00000000000a"


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


async def stored(blobs: Blobs, catalog: Catalog, record: ImageRecord, data: bytes) -> bytes:
    staged = await fill(blobs.stage(), data)
    digest = await staged.publish()
    await catalog.add_image(record)
    await staged.settle()
    return digest


async def committed(blobs: Blobs, name: str, data: bytes) -> None:
    staged = await fill(await blobs.resume(name, 0), data)
    assert await staged.commit() == len(data)
    await staged.release()


@pytest.fixture
async def restart(
    new_blobs: Callable[[], Blobs], catalog: Catalog
) -> AsyncIterator[Callable[[], asyncio.Future[Blobs]]]:
    """Opens a store as after a restart, having closed the one before."""
    opened: list[Blobs] = []

    async def again() -> Blobs:
        if opened:
            await opened[-1].close()
        opened.append(new_blobs())
        await opened[-1].open(catalog)
        return opened[-1]

    yield again
    await opened[-1].close()


@pytest.mark.parametrize("parts", [[1], [10, 0, 70_000], [3 * MIB + 5, 1, 2 * MIB], [MIB, MIB]])
@pytest.mark.parametrize("between", ["nothing", "release", "restart"])
async def test_what_is_committed_goes_on(
    restart: Callable[[], asyncio.Future[Blobs]],
    catalog: Catalog,
    upload: Upload,
    parts: list[int],
    between: str,
) -> None:
    await catalog.create_upload(upload(NAME))
    blobs = await restart()
    staged = await blobs.resume(NAME, 0)
    data = b""
    for i, part in enumerate(parts):
        assert staged.size == len(data)
        data += content(part, i)
        await fill(staged, content(part, i))
        assert await staged.commit() == staged.size == len(data)
        assert await staged.inspect(everything) == data
        if between != "nothing":
            await staged.release()
            blobs = await restart() if between == "restart" else blobs
            staged = await blobs.resume(NAME, len(data))
    digest = await staged.publish()
    assert digest == sha(data)
    await staged.settle()
    assert await whole(blobs, digest) == data
    with pytest.raises(BlobCorrupt):
        await blobs.resume(NAME, 1)


async def test_what_was_not_committed_is_cut_off(blobs: Blobs) -> None:
    staged = await fill(await blobs.resume(NAME, 0), content(2 * MIB))
    await staged.commit()
    await fill(staged, b"never acknowledged" * 100_000)
    await staged.release()
    staged = await blobs.resume(NAME, 2 * MIB)
    assert await staged.inspect(everything) == content(2 * MIB)
    await staged.release()
    staged = await blobs.resume(NAME, MIB + 1)  # the catalog had not heard of the rest
    await staged.write(b"other")
    expected = content(2 * MIB)[: MIB + 1] + b"other"
    assert await staged.publish() == sha(expected)
    await staged.settle()
    assert await whole(blobs, sha(expected)) == expected


async def test_bytes_that_are_missing_are_corrupt(blobs: Blobs) -> None:
    with pytest.raises(BlobCorrupt):
        await blobs.resume(NAME, 1)
    await committed(blobs, NAME, b"123")
    with pytest.raises(BlobCorrupt):
        await blobs.resume(NAME, 4)
    staged = await blobs.resume(NAME, 3)  # it is not held by the attempt before
    assert await staged.inspect(everything) == b"123"
    await staged.release()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a.copy", "ñ", "x" * 65, "a\n", "a b", "\0"])
async def test_what_is_no_name_is_refused(blobs: Blobs, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        await blobs.resume(name, 0)
    with pytest.raises(ValueError, match="no name"):
        await blobs.drop(name)


async def test_one_at_a_time_holds_a_name(blobs: Blobs) -> None:
    staged = await fill(await blobs.resume(NAME, 0), b"123")
    with pytest.raises(RuntimeError, match="held"):
        await blobs.resume(NAME, 0)
    await blobs.drop(NAME)  # held: nothing happens
    assert await staged.commit() == 3
    await staged.release()
    await staged.release()
    with pytest.raises(RuntimeError, match="let go"):
        await staged.write(b"4")
    with pytest.raises(RuntimeError, match="let go"):
        await staged.commit()
    with pytest.raises(RuntimeError, match="let go"):
        await staged.publish()
    second = await blobs.resume(NAME, 3)
    await staged.release()
    await staged.discard()  # of one that has let go: it takes nothing from the next
    with pytest.raises(RuntimeError, match="held"):
        await blobs.resume(NAME, 3)
    assert await second.inspect(everything) == b"123"
    await second.release()
    await blobs.drop(NAME)
    await blobs.drop(NAME)
    with pytest.raises(BlobCorrupt):
        await blobs.resume(NAME, 3)


async def test_discard_takes_all_and_release_keeps_what_is_committed(
    blobs: Blobs, catalog: Catalog, image: Make
) -> None:
    for published in (False, True):
        for ending in ("discard", "release"):
            await committed(blobs, NAME, content(MIB))
            staged = await blobs.resume(NAME, MIB)
            await staged.write(b"more")
            if published:
                digest = await staged.publish()
                with pytest.raises(RuntimeError, match="published"):
                    await staged.write(b"1")
                with pytest.raises(RuntimeError, match="published"):
                    await staged.commit()
            await getattr(staged, ending)()
            await getattr(staged, ending)()
            assert not published or await gone(blobs, digest)
            if ending == "discard":
                with pytest.raises(BlobCorrupt):
                    await blobs.resume(NAME, 1)
            else:
                staged = await blobs.resume(NAME, MIB)
                assert await staged.inspect(everything) == content(MIB)
                await staged.discard()
    await committed(blobs, NAME, content(10))
    staged = await blobs.resume(NAME, 10)
    await catalog.add_image(image("1", digest=await staged.publish()))
    await staged.release()  # as when the caller could not learn that the catalog has it
    assert await whole(blobs, sha(content(10))) == content(10)


@pytest.mark.parametrize("size", [10, 2 * MIB])
async def test_an_upload_that_goes_on_never_touches_a_twin(
    blobs: Blobs, catalog: Catalog, image: Make, size: int
) -> None:
    """The catalog failed after publish, and meanwhile another image has the very same bytes."""
    data = content(size)
    await committed(blobs, NAME, data)
    staged = await blobs.resume(NAME, size)
    digest = await staged.publish()
    assert await stored(blobs, catalog, image("1", digest=sha(data)), data) == digest
    await staged.release()
    for length in (size, size - 1, 0):  # 0: as little as that may be what the catalog knows
        staged = await blobs.resume(NAME, length)
        await fill(staged, b"x" * size)
        await staged.commit()
        assert await staged.inspect(everything) == data[:length] + b"x" * size
        assert await whole(blobs, digest) == data
        await staged.release()
    staged = await blobs.resume(NAME, size)
    await staged.discard()
    assert await whole(blobs, digest) == data


async def test_a_restart_after_publish_loses_nothing_committed(
    restart: Callable[[], asyncio.Future[Blobs]], catalog: Catalog, image: Make, upload: Upload
) -> None:
    data = content(2 * MIB + 1)
    for twin in (False, True):
        await catalog.create_upload(upload(NAME))
        blobs = await restart()
        await committed(blobs, NAME, data)
        staged = await blobs.resume(NAME, len(data))
        digest = await staged.publish()
        if twin:
            await stored(blobs, catalog, image("twin", digest=digest), data)
        blobs = await restart()
        assert await gone(blobs, digest) != twin
        staged = await blobs.resume(NAME, len(data))
        await staged.write(b"1")
        await staged.commit()
        assert not twin or await whole(blobs, digest) == data
        await staged.release()
        staged = await blobs.resume(NAME, len(data))
        assert await staged.publish() == digest
        record = image(f"{twin}", digest=digest)
        await catalog.end_upload(NAME, state="READY", image=record, failure=None, now=2)
        blobs = await restart()  # without settle
        assert await whole(blobs, digest) == data
        with pytest.raises(BlobCorrupt):
            await blobs.resume(NAME, 1)
        await catalog.delete_image(record.id, now=3)
        await blobs.delete(digest)
        assert await gone(blobs, digest) != twin
        await catalog.forget_uploads(ended_before=100)


async def test_a_restart_keeps_open_uploads_only(
    restart: Callable[[], asyncio.Future[Blobs]], catalog: Catalog, upload: Upload
) -> None:
    blobs = await restart()
    for name in ("open", "ended", "unknown"):
        await committed(blobs, name, b"123")
    await catalog.create_upload(upload("open"))
    await catalog.create_upload(upload("ended", state="CANCELLED"))
    blobs = await restart()
    await (await blobs.resume("open", 3)).release()
    for name in ("ended", "unknown"):
        with pytest.raises(BlobCorrupt):
            await blobs.resume(name, 3)


async def test_a_cancelled_write_is_never_committed_with_a_hole(blobs: Blobs) -> None:
    data = content(BATCH * (OUTSTANDING + 2) * UNIT)  # more than may be on its way
    holes = 0
    for turns in range(0, 40, 2):
        staged = await blobs.resume(NAME, 0)
        writing = asyncio.ensure_future(staged.write(data))
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait((writing,))
        size = 0
        try:
            size = await staged.commit()
        except StorageUnavailable:
            holes += 1
        await staged.release()
        staged = await blobs.resume(NAME, size)
        assert not size or await staged.inspect(everything) == data[:size]
        await staged.release()
    assert holes


async def test_a_cancelled_commit_can_be_asked_again(blobs: Blobs) -> None:
    for turns in range(20):
        staged = await fill(await blobs.resume(NAME, 0), content(MIB + 7))
        committing = asyncio.ensure_future(staged.commit())
        for _ in range(turns):
            await asyncio.sleep(0)
        committing.cancel()
        await asyncio.wait((committing,))
        await staged.write(b"1")
        assert await staged.commit() == MIB + 8
        assert await staged.inspect(everything) == content(MIB + 7) + b"1"
        await staged.release()


async def test_many_uploads_commit_at_once(blobs: Blobs, catalog: Catalog, image: Make) -> None:
    async def one(i: int) -> None:
        data = content(300_000 + i)
        staged = await blobs.resume(f"{i}", 0)
        for start in range(0, len(data), 50_000):
            await staged.write(data[start : start + 50_000])
            assert await staged.commit() == min(start + 50_000, len(data))
        digest = await staged.publish()
        await catalog.add_image(image(f"{i}", digest=digest))
        await staged.settle()
        assert await whole(blobs, digest) == data

    await asyncio.gather(*(one(i) for i in range(40)))


async def test_a_closed_store_resumes_nothing(new_blobs: Callable[[], Blobs], catalog: Catalog) -> None:
    blobs = new_blobs()
    with pytest.raises(StorageUnavailable):
        await blobs.resume(NAME, 0)
    with pytest.raises(StorageUnavailable):
        await blobs.delete(bytes(32))
    await blobs.open(catalog)
    staged = await fill(await blobs.resume(NAME, 0), b"1")
    await blobs.close()
    with pytest.raises(StorageUnavailable):
        await staged.commit()
    await staged.release()


async def test_delete_leaves_what_the_catalog_has(blobs: Blobs, catalog: Catalog, image: Make) -> None:
    digest = await stored(blobs, catalog, image("1", digest=sha(b"1")), b"1")
    await catalog.add_image(image("2", digest=digest))
    await blobs.delete(digest)
    await catalog.delete_image("1", now=1)
    await blobs.delete(digest)
    assert await whole(blobs, digest) == b"1"
    await catalog.delete_image("2", now=1)
    await blobs.delete(digest)
    assert await gone(blobs, digest)
    await blobs.delete(digest)
    await blobs.delete(bytes(32))


@pytest.mark.parametrize("named", [False, True])
async def test_delete_leaves_what_is_published_and_who_settles_looks_after_it(
    blobs: Blobs, catalog: Catalog, image: Make, named: bool
) -> None:
    async def published() -> tuple[Staged, bytes]:
        staged = await blobs.resume(NAME, 0) if named else blobs.stage()
        await fill(staged, content(70_000))
        return staged, await staged.publish()

    staged, digest = await published()
    await blobs.delete(digest)
    await catalog.add_image(image("1", digest=digest))
    await staged.settle()
    assert await whole(blobs, digest) == content(70_000)

    staged, digest = await published()  # a second image; both are deleted before it has settled
    await catalog.add_image(image("2", digest=digest))
    for name in ("1", "2"):
        await catalog.delete_image(name, now=1)
        await blobs.delete(digest)
    assert await whole(blobs, digest) == content(70_000), "it is not settled"
    await staged.settle()
    assert await gone(blobs, digest)


async def test_deletes_and_uploads_of_the_same_bytes_at_once(
    blobs: Blobs, catalog: Catalog, image: Make
) -> None:
    """Whatever the order: with an image the blob is there, without one it is gone."""
    rng = random.Random(7)
    kept = lost = 0
    for lap in range(120):
        data = content(3000, lap)
        digest = sha(data)
        await stored(blobs, catalog, image(f"{lap}", digest=digest), data)

        async def pause() -> None:
            for _ in range(rng.randrange(60)):
                await asyncio.sleep(0)

        async def delete(name: str, digest: bytes = digest) -> None:
            await pause()
            await catalog.delete_image(name, now=1)
            await pause()
            await blobs.delete(digest)

        async def upload(name: str, ending: str, data: bytes = data, digest: bytes = digest) -> None:
            staged = await blobs.resume(name.replace(".", "-"), 0) if rng.random() < 0.5 else blobs.stage()
            await staged.write(data)
            await pause()
            assert await staged.publish() == digest
            await pause()
            if ending == "drop":
                await staged.discard()
                return
            await catalog.add_image(image(name, digest=digest))
            removal = asyncio.ensure_future(delete(name)) if ending == "delete" else None
            await pause()
            assert removal or await whole(blobs, digest) == data
            await staged.settle()
            if removal:
                await removal

        endings = rng.choices(["keep", "delete", "drop"], [1, 4, 2], k=rng.randint(1, 3))
        await asyncio.gather(
            delete(f"{lap}"), *(upload(f"{lap}.{i}", ending) for i, ending in enumerate(endings))
        )
        if await catalog.has_digest(digest):
            kept += 1
            assert await whole(blobs, digest) == data
        else:
            lost += 1
            assert await gone(blobs, digest)
    assert min(kept, lost) > 10
