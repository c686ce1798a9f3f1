from collections.abc import AsyncIterator, Callable

import pytest

from conexiones.adapters.blobs.s3.patience import Graces
from tests.adapters.blobs.s3.restarted import RestartedS3Store


@pytest.fixture
def backend() -> str:
    return "s3"


@pytest.fixture
def graces() -> Graces | None:
    """What the sweeper of `store` leaves for later, for modules to override."""
    return None


@pytest.fixture
async def store(
    new_store: Callable[..., RestartedS3Store], graces: Graces | None
) -> AsyncIterator[RestartedS3Store]:
    store = new_store(graces=graces)
    await store.open()
    yield store
    await store.close()
