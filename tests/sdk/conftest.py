"""Clients of the server that a test calls, and an image big enough to be interrupted on its way."""

from collections.abc import AsyncIterator, Iterator

import pytest

from conexiones import AsyncClient, Client
from conexiones.testing import Server
from tests.support.bitmaps import bitmap


@pytest.fixture
async def client(serving: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(serving.address) as client:
        yield client


@pytest.fixture
def blocking(serving: Server) -> Iterator[Client]:
    with Client(serving.address) as client:
        yield client


@pytest.fixture(scope="session")
def scan() -> bytes:
    """A BMP of 24 MB: more than the window of an upload, and so much that most of it is brought by HTTP, also
    after an interruption."""
    return b"".join(bitmap(4000, 2000))
