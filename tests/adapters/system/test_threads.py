"""Work in threads: what is left of it when it has failed."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from conexiones.adapters.system.threads import finish
from conexiones.errors import StorageFull


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the garbage collector only what nothing refers to is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Image:
    """Stands for the bytes that a caller holds."""


@pytest.mark.parametrize("raised", [ValueError("refused"), OSError(28, "full")], ids=["refused", "full"])
async def test_what_the_caller_of_a_failed_job_held_is_freed_at_once(
    raised: Exception, no_collector: None
) -> None:
    held: list[weakref.ref[Image]] = []

    def fails() -> None:
        raise type(raised)(*raised.args)

    async def caller(pool: ThreadPoolExecutor) -> None:
        image = Image()
        held.append(weakref.ref(image))
        await finish(pool.submit(fails))

    with ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            with pytest.raises((ValueError, StorageFull)):
                await caller(pool)
            await asyncio.sleep(0)
    assert [one() for one in held] == [None] * 3
