"""The suites of stores run on all: files, segments, and an object store beside PostgreSQL."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import SMALL, LocalStore
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from tests.adapters.backends import CatalogBackend
from tests.adapters.blobs.contents import Store
from tests.adapters.blobs.s3.restarted import RestartedS3Store
from tests.support.seaweed import ObjectServer


@pytest.fixture
def place(
    object_server: ObjectServer, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BlobPlace:
    """A place of its own for objects."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    return BlobPlace(url=f"s3://{bucket}/{tmp_path.name}", endpoint=object_server.url)


@pytest.fixture(params=["files", "segments", "s3"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_catalog(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], CatalogBackend]:
    if backend == "s3":
        url: str = request.getfixturevalue("database")
        return lambda: PostgresCatalog(url)
    return lambda: SqliteCatalog(tmp_path / "data" / "catalog.db")


@pytest.fixture
def new_store(
    backend: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    catalog: SqliteCatalog | PostgresCatalog,
) -> Callable[[], Store]:
    """Makes stores on one backend, each as if after a restart. The test opens and closes them."""
    if isinstance(catalog, PostgresCatalog):
        place: BlobPlace = request.getfixturevalue("place")
        return partial(RestartedS3Store, place, catalog, folder=tmp_path / "local")
    small = {"files": 0, "segments": SMALL}[backend]
    return lambda: LocalStore(tmp_path / "data", catalog, writer=catalog.writer, small=small)


@pytest.fixture
async def store(new_store: Callable[[], Store]) -> AsyncIterator[Store]:
    store = new_store()
    await store.open()
    yield store
    await store.close()
