"""Deleting images, on the real store."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.domain.gallery import Gallery
from conexiones.domain.images import Images
from conexiones.domain.renditions import Renditions, Wanted
from conexiones.errors import BlobCorrupt, ImageNotFound
from conexiones.principals import EVERYBODY
from tests.adapters.stored import stored_blobs
from tests.domain.conftest import LIMITS
from tests.support.bitmaps import bitmap


async def test_an_image_whose_row_is_damaged_can_be_deleted(tmp_path: Path) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    cache = FileRenditions(tmp_path, limit=1 << 20)
    # Never opened: nothing is decoded.
    decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
    for part in (catalog, store, cache):
        await part.open()
    images = Images(catalog, store.staging, store.blobs, decoder, LIMITS)
    gallery = Gallery(catalog, store.blobs, Renditions(catalog, store.blobs, decoder, cache, LIMITS))
    image = await images.add(b"".join(bitmap(400, 300)), by=EVERYBODY)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3", isolation_level=None)) as file:
        file.execute("UPDATE images SET width = width + 1")
    with pytest.raises(BlobCorrupt):  # whose it is, nobody knows
        await gallery.delete(image.id, by=replace(EVERYBODY, own=True, owner="token:shop"))
    assert set(stored_blobs(tmp_path)) == {image.digest.hex()}
    await gallery.delete(image.id, by=EVERYBODY)
    assert not stored_blobs(tmp_path)
    with pytest.raises(ImageNotFound):
        await gallery.delete(image.id, by=EVERYBODY)
    for part in (cache, store, catalog):
        await part.close()


@pytest.mark.parametrize("size", [(40, 30), (400, 300)], ids=["small", "large"])
async def test_what_was_deleted_a_moment_ago_is_not_found_and_not_damaged(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    cache = FileRenditions(tmp_path, limit=1 << 20)
    decoder = VipsDecoder(workers=1, decode_pixels=1 << 20, decode_seconds=10, decode_memory=1 << 28)
    for part in (catalog, store, cache, decoder):
        await part.open()
    images = Images(catalog, store.staging, store.blobs, decoder, LIMITS)
    renditions = Renditions(catalog, store.blobs, decoder, cache, LIMITS)
    gallery = Gallery(catalog, store.blobs, renditions)
    # The row is read, and then the image is deleted.
    image = await images.add(b"".join(bitmap(*size)), by=EVERYBODY)
    await gallery.delete(image.id, by=EVERYBODY)
    with pytest.raises(ImageNotFound):
        async with renditions.open(image, Wanted(width=16)):
            pass
    with pytest.raises(ImageNotFound):
        await anext(gallery.read(image, 0, 0))
    with pytest.raises(ImageNotFound):
        await images.preview(image)
    # Bytes that an image still has are damaged.
    image = await images.add(b"".join(bitmap(*size, seed=1)), by=EVERYBODY)
    _damage(tmp_path)
    with pytest.raises(BlobCorrupt):
        async with renditions.open(image, Wanted(width=16)):
            pass
    for part in (decoder, cache, store, catalog):
        await part.close()


async def test_a_deletion_that_is_cancelled_leaves_no_blob_without_an_image(tmp_path: Path) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    cache = FileRenditions(tmp_path, limit=1 << 20)
    # Never opened: nothing is decoded.
    decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
    for part in (catalog, store, cache):
        await part.open()
    images = Images(catalog, store.staging, store.blobs, decoder, LIMITS)
    gallery = Gallery(catalog, store.blobs, Renditions(catalog, store.blobs, decoder, cache, LIMITS))
    kept = set()
    for steps in range(40):
        image = await images.add(b"".join(bitmap(400, 300, seed=steps)), by=EVERYBODY)  # a file of its own
        deleting = asyncio.create_task(gallery.delete(image.id, by=EVERYBODY))
        for _ in range(steps):
            await asyncio.sleep(0)
        deleting.cancel()
        with suppress(asyncio.CancelledError):
            await deleting
        if await catalog.get_image(image.id):
            kept.add(image.digest.hex())
        assert set(stored_blobs(tmp_path)) == kept
    assert list((tmp_path / "incoming").iterdir()) == []
    for part in (cache, store, catalog):
        await part.close()


def _damage(folder: Path) -> None:
    """Loses the bytes of all blobs, and nothing else."""
    for path in (*folder.glob("blobs/**/*"), *folder.glob("segments/*")):
        if path.is_file() and not path.suffix:
            path.write_bytes(bytes(path.stat().st_size))
