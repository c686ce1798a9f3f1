"""The connection to the database is lost in a commit: what became of it is found out, places and all."""

from collections.abc import AsyncIterator, Callable

import pytest

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.patience import Graces
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.blobs.contents import MIB, content, fill, sha, whole
from tests.adapters.blobs.s3.restarted import AT_ONCE, RestartedS3Store, objects_at
from tests.adapters.catalog.postgres.cutting import Cut, Way

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]


@pytest.fixture
async def catalog(way: Way) -> AsyncIterator[PostgresCatalog]:
    catalog = PostgresCatalog(way.url)
    await catalog.open()
    yield catalog
    await catalog.close()


@pytest.fixture
def graces() -> Graces:
    return AT_ONCE


@pytest.mark.parametrize("cut", ["before the commit", "after the commit"])
@pytest.mark.parametrize("size", [1000, 3 * MIB])
async def test_an_image_has_its_bytes_whatever_became_of_the_commit(
    store: RestartedS3Store,
    catalog: PostgresCatalog,
    way: Way,
    image: Make,
    place: BlobPlace,
    cut: Cut,
    size: int,
) -> None:
    data = content(size)
    record = image("1", digest=sha(data))
    staged = await fill(store.staging.stage(), data)
    way.cut = cut
    await staged.publish(lambda _: catalog.add_image(record))
    await staged.settle()
    assert way.was_cut.is_set()
    assert await whole(store, sha(data)) == data
    await store.sweep()
    assert await whole(store, sha(data)) == data
    assert len(await objects_at(place)) == -(-size // (2 * MIB))


@pytest.mark.parametrize("cut", ["before the commit", "after the commit"])
async def test_committed_bytes_are_counted_and_placed_once(
    store: RestartedS3Store, catalog: PostgresCatalog, way: Way, upload: Upload, cut: Cut
) -> None:
    await catalog.create_upload(upload("a"))
    staged = await store.staging.resume("a", 0)
    for size in (1000, 2000):
        await staged.write(content(1000, size))
        way.cut = cut
        found = await staged.commit(lambda size: catalog.advance_upload("a", epoch=0, size=size, now=2))
        assert found is not None
        assert found.committed_size == size
    assert [one.end for one in await catalog.read(rows.extents_of, "a")] == [1000, 2000]
    await staged.release()
