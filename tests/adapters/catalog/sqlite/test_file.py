"""The SQLite catalog: its file, and what goes wrong with files."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.catalog.sqlite.file import connect_to_write
from conexiones.adapters.catalog.sqlite.migrations import newest
from conexiones.errors import StorageFull, StorageUnavailable
from conexiones.ports.records import ImageRecord

Make = Callable[..., ImageRecord]
Fill = Callable[[Path], None]


async def test_the_file_is_durable_versioned_and_private(tmp_path: Path, image: Make) -> None:
    path = tmp_path / "new" / "catalog.db"
    catalog = SqliteCatalog(path)
    assert not path.parent.exists(), "construction is without I/O"
    await catalog.open()
    await catalog.add_image(image("1"))
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await catalog.close()
    assert [file.name for file in path.parent.iterdir()] == ["catalog.db"], "the WAL is in the file"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest(),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        plan = "EXPLAIN QUERY PLAN SELECT * FROM images WHERE user = 'ana' ORDER BY id DESC"
        assert "images_by_user" in str(connection.execute(plan).fetchall())
        assert "TEMP B-TREE" not in str(connection.execute(plan).fetchall())


async def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {newest() + 1}")
    before = path.read_bytes()
    catalog = SqliteCatalog(path)
    with pytest.raises(
        ValueError, match=rf"catalog\.db has schema version {newest() + 1}, and this server knows {newest()}"
    ) as error:
        await catalog.open()
    assert "\n" not in str(error.value)
    await catalog.close()
    assert path.read_bytes() == before


VERSION_1 = """
CREATE TABLE images (
    id TEXT NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, format TEXT NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, frames INTEGER NOT NULL, user TEXT,
    create_time INTEGER NOT NULL, PRIMARY KEY (id)
) WITHOUT ROWID;
CREATE INDEX images_by_digest ON images (digest);
CREATE INDEX images_by_user ON images (user, id);
CREATE TABLE users (
    name TEXT NOT NULL, pow INTEGER NOT NULL, image_id TEXT, create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL, PRIMARY KEY (name), FOREIGN KEY(image_id) REFERENCES images (id)
) WITHOUT ROWID;
INSERT INTO images VALUES ('1', x'11', 5, 'PNG', 1, 2, 1, 'ana', 7);
INSERT INTO users VALUES ('ana', 3, '1', 7, 8);
PRAGMA user_version = 1;
"""


def layout(path: Path) -> set[tuple[str, str]]:
    """Tables and indexes, without what is only notation."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    return {(name, "".join((sql or "").split())) for name, sql in rows}


async def test_a_file_of_version_1_is_brought_up_with_what_it_holds(tmp_path: Path, image: Make) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(VERSION_1)
    for _ in range(2):
        catalog = SqliteCatalog(old)
        await catalog.open()
        expected = image("1", digest=b"\x11", size=5, height=2, user="ana", create_time=7)
        assert await catalog.get_image("1") == expected
        assert (await catalog.get_user("ana")).image_id == "1"
        assert await catalog.event_range() == (0, 0)
        assert await catalog.stale_uploads(idle_since=9, created_before=9) == []
        await catalog.close()
    catalog = SqliteCatalog(new)
    await catalog.open()
    await catalog.close()
    assert layout(old) == layout(new)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest(),)


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        # In the way of the last thing that is created.
        connection.executescript(VERSION_1 + "CREATE TABLE uploads_by_state (x);")
    before = layout(path)
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await SqliteCatalog(path).open()
        assert layout(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute("DROP TABLE uploads_by_state")
    catalog = SqliteCatalog(path)
    await catalog.open()
    assert await catalog.get_user("ana")
    await catalog.close()


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ("", "SCAN images"),
        ("WHERE id < 'x'", "PRIMARY KEY (id<?)"),
        ("WHERE user = 'ana' AND id < 'x'", "images_by_user (user=? AND id<?)"),
        ("WHERE create_time >= 1 AND create_time < 2", "images_by_time"),
    ],
)
async def test_lists_are_served_by_an_index(tmp_path: Path, filters: str, index: str) -> None:
    path = tmp_path / "catalog.db"
    catalog = SqliteCatalog(path)
    await catalog.open()
    await catalog.close()
    with closing(sqlite3.connect(path)) as connection:
        sql = f"EXPLAIN QUERY PLAN SELECT * FROM images {filters} ORDER BY id DESC LIMIT 9"
        plan = str(connection.execute(sql).fetchall())
    assert index in plan
    assert ("TEMP B-TREE" in plan) == ("create_time" in filters)


async def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"not a database" * 1000)
    catalog = SqliteCatalog(path)
    with pytest.raises(StorageUnavailable) as error:
        await catalog.open()
    assert isinstance(error.value.__cause__, Exception)
    path.unlink()
    path.mkdir()
    with pytest.raises(StorageUnavailable):
        await catalog.open()


async def test_a_defect_of_the_caller_is_no_failure_of_the_storage(tmp_path: Path, image: Make) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    outcomes = await asyncio.gather(
        catalog.add_image(image("1", size=2**64)),
        catalog.put_user("ana", pow=2**64, image=image("2"), now=1),  # after its image was added
        catalog.add_image(image("3")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [OverflowError, OverflowError, type(None)]
    assert [bool(await catalog.get_image(name)) for name in "123"] == [False, False, True]
    await catalog.close()


def test_a_commit_is_synced(tmp_path: Path) -> None:
    """Only a power cut would show that it is not: so such a connection as commits is asked."""
    with closing(connect_to_write(tmp_path / "catalog.db")) as connection:
        for pragma, value in {"synchronous": 2, "foreign_keys": 1, "journal_mode": "wal"}.items():
            assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)


async def test_a_full_disk_ends_writes_clearly_and_goes_on_with_space(
    small_disk: Path, fill_disk: Fill, image: Make
) -> None:
    catalog = SqliteCatalog(small_disk / "catalog.db")
    await catalog.open()
    filler = small_disk / "filler"
    acknowledged: set[str] = set()
    refused: dict[str, StorageFull] = {}

    async def add(name: str) -> None:
        try:
            await catalog.add_image(image(name, user="x" * 1000))
        except StorageFull as error:
            refused[name] = error
        else:
            acknowledged.add(name)

    for attempt in range(3):
        await add(f"{attempt}.before")
        fill_disk(filler)
        for lap in range(100):
            await asyncio.gather(*(add(f"{attempt}.{lap}.{i}") for i in range(50)))
            if refused:
                break
        assert refused
        assert all(isinstance(error.__cause__, Exception) for error in refused.values())
        assert await catalog.get_image(min(acknowledged)), "reading goes on"
        assert not any([await catalog.get_image(name) for name in refused]), "what failed is not there"
        filler.unlink()
        await add(f"{attempt}.after")
        assert f"{attempt}.after" in acknowledged
        refused.clear()

    await catalog.close()
    await catalog.open()
    assert all([await catalog.get_image(name) for name in acknowledged])
    await catalog.close()


async def test_opening_on_a_full_disk_says_so_and_works_later(small_disk: Path, fill_disk: Fill) -> None:
    filler = small_disk / "filler"
    fill_disk(filler)
    catalog = SqliteCatalog(small_disk / "catalog.db")
    with pytest.raises(StorageFull):
        await catalog.open()
    filler.unlink()
    await catalog.open()
    assert await catalog.get_user("ana") is None
    await catalog.close()
