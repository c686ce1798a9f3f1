"""Many seeded runs over a bad network: each ends with the very bytes, or with a clear error.

CONEXIONES_FAULT_RUNS sets how many (15), CONEXIONES_FAULT_SEED the first seed (0).
"""

import asyncio
import os
from collections.abc import Iterator

import pytest

from conexiones import AsyncClient
from conexiones.errors import ConexionesError
from conexiones.sdk import ConnectionLost, NoProgress
from conexiones.testing import Server
from tests.sdk.proxy import Fault, Proxy
from tests.server.calls import bitmap

RUNS = int(os.environ.get("CONEXIONES_FAULT_RUNS", "15"))
FIRST = int(os.environ.get("CONEXIONES_FAULT_SEED", "0"))
IMAGE = b"".join(bitmap(1600, 1200))
LIMIT = 60.0


def source(seed: int) -> bytes | Iterator[bytes]:
    """The image as bytes, or as a stream of pieces that comes only once."""
    if seed % 2:
        return IMAGE
    step = 1000 + seed * 977
    return (IMAGE[at : at + step] for at in range(0, len(IMAGE), step))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
async def test_an_image_survives_the_network(shared: Server, seed: int) -> None:
    async with (
        Proxy(shared.address, seed, most_bytes=len(IMAGE) // 2) as proxy,
        AsyncClient(proxy.address, timeout=1.0, patience=20.0) as client,
        asyncio.timeout(LIMIT),
    ):
        # After six bad connections come good ones, within the client's patience: none of these may fail.
        image = await client.upload(source(seed), chunk_size=256 << 10)
        assert await client.download(image.id) == IMAGE
    print(f"seed {seed}: {' '.join(fault.name for fault in proxy.happened)}")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 4))
async def test_a_network_that_never_heals_is_a_clear_error(shared: Server, seed: int) -> None:
    async with (
        Proxy(shared.address, seed, most_bytes=200_000, faulty=10_000, faults=[Fault.CUT]) as proxy,
        AsyncClient(proxy.address, timeout=1.0, patience=1.0) as client,
        asyncio.timeout(LIMIT),
    ):
        try:
            # A chunk that is larger than what any connection lives for never arrives whole.
            await client.upload(IMAGE)
        except ConexionesError as error:
            assert isinstance(error, NoProgress | ConnectionLost)  # noqa: PT017 (or it succeeded)
            assert error.message.endswith(".")  # noqa: PT017
            assert proxy.happened
