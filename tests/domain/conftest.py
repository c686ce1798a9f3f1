"""The domain on the real store, without a server around it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.domain.images import Images, Limits
from conexiones.domain.uploads import Uploads

LIMITS = Limits(max_image_bytes=64 << 20, max_pixels=10**8, decode_pixels=10**8, decode_seconds=10)


@pytest.fixture
async def uploads(tmp_path: Path) -> AsyncIterator[Uploads]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    await catalog.open()
    await store.open()
    # Never opened: uploading decodes nothing.
    decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
    images = Images(catalog, store.staging, store.blobs, decoder, LIMITS)
    uploads = Uploads(catalog, store.staging, images)
    yield uploads
    await uploads.close()
    await store.close()
    await catalog.close()
