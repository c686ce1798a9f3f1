"""Sources and callbacks that fail in the middle: what they raise is raised as it is. It is no failure of the
transfer, and nothing is tried again."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import pytest

from conexiones import AsyncClient, errors
from conexiones.testing import Server
from tests.sdk.test_early_ends import lost
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

PATIENCE = 2 * DEADLINE
PIECE_BYTES = 100_000


@pytest.mark.parametrize(
    "error",
    [lost, errors.StorageUnavailable, asyncio.InvalidStateError, grpc.RpcError, TimeoutError, OSError],
)
@pytest.mark.parametrize("method", ["upload", "stream_image"])
async def test_what_a_source_raises(shared: Server, method: str, error: Callable[[], Exception]) -> None:
    mine = error()

    async def pieces() -> AsyncIterator[bytes]:
        data = b"".join(bitmap(800, 600))
        for at in range(0, len(data), PIECE_BYTES):
            yield data[at : at + PIECE_BYTES]
        raise mine

    # Both are longer than this waits.
    async with AsyncClient(shared.address, patience=PATIENCE, timeout=PATIENCE) as client:
        with pytest.raises(type(mine)) as raised:
            await asyncio.wait_for(getattr(client, method)(pieces()), DEADLINE)
    assert raised.value is mine


async def test_what_progress_raises(shared: Server) -> None:
    mine = TimeoutError()

    def progress(done: int, total: int | None) -> None:
        if done:
            raise mine

    async with AsyncClient(shared.address, patience=PATIENCE) as client:
        with pytest.raises(TimeoutError) as raised:
            await asyncio.wait_for(client.upload(b"".join(bitmap(1600, 1200)), progress=progress), DEADLINE)
    assert raised.value is mine
