"""What others commit is heard of, whatever becomes of the ways to the database."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.adapters.catalog.postgres import news
from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.ports.access import LinkKey
from conexiones.ports.records import ImageRecord
from tests.adapters.catalog.postgres.cutting import Way
from tests.support.postgres import Engine
from tests.support.waiting import DEADLINE, until

Make = Callable[..., ImageRecord]


async def test_while_the_database_itself_is_away_the_pooler_is_asked(
    postgres_catalog: PostgresCatalog,
    database: str,
    image: Make,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or a token that was revoked would be good for as long as that lasts."""
    monkeypatch.setattr(news, "LOOKS", 2)
    way = Way(tmp_path, database)
    await way.open()
    other = PostgresCatalog(database, direct=way.url)
    await other.open()
    try:
        await until(lambda: other._measures.listening)
        for number in range(1, 3):
            way.closed = True
            way.break_all()
            await until(lambda: "is not heard of" in caplog.text)
            await postgres_catalog.add_image(image(f"{number}"))
            key = LinkKey(id=f"{number}", secret=b"1", create_time=number)
            await PostgresCredentials(postgres_catalog).add_key(key)
            async with asyncio.timeout(DEADLINE):
                await other.changed(number - 1)
                await other.access_changed(number - 1)
            way.closed = False
            await until(lambda: other._measures.listening)
            caplog.clear()
    finally:
        await other.close()
        await way.close()


async def test_commits_that_were_taken_back_are_said_once_and_waited_for(
    postgres_catalog: PostgresCatalog,
    database: str,
    postgres: Engine,
    image: Make,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As by a failover to a standby that was behind. Watchers look for what comes, and not again and again
    for what is not there."""
    for number in range(1, 5):
        await postgres_catalog.add_image(image(f"{number}"))
    postgres.sql("UPDATE event_head SET sequence = 2; DELETE FROM events WHERE sequence > 2", url=database)
    await until(lambda: "has taken back what it had committed" in caplog.text)
    waiting = asyncio.ensure_future(postgres_catalog.changed(3))
    await postgres_catalog.add_image(image("5"))
    await postgres_catalog.changed(2)
    assert not waiting.done()
    await postgres_catalog.add_image(image("6"))
    async with asyncio.timeout(DEADLINE):
        await waiting
    assert caplog.text.count("has taken back") == 1
