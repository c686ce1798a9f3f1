"""Reads that are broken off when nobody waits for them any more."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.catalog.sqlite.interruptible import Interruptible
from tests.support.waiting import DEADLINE

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT begun() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


async def test_a_read_ends_with_its_caller(tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def search(connection: sqlite3.Connection) -> None:
        connection.create_function("begun", 0, begun.set)
        try:
            connection.execute(ENDLESS).fetchall()
        finally:
            ended.set()

    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    reading = asyncio.create_task(catalog.read(search))
    assert await asyncio.to_thread(begun.wait, DEADLINE)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await asyncio.to_thread(ended.wait, DEADLINE)
    assert await catalog.get_image("none") is None
    await catalog.close()


def test_the_next_use_of_a_connection_is_not_touched() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        before = Interruptible()
        with before.using(connection):
            pass
        before.interrupt()
        with Interruptible().using(connection):
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError), before.using(connection):
            pass
