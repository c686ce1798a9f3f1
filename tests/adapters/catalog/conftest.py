"""The suites of catalogs run on both: SQLite and PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.sqlite.access import SqliteCredentials
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.ports.access import Credentials
from tests.adapters.backends import CatalogBackend


@pytest.fixture(params=["sqlite", "postgres"])
def new_catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], CatalogBackend]:
    """Makes catalogs on one backend, each as if after a restart. The test opens and closes them."""
    if request.param == "sqlite":
        return lambda: SqliteCatalog(tmp_path / "data" / "catalog.db")
    url: str = request.getfixturevalue("database")
    return lambda: PostgresCatalog(url)


@pytest.fixture
def credentials(catalog: SqliteCatalog | PostgresCatalog) -> Credentials:
    """The credentials in the catalog."""
    if isinstance(catalog, SqliteCatalog):
        return SqliteCredentials(catalog)
    return PostgresCredentials(catalog)
