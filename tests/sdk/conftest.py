"""Clients of one server for all tests that do it no harm, and images big enough to be interrupted."""

from collections.abc import AsyncIterator, Iterator

import pytest

from conexiones import AsyncClient, Client
from conexiones.testing import Server
from tests.support.bitmaps import bitmap


@pytest.fixture
async def client(shared: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(shared.address) as client:
        yield client


@pytest.fixture
def blocking(shared: Server) -> Iterator[Client]:
    with Client(shared.address) as client:
        yield client


@pytest.fixture(scope="session")
def scan() -> bytes:
    """A BMP of 36 MB: more than the window of an upload."""
    return b"".join(bitmap(4000, 3000))
