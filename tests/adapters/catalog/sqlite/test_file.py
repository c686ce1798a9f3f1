"""The file of the SQLite catalog: how it is laid out, and what goes wrong with files."""

import asyncio
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.catalog.sqlite import catalog as sqlite_catalog
from conexiones.adapters.catalog.sqlite import charges, room, transactions
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.catalog.sqlite.file import connect_to_write
from conexiones.adapters.catalog.sqlite.migrations import newest
from conexiones.errors import StorageFull
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
    left = {file.name for file in path.parent.iterdir()}
    assert left == {"catalog.db", "ballast"}, "the WAL is in the file"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (newest(),)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        plan = "EXPLAIN QUERY PLAN SELECT * FROM images WHERE user = 'ana' ORDER BY id DESC"
        assert "images_by_user" in str(connection.execute(plan).fetchall())
        assert "TEMP B-TREE" not in str(connection.execute(plan).fetchall())


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ("", "SCAN images"),
        ("WHERE id < 'x'", "PRIMARY KEY (id<?)"),
        ("WHERE user = 'ana' AND id < 'x'", "images_by_user (user=? AND id<?)"),
        ("WHERE create_time >= 1 AND create_time < 2", "images_by_time"),
        (
            "INDEXED BY images_by_digest WHERE id < 'x' AND digest IN (x'11', x'22')",
            "images_by_digest (digest=?",
        ),
        (
            "INDEXED BY images_by_owner WHERE user = 'ana' AND id < 'x' AND owner = 'eva' AND owner <> ''",
            "images_by_owner (owner=? AND id<?)",
        ),
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
    assert ("TEMP B-TREE" in plan) == ("create_time" in filters or "digest" in filters)


@pytest.mark.parametrize(
    "read",
    [
        transactions.all_rows,
        transactions.undescribed,
        lambda *given: transactions.judged_before(given[0], 2, *given[1:]),
    ],
    ids=["all_rows", "undescribed", "judged_before"],
)
def test_a_page_of_all_images_reads_none_of_those_before(tmp_path: Path, read: Callable[..., object]) -> None:
    asked: list[str] = []
    with closing(connect_to_write(tmp_path / "catalog.db")) as connection:
        connection.set_trace_callback(asked.append)
        read(connection, "x", 9)
        connection.set_trace_callback(None)
        (sql,) = asked
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
    assert "PRIMARY KEY (id<?)" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("question", ["_HELD", "_HELD_BY_CLIENT", "_QUIET", "_EXPIRE"])
def test_what_the_quota_asks_is_in_an_index(tmp_path: Path, question: str) -> None:
    sql = getattr(room, question)
    with closing(connect_to_write(tmp_path / "catalog.db")) as connection:
        given = (1,) * max(int(number) for number in [*re.findall(r"\?(\d)", sql), "1"])
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {sql}", given).fetchall())
    assert "COVERING INDEX uploads_open" in plan


@pytest.mark.parametrize("question", ["_OPEN", "_OPEN_WITH_TICKET"])
def test_open_uploads_of_an_owner_are_counted_in_an_index(tmp_path: Path, question: str) -> None:
    with closing(connect_to_write(tmp_path / "catalog.db")) as connection:
        sql = f"EXPLAIN QUERY PLAN {getattr(charges, question)}"
        plan = str(connection.execute(sql, ("ana",)).fetchall())
    assert "COVERING INDEX uploads_open" in plan


async def test_why_a_file_cannot_be_opened_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    path.write_bytes(b"not a database" * 1000)
    catalog = SqliteCatalog(path)
    with pytest.raises(ValueError, match=r"catalog.db is damaged \(file is not a database\): [^\n]*backup"):
        await catalog.open()
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"catalog.db cannot be opened: Is a directory\."):
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
    """Only a power cut would show that it is not. So a connection of the kind that commits is asked."""
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
    with pytest.raises(ValueError, match=r"catalog.db cannot be opened: .* full"):
        await catalog.open()
    filler.unlink()
    await catalog.open()
    assert await catalog.get_user("ana") is None
    await catalog.close()


async def test_events_are_forgotten_in_pieces_between_which_others_write(
    tmp_path: Path, image: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_catalog, "_FORGOTTEN", 10)
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    for number in range(36):
        await catalog.add_image(image(f"{number}"))
    pieces: list[int] = []
    forget = catalog.write

    async def counted(*given: Any) -> Any:
        pieces.append(await forget(*given))
        return pieces[-1]

    monkeypatch.setattr(catalog, "write", counted)
    await catalog.forget_events(keep=3)
    assert pieces == [10, 10, 10, 3]
    assert await catalog.event_range() == (33, 36)
    await catalog.forget_events(keep=3)
    assert pieces[4:] == [0]
    await catalog.close()
