"""A store opens only with the catalog that its blobs belong to."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.ports.records import ImageRecord
from tests.adapters.blobs.contents import content, stored, whole
from tests.adapters.stored import stored_blobs

Make = Callable[..., ImageRecord]
SMALL, LARGE = content(3000), content(300_000)


@asynccontextmanager
async def opened(root: Path):
    catalog = SqliteCatalog(root / "catalog.sqlite3")
    store = LocalStore(root, catalog, writer=catalog.writer)
    store.refuse_without(root / "catalog.sqlite3")
    await catalog.open()
    try:
        await store.open()
        yield store, catalog
    finally:
        await store.close()
        await catalog.close()


async def filled(root: Path, image: Make, *contents: bytes) -> list[bytes]:
    async with opened(root) as (store, catalog):
        return [await stored(store, catalog, image(f"{len(data)}"), data) for data in contents]


def identity(root: Path, new: int | None = None) -> int:
    with closing(sqlite3.connect(root / "catalog.sqlite3")) as connection:
        if new is not None:
            connection.execute(f"PRAGMA application_id = {new}")
        return connection.execute("PRAGMA application_id").fetchone()[0]


def forget_identity(root: Path) -> None:
    """Makes it a folder of an earlier version."""
    identity(root, 0)
    (root / "blobs" / "catalog-id").unlink()


def remove_catalog(root: Path) -> None:
    for path in root.glob("catalog.sqlite3*"):
        path.unlink()


async def refused(root: Path, match: str) -> None:
    before = stored_blobs(root)
    for _ in range(2):
        with pytest.raises(ValueError, match=match):
            async with opened(root):
                pass
    assert stored_blobs(root) == before, "nothing was swept"


async def test_both_have_the_same_identity_from_the_first_start(tmp_path: Path) -> None:
    for name in ("a", "b"):
        async with opened(tmp_path / name):
            pass
    one, other = (identity(tmp_path / name) for name in ("a", "b"))
    assert one != other
    assert (tmp_path / "a" / "blobs" / "catalog-id").read_text() == f"{one:08x}\n"
    async with opened(tmp_path / "a"):
        pass
    assert identity(tmp_path / "a") == one


async def test_a_folder_of_an_earlier_version_gets_an_identity(tmp_path: Path, image: Make) -> None:
    (small, large) = await filled(tmp_path, image, SMALL, LARGE)
    forget_identity(tmp_path)
    async with opened(tmp_path) as (store, _):
        assert await whole(store, small) == SMALL
        assert await whole(store, large) == LARGE
    assert (tmp_path / "blobs" / "catalog-id").read_text() == f"{identity(tmp_path):08x}\n"


@pytest.mark.parametrize("contents", [(SMALL,), (LARGE,), ()])
async def test_without_its_catalog_a_folder_is_refused(
    tmp_path: Path, image: Make, contents: tuple[bytes, ...]
) -> None:
    await filled(tmp_path, image, *contents)
    remove_catalog(tmp_path)
    await refused(tmp_path, "has images, but no catalog: put catalog.sqlite3 back")
    assert not (tmp_path / "catalog.sqlite3").exists(), "no empty one is left in its place"


@pytest.mark.parametrize("contents", [(SMALL,), (LARGE,)])
async def test_the_same_of_an_earlier_version(
    tmp_path: Path, image: Make, contents: tuple[bytes, ...]
) -> None:
    await filled(tmp_path, image, *contents)
    forget_identity(tmp_path)
    remove_catalog(tmp_path)
    await refused(tmp_path, "has images, but no catalog")
    async with opened(tmp_path / "new"):
        pass
    shutil.copy(tmp_path / "new" / "catalog.sqlite3", tmp_path)
    await refused(tmp_path, "has images, but its catalog is empty")
    identity(tmp_path, 0)  # the earlier version had made an empty one
    await refused(tmp_path, "has images, but its catalog is empty")


async def test_the_catalog_of_another_folder_is_refused(tmp_path: Path, image: Make) -> None:
    await filled(tmp_path / "a", image, SMALL, LARGE)
    await filled(tmp_path / "b", image, SMALL, LARGE)
    shutil.copy(tmp_path / "b" / "catalog.sqlite3", tmp_path / "a")
    await refused(tmp_path / "a", "is not that of the blobs beside it")


async def test_an_empty_catalog_of_another_folder_is_refused(tmp_path: Path, image: Make) -> None:
    await filled(tmp_path / "a", image, LARGE)
    await filled(tmp_path / "b", image)
    shutil.copy(tmp_path / "b" / "catalog.sqlite3", tmp_path / "a")
    await refused(tmp_path / "a", "is not that of the blobs beside it")


async def test_a_catalog_whose_blobs_are_missing_is_refused(tmp_path: Path, image: Make) -> None:
    await filled(tmp_path, image, SMALL, LARGE)
    for name in ("blobs", "segments"):
        shutil.rmtree(tmp_path / name)
    await refused(tmp_path, "has images, but the folder has none")


async def test_a_damaged_identity_is_said(tmp_path: Path, image: Make) -> None:
    await filled(tmp_path, image, LARGE)
    (tmp_path / "blobs" / "catalog-id").write_text("?")
    await refused(tmp_path, "catalog-id is damaged")


@pytest.mark.parametrize("known", ["catalog", "blobs"])
async def test_a_crash_between_the_two_is_made_up_for(tmp_path: Path, image: Make, known: str) -> None:
    (digest,) = await filled(tmp_path, image, LARGE)
    was = identity(tmp_path)
    if known == "catalog":
        (tmp_path / "blobs" / "catalog-id").unlink()
    else:
        identity(tmp_path, 0)  # or a copy from before the identity was put back
    async with opened(tmp_path) as (store, _):
        assert await whole(store, digest) == LARGE
    assert (tmp_path / "blobs" / "catalog-id").read_text() == f"{was:08x}\n"
    assert identity(tmp_path) == was


async def test_a_crash_at_the_very_first_start_is_made_up_for(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    (tmp_path / "blobs" / "catalog-id").unlink()
    (tmp_path / "segments" / "00000000").write_bytes(bytes(1 << 19))  # the zeros before the first record
    async with opened(tmp_path):
        pass
    assert (tmp_path / "blobs" / "catalog-id").read_text() == f"{identity(tmp_path):08x}\n"
