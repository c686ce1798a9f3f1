"""docs/scale.md, "Backups": of both stores, made while servers store and delete, and restored elsewhere."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import obstore

from conexiones.adapters.blobs.s3.objects import MARK
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.ports.records import ImageRecord
from tests.adapters.blobs.contents import MIB, content, gone, sha, stored, whole
from tests.adapters.blobs.s3.restarted import AT_ONCE, PATIENT, RestartedS3Store, objects_at
from tests.support.paths import ROOT
from tests.support.postgres import Engine, binaries

SMALL, LARGE, DELETED, LATER = content(1000), content(5 * MIB), content(1001), content(1002)


@asynccontextmanager
async def stores(
    url: str, place: BlobPlace, folder: Path
) -> AsyncIterator[tuple[PostgresCatalog, RestartedS3Store]]:
    """Those of a server that removes at once what nothing refers to."""
    catalog = PostgresCatalog(url)
    await catalog.open()
    store = RestartedS3Store(place, catalog, folder=folder, graces=AT_ONCE)
    await store.open()
    yield catalog, store
    await store.close()
    await catalog.close()


def run(program: str, *arguments: str) -> None:
    subprocess.run([binaries() / program, *arguments], check=True, capture_output=True)


async def copy(one: BlobPlace, other: BlobPlace) -> None:
    """What `aws s3 sync` does with objects that never change."""
    here, there = one.connect(PATIENT), other.connect(PATIENT)
    for name in (MARK, *await objects_at(one)):
        data = bytes(await (await obstore.get_async(here, name)).bytes_async())
        await obstore.put_async(there, name, data, use_multipart=False)


async def test_a_backup_has_all_of_its_moment(
    postgres: Engine, place: BlobPlace, image: Callable[..., ImageRecord], tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "scale.md").read_text()
    hold, release = re.findall(r'psql "\$CONEXIONES_DATABASE" -c "([^"]+)"', page)
    (forget,) = re.findall(r'psql "\$NEW_DATABASE" -c "([^"]+)" -c "([^"]+)"', page)
    url, elsewhere = (postgres.url(postgres.database()) for _ in range(2))
    kept, restored = (replace(place, url=f"{place.url}-{name}") for name in ("kept", "restored"))
    dump = str(tmp_path / "conexiones.dump")
    async with stores(url, place, tmp_path / "one") as (catalog, store):
        for id, data in (("small", SMALL), ("large", LARGE), ("deleted", DELETED)):
            await stored(store, catalog, image(id, digest=sha(data), size=len(data)), data)
        postgres.sql(hold, url=url)
        await asyncio.to_thread(run, "pg_dump", "--format=custom", f"--file={dump}", url)
        await catalog.delete_image("deleted", now=1)
        await stored(store, catalog, image("later", digest=sha(LATER), size=len(LATER)), LATER)
        assert not await store.sweep(), "nothing is removed meanwhile"
        await copy(place, kept)
        postgres.sql(release, url=url)
        assert await store.sweep()
        assert len(await objects_at(place)) < len(await objects_at(kept)), "and it goes on"
        _, told = await catalog.event_range()

    await copy(kept, restored)
    flags = ("--no-owner", "--exit-on-error", f"--dbname={elsewhere}")
    await asyncio.to_thread(run, "pg_restore", *flags, dump)
    postgres.sql(";".join(forget), url=elsewhere)
    async with stores(elsewhere, restored, tmp_path / "two") as (catalog, store):
        oldest, newest = await catalog.event_range()
        assert told < oldest == newest, "whoever watched gets a Resync"
        assert not await store.sweep(), "as long as the first line says"
        postgres.sql(release, url=elsewhere)
        assert await store.sweep()
        for data in (SMALL, LARGE, DELETED):
            assert await whole(store, sha(data)) == data
        assert await gone(store, sha(LATER))
        assert {found.id for found, _ in await catalog.every_image(before=None, limit=10)} == {
            *("small", "large", "deleted")
        }
        assert len(await objects_at(restored)) == len(await objects_at(kept)) - 1, "what no row names goes"
