"""Connections that were lost without a word while nobody used them."""

import asyncio
from typing import Any, cast

import pytest

from conexiones.adapters.catalog.postgres import reading
from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.connections import Connection, Patience
from conexiones.adapters.catalog.postgres.failures import ConnectionLost
from conexiones.adapters.catalog.postgres.measures import Measures
from conexiones.adapters.catalog.postgres.reading import Readers
from conexiones.errors import StorageUnavailable
from conexiones.metrics import Metrics


class Quiet:
    """A connection that answers, until it is `lost`: then nothing comes back, and nobody is told."""

    def __init__(self) -> None:
        self.lost = False
        self._ended = asyncio.Event()

    async def ask(self) -> "Quiet":
        await asyncio.sleep(0)
        if self.lost:
            await self._ended.wait()
            raise ConnectionLost
        return self

    def is_closed(self) -> bool:
        return self._ended.is_set()

    def terminate(self) -> None:
        self._ended.set()


async def ask(connection: Connection) -> Quiet:
    return await cast(Quiet, connection).ask()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Quiet]:
    """The connections that were made."""
    made: list[Quiet] = []

    async def connect(*_: Any, **__: Any) -> Quiet:
        made.append(Quiet())
        return made[-1]

    monkeypatch.setattr(reading, "connect", connect)
    return made


@pytest.fixture
def readers(made: list[Quiet]) -> Readers:
    readers = Readers(Address("postgresql://host/name"), Patience(read=0.2), Measures(Metrics()))
    readers.open()
    return readers


async def test_when_one_is_lost_no_other_that_was_idle_is_tried(readers: Readers, made: list[Quiet]) -> None:
    await asyncio.gather(*(readers.read(ask) for _ in range(3)))
    assert len(made) == 3
    for connection in made:
        connection.lost = True
    with pytest.raises(StorageUnavailable):
        await readers.read(ask)
    assert await readers.read(ask) is made[3]
    assert all(connection.is_closed() for connection in made[:3])


async def test_one_that_was_not_used_for_long_is_not_used_again(
    readers: Readers, made: list[Quiet], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await readers.read(ask) is await readers.read(ask)
    monkeypatch.setattr(reading, "IDLE_SECONDS", 0.0)
    made[0].lost = True
    await asyncio.sleep(0.01)
    assert await readers.read(ask) is made[1]
    assert made[0].is_closed()
