"""What goes on in the background while the storage fails."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from conexiones import app
from conexiones.errors import StorageFull
from tests.support.waiting import idle, until


async def full() -> None:
    raise StorageFull from OSError(28, "No space left on device")


async def in_a_group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(full())


@pytest.mark.parametrize(
    "run",
    [
        lambda: app._again("Verifying", full),
        lambda: app._again("Verifying", in_a_group),
        lambda: app._sweep(9, full),
    ],
)
async def test_a_full_disk_is_one_line_each_time(
    run: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    running = asyncio.ensure_future(run())
    await until(lambda: caplog.records)
    await idle()
    assert not running.done()
    running.cancel()
    (record,) = caplog.records
    assert record.exc_info is None
    assert record.message.endswith("OSError: [Errno 28] No space left on device")
