"""Renditions that are kept, on the real store and with real decoders."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.domain.images import Images
from conexiones.domain.renditions import Renditions, Wanted
from conexiones.ports.records import ImageRecord
from conexiones.principals import EVERYBODY
from tests.adapters.decoder.workers import encoded, pool
from tests.domain.conftest import LIMITS


@pytest.fixture
async def renditions(tmp_path: Path) -> AsyncIterator[tuple[Renditions, ImageRecord]]:
    """Renditions, and a stored image."""
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    cache = FileRenditions(tmp_path, limit=1 << 20)
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
