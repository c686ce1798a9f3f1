"""Fixtures of all adapters. The suites in catalog/ and blobs/ run once for every backend named here."""

import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.writer import process as writer_process
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.backends import CatalogBackend
from tests.adapters.blobs.local.crash_worker import with_code
from tests.adapters.blobs.local.shop import InTheWriter, Make, Shop, ShopThatRuns
from tests.adapters.catalog.postgres.cutting import Way


@pytest.fixture
async def way(database: str) -> AsyncIterator[Way]:
    """A way to the database that can be cut."""
    with tempfile.TemporaryDirectory(prefix="way-") as folder:  # the names of sockets are short
        way = Way(Path(folder), database)
        await way.open()
        yield way
        await way.close()


@pytest.fixture(params=["sqlite"])
def new_catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], CatalogBackend]:
    """Makes catalogs on one backend, each as if after a restart. The test opens and closes them."""
    return {"sqlite": lambda: SqliteCatalog(tmp_path / "data" / "catalog.db")}[request.param]


@pytest.fixture
async def catalog(new_catalog: Callable[[], CatalogBackend]) -> AsyncIterator[Catalog]:
    catalog = new_catalog()
    await catalog.open()
    yield catalog
    await catalog.close()


@pytest.fixture
def image() -> Callable[..., ImageRecord]:
    """Makes records: `image("id")`, or with fields of one's own."""

    def make(id: str, **fields: object) -> ImageRecord:
        values: dict[str, Any] = {
            "digest": b"\x11" * 32,
            "size": 1,
            "format": "PNG",
            "width": 1,
            "height": 1,
            "frames": 1,
        }
        return ImageRecord(**{"id": id, "user": None, "create_time": 1, **values, **fields})

    return make


@pytest.fixture
def upload() -> Callable[..., UploadRecord]:
    """Makes records of open uploads: `upload("id")`, or with fields of one's own."""

    def make(id: str, **fields: object) -> UploadRecord:
        values: dict[str, Any] = {
            "request_id": f"request {id}",
            "state": "OPEN",
            "committed_size": 0,
            "declared_size": None,
            "writer_epoch": 0,
            "client": "",
            "user": None,
            "image_id": None,
            "failure": None,
            "create_time": 1,
            "update_time": 1,
        }
        return UploadRecord(**{"id": id, **values, **fields})

    return make


@pytest.fixture(params=["one step", "two steps"])
async def shop(
    request: pytest.FixtureRequest, tmp_path: Path, catalog: SqliteCatalog, image: Make
) -> AsyncIterator[Shop]:
    writer = catalog.writer if request.param == "one step" else None
    shop = Shop(tmp_path / "shop", catalog, image, writer=writer)
    await shop.open()
    yield shop
    await shop.close()


@pytest.fixture
def in_the_writer(monkeypatch: pytest.MonkeyPatch) -> InTheWriter:
    """Has writing processes that are started from now on run some code first."""

    def run(code: str) -> None:
        monkeypatch.setattr(writer_process, "PROGRAM", with_code(code))

    return run


@pytest.fixture
async def shop_that_runs(
    tmp_path: Path, catalog: Catalog, image: Make, in_the_writer: InTheWriter
) -> AsyncIterator[ShopThatRuns]:
    """Opens a shop with a writing process of its own, which runs some code first."""
    shop = Shop(tmp_path / "shop", catalog, image)

    async def run(code: str) -> Shop:
        in_the_writer(code)
        await shop.open()
        return shop

    yield run
    await shop.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(folder)]
    mount = subprocess.run(command, capture_output=True, text=True)
    if mount.returncode:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse(f"a full disk needs a tmpfs, which cannot be mounted here: {mount.stderr.strip()}")
    yield folder
    # Lazily: a file that a thread still has open must not keep the folder from going.
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def fill_disk() -> Callable[[Path], None]:
    """Takes all the space there is with one file."""

    def fill(path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    return fill
