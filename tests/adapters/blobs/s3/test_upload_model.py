"""Uploads with rows in PostgreSQL and bytes in an object store, compared with the same models."""

from dataclasses import replace
from itertools import count
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from tests.adapters.blobs.s3.restarted import AT_ONCE, RestartedS3Store
from tests.domain.uploads import test_model, test_small_model
from tests.support.lengths import examples
from tests.support.postgres import Engine


def test_uploads(postgres: Engine, place: BlobPlace) -> None:
    _check(on_shared(test_model.Machine, postgres, place), examples(4))


def test_small_images(postgres: Engine, place: BlobPlace) -> None:
    _check(on_shared(test_small_model.Machine, postgres, place), examples(3))


def on_shared(
    machine: type[RuleBasedStateMachine], postgres: Engine, place: BlobPlace
) -> type[RuleBasedStateMachine]:
    """The model, whose server has these backends, with an empty database and no objects each time."""
    numbers = count()

    class OnShared(machine):  # type: ignore[misc, valid-type]  # a class that is given
        def __init__(self) -> None:
            super().__init__()
            self.url = postgres.schema()
            self.place = replace(place, url=f"{place.url}/{next(numbers)}")

        def parts(self, root: Path) -> tuple[PostgresCatalog, RestartedS3Store]:
            catalog = PostgresCatalog(self.url)
            return catalog, RestartedS3Store(self.place, catalog, folder=root / "copies", graces=AT_ONCE)

    return OnShared


def _check(machine: type[RuleBasedStateMachine], times: int) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=times, stateful_step_count=20))
