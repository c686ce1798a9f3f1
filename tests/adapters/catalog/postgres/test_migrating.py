"""How the tables in PostgreSQL come to be."""

import asyncio
from collections.abc import Callable

import pytest

from conexiones.adapters.catalog.postgres import migrating
from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import connect
from conexiones.ports.records import ImageRecord
from tests.support.postgres import Engine
from tests.support.waiting import DEADLINE

Make = Callable[..., ImageRecord]


def test_steps_are_numbered_without_gaps() -> None:
    assert list(migrating.steps()) == list(range(1, len(migrating.steps()) + 1))


async def test_of_many_servers_that_start_at_once_one_makes_the_tables(
    postgres: Engine, database: str, image: Make
) -> None:
    catalogs = [PostgresCatalog(database) for _ in range(5)]
    await asyncio.gather(*(catalog.open() for catalog in catalogs))
    await asyncio.gather(*(catalog.add_image(image(f"{at}")) for at, catalog in enumerate(catalogs)))
    for catalog in catalogs:
        assert await catalog.event_range() == (0, 5)
        await catalog.close()
    assert postgres.sql("SELECT count(*) FROM migrations", url=database) == f"{len(migrating.steps())}"


async def test_a_newer_database_is_refused_and_left_alone(postgres: Engine, database: str) -> None:
    catalog = PostgresCatalog(database)
    await catalog.open()
    await catalog.close()
    postgres.sql("INSERT INTO migrations VALUES (99, 'from the future', now())", url=database)
    with pytest.raises(
        ValueError, match=r"schema version 99, and this server knows . at most: start the newer"
    ):
        await catalog.open()


async def test_a_step_that_fails_changes_nothing_and_is_done_later(
    postgres: Engine, database: str, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = PostgresCatalog(database)
    await catalog.open()
    await catalog.add_image(image("1"))
    await catalog.close()
    steps = migrating.steps()
    number = max(steps) + 1
    good = (f"{number:04}_good.sql", "ALTER TABLE images ADD COLUMN colour text")
    bad = (f"{number + 1:04}_bad.sql", "UPDATE images SET colour = 'red'; SELECT 1 / 0")
    monkeypatch.setattr(migrating, "steps", lambda: steps | {number: good, number + 1: bad})
    with pytest.raises(Exception, match="division by zero"):
        await catalog.open()
    assert postgres.sql("SELECT max(version) FROM migrations", url=database) == f"{number - 1}"
    monkeypatch.setattr(migrating, "steps", lambda: steps | {number: good})
    await catalog.open()
    assert await catalog.get_image("1") == image("1")
    await catalog.add_image(image("2"))
    await catalog.close()
    assert postgres.sql("SELECT max(version) FROM migrations", url=database) == f"{number}"


async def test_servers_go_on_while_a_step_waits_for_a_table(
    postgres: Engine, database: str, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "TABLE_SECONDS", 0.1)
    monkeypatch.setattr(migrating, "PAUSE_SECONDS", 0.5)
    old = PostgresCatalog(database)
    await old.open()
    steps = migrating.steps()
    number = max(steps) + 1
    step = (f"{number:04}_step.sql", "ALTER TABLE images ADD COLUMN colour text")
    monkeypatch.setattr(migrating, "steps", lambda: steps | {number: step})
    reader = await connect(Address(database), seconds=DEADLINE)
    await reader.execute("BEGIN; LOCK TABLE images IN ACCESS SHARE MODE")  # as pg_dump does
    new = PostgresCatalog(database)
    opening = asyncio.create_task(new.open())
    for lap in range(5):
        await old.add_image(image(f"{lap}"))
        await asyncio.wait((opening,), timeout=0.3)
    assert not opening.done()
    await reader.execute("COMMIT")
    reader.terminate()
    await opening
    assert await new.get_image("4") == image("4")
    monkeypatch.setattr(migrating, "ATTEMPTS", 0)
    for catalog in (old, new):
        await catalog.close()
    postgres.sql(f"DELETE FROM migrations WHERE version = {number}", url=database)
    with pytest.raises(ValueError, match="which something holds, such as pg_dump"):
        await new.open()
