"""Uploads whose rows are in PostgreSQL, and whose bytes are in a folder, compared with the same model."""

from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from tests.domain.uploads.test_model import Machine
from tests.support.lengths import examples
from tests.support.postgres import Engine


def test_uploads(postgres: Engine) -> None:
    class OnPostgres(Machine):
        def __init__(self) -> None:
            super().__init__()
            self.url = postgres.schema()

        def parts(self, root: Path) -> tuple[PostgresCatalog, LocalStore]:
            catalog = PostgresCatalog(self.url)
            return catalog, LocalStore(root, catalog)

    run_state_machine_as_test(OnPostgres, settings=settings(max_examples=examples(4), stateful_step_count=25))
