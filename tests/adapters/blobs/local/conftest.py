"""A store whose blobs are all files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog


@pytest.fixture
def backend() -> str:
    return "files"


@pytest.fixture
async def store(tmp_path: Path, catalog: SqliteCatalog) -> AsyncIterator[LocalStore]:
    """A store in which the smallest blob is a file, too. test_segments.py is about segments."""
    store = LocalStore(tmp_path / "files", catalog, writer=catalog.writer, small=0)
    await store.open()
    yield store
    await store.close()
