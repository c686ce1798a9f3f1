"""Renditions that are kept, on the real store and with real decoders."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from PIL import Image

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.domain.images import Images
from conexiones.domain.renditions import Renditions, Wanted
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import ImageRecord, Rendered
from conexiones.ports.renditions import RenditionFile
from conexiones.principals import EVERYBODY
from tests.adapters.decoder.workers import encoded, pool
from tests.domain.conftest import LIMITS


class Cache(FileRenditions):
    """A cache in which `meanwhile` is awaited before a rendition that was made is there."""

    async def meanwhile(self) -> None:
        pass

    async def add(
        self, digest: bytes, name: str, make: Callable[[Path], Awaitable[Rendered]]
    ) -> RenditionFile:
        async def made(into: Path) -> Rendered:
            rendered = await make(into)
            await self.meanwhile()
            return rendered

        return await super().add(digest, name, made)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path, limit=1 << 20)


@pytest.fixture
def catalog(tmp_path: Path) -> SqliteCatalog:
    return SqliteCatalog(tmp_path / "catalog.sqlite3")


@pytest.fixture
async def renditions(
    tmp_path: Path, catalog: SqliteCatalog, cache: Cache
) -> AsyncIterator[tuple[Renditions, ImageRecord]]:
    """Renditions, and a stored image."""
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    async with pool(decode_pixels=10**8) as decoder:
        for part in (catalog, store, cache):
            await part.open()
        images = Images(catalog, store.staging, store.blobs, decoder, LIMITS)
        image = await images.add(encoded(Image.new("RGB", (60, 40), "red"), "PNG"), by=EVERYBODY)
        yield Renditions(catalog, store.blobs, decoder, cache, LIMITS), image
        for part in (cache, store, catalog):
            await part.close()


async def test_what_an_earlier_version_made_is_made_again(
    renditions: tuple[Renditions, ImageRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, image = renditions

    async def kept() -> int:
        async with made.open(image, Wanted(width=30)):
            return len(list((tmp_path / "renditions").rglob(f"{image.digest.hex()}.*")))

    assert [await kept(), await kept()] == [1, 1]
    monkeypatch.setattr("conexiones.domain.renditions.JUDGE", 10**9)
    assert [await kept(), await kept()] == [2, 2]


async def test_what_is_deleted_while_it_is_made_is_not_kept(
    renditions: tuple[Renditions, ImageRecord], catalog: SqliteCatalog, cache: Cache
) -> None:
    made, image = renditions

    async def delete() -> None:
        await catalog.delete_image(image.id, now=1)
        await made.forget(image.digest)

    async with made.open(image, Wanted(width=30)):
        assert await cache.digests() == [image.digest]
    cache.meanwhile = delete  # type: ignore[method-assign]
    async with made.open(image, Wanted(width=20)) as rendition:
        assert rendition.rendered.width == 20
        assert await cache.digests() == []


def open_files() -> list[str]:
    return [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]


async def test_one_that_cannot_be_looked_up_again_leaves_nothing_open(
    renditions: tuple[Renditions, ImageRecord],
    catalog: SqliteCatalog,
    cache: Cache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, image = renditions

    async def unavailable(digest: bytes) -> bool:
        raise StorageUnavailable

    async def delete_another() -> None:
        await made.forget(bytes(32))
        monkeypatch.setattr(catalog, "has_digest", unavailable)

    cache.meanwhile = delete_another  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailable):
        async with made.open(image, Wanted(width=20)):
            pass
    assert not [file for file in open_files() if file.startswith(str(tmp_path / "renditions"))]
