"""Whose the objects at a place are: no server starts where they are not those that its database names."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import pytest

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3 import store as store_module
from conexiones.adapters.blobs.s3.objects import MARK
from conexiones.adapters.blobs.s3.patience import Graces
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import ImageRecord
from tests.adapters.blobs.contents import sha, whole
from tests.adapters.blobs.s3.restarted import AT_ONCE, PATIENT, RestartedS3Store, add, objects_at
from tests.support.postgres import Engine
from tests.support.waiting import DEADLINE

Make = Callable[..., ImageRecord]
NewStore = Callable[..., RestartedS3Store]


@pytest.fixture
def graces() -> Graces:
    return AT_ONCE


async def test_the_objects_of_another_database_are_left_alone(
    store: RestartedS3Store,
    catalog: PostgresCatalog,
    image: Make,
    place: BlobPlace,
    postgres: Engine,
    tmp_path: Path,
) -> None:
    """As when a database is named that is new, or that of other servers."""
    await add(store, catalog, image("1", digest=sha(b"1")), b"1")
    before = await objects_at(place)
    other = PostgresCatalog(postgres.url(postgres.database()))
    await other.open()
    stranger = RestartedS3Store(place, other, folder=tmp_path / "other", graces=AT_ONCE)
    with pytest.raises(ValueError, match="has the objects of another database"):
        await stranger.open()
    assert await objects_at(place) == before
    assert await whole(store, sha(b"1")) == b"1"
    await catalog.delete_image("1", now=1)
    await store.sweep()
    await stranger.open()  # there is nothing to lose any more
    await add(stranger, other, image("2", digest=sha(b"2")), b"2")
    with pytest.raises(ValueError, match="has the objects of another database"):
        await store.open()
    await stranger.close()
    await other.close()


async def test_a_place_without_objects_is_refused_where_the_database_names_some(
    store: RestartedS3Store, catalog: PostgresCatalog, image: Make, place: BlobPlace, tmp_path: Path
) -> None:
    """As when --blobs names another bucket or prefix: what is stored there is missing at all other servers,
    and nobody finds what was stored before."""
    wrong = replace(place, url=f"{place.url}-wrong")
    folder = tmp_path / "wrong"
    early = RestartedS3Store(replace(place, url=f"{place.url}-early"), catalog, folder=folder, graces=AT_ONCE)
    await early.open()  # nothing is stored yet
    await early.close()
    await add(store, catalog, image("1", digest=sha(b"1")), b"1")
    late = RestartedS3Store(wrong, catalog, folder=folder, graces=AT_ONCE)
    with pytest.raises(ValueError, match="has no objects, and the database names some") as refused:
        await late.open()
    number = re.search(r"with the text (\w+) there", str(refused.value))
    assert number
    assert await objects_at(wrong) == []
    # All is lost, and somebody knows it.
    await obstore.put_async(wrong.connect(PATIENT), MARK, f"{number[1]}\n".encode(), use_multipart=False)
    await late.open()
    await late.close()


async def test_a_start_asks_what_the_database_names_only_where_nobody_says_whose_the_objects_are(
    store: RestartedS3Store, catalog: PostgresCatalog, place: BlobPlace, tmp_path: Path
) -> None:
    """Of tables from which much was deleted the answer takes long; and a database that gives none is no fault
    of the bucket."""

    async def never(connection: Any) -> bool:
        raise StorageUnavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "names_objects", never)
        patch.setattr(store_module, "START_SECONDS", 10 * DEADLINE)
        again = RestartedS3Store(place, catalog, folder=tmp_path / "again")
        await again.open()
        await again.close()
        new = RestartedS3Store(replace(place, url=f"{place.url}-new"), catalog, folder=tmp_path / "new")
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(StorageUnavailable):
                await new.open()
