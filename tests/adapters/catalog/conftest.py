"""The suites of catalogs run on both: SQLite and PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.sqlite.access import SqliteCredentials
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.ports.access import Credentials
from tests.adapters.backends import CatalogBackend
from tests.support.postgres import Engine, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Engine]:
    """A PostgreSQL for all tests of this process that do not stop it."""
    with running() as engine:
        yield engine


@pytest.fixture
def database(postgres: Engine) -> str:
    """The URL of an empty database for catalogs."""
    return postgres.schema()


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
