"""Files of other versions: older ones are migrated, with a copy kept aside; newer ones are refused."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.catalog.sqlite.migrations import newest
from conexiones.adapters.catalog.sqlite.schema import STEPS
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import ImageRecord, UploadTerms
from conexiones.testing import Server, ServerError
from tests.adapters.blobs.local.shop import InTheWriter

Make = Callable[..., ImageRecord]
Fill = Callable[[Path], None]

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


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of version 1 with an image and a user."""
    path = tmp_path / "old.db"
    execute(path, VERSION_1)
    return path


def execute(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def asked(path: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def version(path: Path) -> object:
    return asked(path, "PRAGMA user_version")[0][0]


def layout(path: Path) -> set[tuple[object, str]]:
    """Tables and indexes, without what is only notation."""
    rows = asked(path, "SELECT name, sql FROM sqlite_master")
    return {(name, "".join(str(sql or "").split())) for name, sql in rows}


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


async def opened_and_closed(path: Path) -> None:
    catalog = SqliteCatalog(path)
    await catalog.open()
    await catalog.close()


async def test_a_newer_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    execute(path, f"PRAGMA user_version = {newest() + 1}")
    before = path.read_bytes()
    known = rf"catalog\.db has schema version {newest() + 1}, and this server knows {newest()}"
    with pytest.raises(ValueError, match=known) as error:
        await SqliteCatalog(path).open()
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    assert files(tmp_path) == {"catalog.db"}


def test_a_server_refuses_a_newer_folder_in_one_line(start: Callable[..., Server], tmp_path: Path) -> None:
    execute(tmp_path / "catalog.sqlite3", f"PRAGMA user_version = {newest() + 1}")
    with pytest.raises(ServerError) as refused:
        start(tmp_path)
    # The last line, behind the log of Envoy, which may end without a line break.
    _, _, sentence = str(refused.value).strip().splitlines()[-1].rpartition("conexiones: ")
    assert sentence.startswith(str(tmp_path / "catalog.sqlite3"))
    assert sentence.endswith("start the newer server that wrote it.")


async def test_a_file_of_version_1_is_brought_up_with_what_it_holds(old: Path, image: Make) -> None:
    for _ in range(2):
        catalog = SqliteCatalog(old)
        await catalog.open()
        expected = image("1", digest=b"\x11", size=5, height=2, user="ana", create_time=7)
        assert await catalog.get_image("1") == expected
        assert (await catalog.get_user("ana")).image_id == "1"
        assert await catalog.event_range() == (0, 0)
        terms = UploadTerms(idle=0, total=0, quiet=0, least_rate=0)
        assert await catalog.expire_uploads(terms, now=9) == []
        await catalog.close()
    new = old.with_name("new.db")
    await opened_and_closed(new)
    assert layout(old) == layout(new)
    assert version(old) == version(new) == newest()


async def test_the_old_file_is_kept_aside_once(old: Path) -> None:
    before = layout(old)
    kept, unfinished = old.with_name("old.db.v1"), old.with_name("old.db.v1.unfinished")
    unfinished.write_bytes(b"left by a start that was killed")
    await opened_and_closed(old)
    assert not unfinished.exists()
    assert (version(kept), layout(kept)) == (1, before)
    assert asked(kept, "SELECT name FROM users") == [("ana",)]
    assert kept.stat().st_mode & 0o777 == 0o600
    await opened_and_closed(old)
    assert files(old.parent) == {"old.db", "old.db.v1", "ballast"}


async def test_the_copy_is_of_what_the_older_program_stored_last(old: Path) -> None:
    """A migration fails, the operator goes back to the older program for a while, and tries again."""
    execute(old, "CREATE TABLE uploads (in_the_way)")
    with pytest.raises(ValueError, match=r"old.db cannot be opened: table uploads already exists[.]"):
        await SqliteCatalog(old).open()
    execute(old, "DROP TABLE uploads; INSERT INTO users VALUES ('eva', 1, NULL, 9, 9)")
    await opened_and_closed(old)
    assert asked(old.with_name("old.db.v1"), "SELECT name FROM users") == [("ana",), ("eva",)]


async def test_a_copy_for_which_there_is_no_space_takes_none(small_disk: Path, fill_disk: Fill) -> None:
    """So that the operator can go back to the older program."""
    path = small_disk / "old.db"
    execute(path, VERSION_1)
    execute(path, "CREATE TABLE more AS SELECT zeroblob(3000000)")
    fill_disk(small_disk / "filled")
    os.truncate(small_disk / "filled", (small_disk / "filled").stat().st_size - (1 << 20))
    free = os.statvfs(small_disk).f_bavail
    with pytest.raises(ValueError, match=r"old.db cannot be opened: database or disk is full[.]"):
        await SqliteCatalog(path).open()
    assert version(path) == 1
    assert os.statvfs(small_disk).f_bavail > free - 10  # pages
    (small_disk / "filled").unlink()
    await opened_and_closed(path)
    assert version(small_disk / "old.db.v1") == 1


async def test_a_step_that_fails_changes_nothing_and_is_done_later(old: Path) -> None:
    execute(old, "CREATE TABLE facts (in_the_way)")  # of version 3
    with pytest.raises(ValueError, match=r"old.db cannot be opened: table facts already exists[.]"):
        await SqliteCatalog(old).open()
    assert version(old) == 2
    after_the_first_step = layout(old)
    with pytest.raises(ValueError, match="cannot be opened"):
        await SqliteCatalog(old).open()
    assert layout(old) == after_the_first_step
    execute(old, "DROP TABLE facts")
    await opened_and_closed(old)
    assert version(old) == newest()
    assert {version(old.with_name(f"old.db.v{kept}")) for kept in (1, 2)} == {1, 2}


def test_steps_are_numbered_without_gaps() -> None:
    assert sorted(STEPS) == list(range(1, newest() + 1))


DIES = """
import os, signal
from pathlib import Path
from conexiones.adapters.catalog.sqlite import migrations
def step(connection, version, take=migrations._take_step):
    take(connection, version)
    if version == {version} and Path({flag!r}).exists():
        Path({flag!r}).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
migrations._take_step = step
"""


async def test_a_migration_that_is_killed_in_any_step_goes_on(
    old: Path, in_the_writer: InTheWriter, image: Make
) -> None:
    """Each start is killed at the end of the next step, before that is committed; then one goes through."""
    for number in range(2, newest() + 1):
        flag = old.with_name(f"dying-{number}")
        flag.touch()
        in_the_writer(DIES.format(flag=str(flag), version=number))
        with pytest.raises(StorageUnavailable):
            await SqliteCatalog(old).open()
        assert not flag.exists()
        assert version(old) == number - 1
        assert asked(old, "SELECT name, pow FROM users") == [("ana", 3)]
    catalog = SqliteCatalog(old)
    await catalog.open()
    expected = image("1", digest=b"\x11", size=5, height=2, user="ana", create_time=7)
    assert await catalog.get_image("1") == expected
    await catalog.close()
    new = old.with_name("new.db")
    await opened_and_closed(new)
    assert layout(old) == layout(new)


MADE_UP = """
import os, signal
from pathlib import Path
from conexiones.adapters.catalog.sqlite import migrations
class Step(tuple):
    def __iter__(self):
        flag = Path({flag!r})
        for number, statement in enumerate(super().__iter__()):
            if number == {dies_before} and flag.exists():
                flag.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield statement
migrations.STEPS[migrations.newest() + 1] = Step((
    "CREATE TABLE copied (owner TEXT NOT NULL, name TEXT NOT NULL, pow INTEGER NOT NULL, image_id TEXT,"
    " create_time INTEGER NOT NULL, update_time INTEGER NOT NULL, colour TEXT NOT NULL,"
    " PRIMARY KEY (owner, name)) WITHOUT ROWID",
    "INSERT INTO copied SELECT *, 'blue' FROM users",
    "DROP TABLE users",
    "ALTER TABLE copied RENAME TO users",
))
"""


@pytest.mark.parametrize("dies_before", [0, 1, 2, 3, None], ids=str)
async def test_a_file_whose_migration_is_killed_opens(
    tmp_path: Path, in_the_writer: InTheWriter, dies_before: int | None
) -> None:
    """A made-up next version gives users a colour, by way of a new table."""
    path, flag = tmp_path / "catalog.db", tmp_path / "dying"
    catalog = SqliteCatalog(path)
    await catalog.open()
    ana = await catalog.put_user("ana", pow=3, image=None, now=1)
    await catalog.close()
    flag.touch()
    in_the_writer(MADE_UP.format(flag=str(flag), dies_before=dies_before))
    if dies_before is not None:
        with pytest.raises(StorageUnavailable):
            await catalog.open()
        assert not flag.exists()
        assert version(path) == newest()
        assert asked(path, "SELECT name, pow FROM users") == [("ana", 3)]
    await catalog.open()
    assert await catalog.get_user("ana") == ana
    await catalog.close()
    assert version(path) == newest() + 1
    assert asked(path, "SELECT name, colour FROM users") == [("ana", "blue")]
    assert version(path.with_name(f"catalog.db.v{newest()}")) == newest()


DAMAGED = """
INSERT INTO images VALUES ('2', x'22', 5, CAST(x'50ff47' AS TEXT), 1, 2, 1, 'ana', 7);
INSERT INTO images VALUES ('3', x'33', 5, 'PNG', 1, 2, 1, CAST(x'c3' AS TEXT), 7);
INSERT INTO images VALUES ('4', CAST(x'44ff' AS TEXT), 5, 'PNG', 1, 2, 1, NULL, 7);
INSERT INTO users VALUES (CAST(x'e1' AS TEXT), 1, NULL, 7, 8);
"""


async def test_text_that_the_disk_has_damaged_keeps_no_file_from_opening(old: Path, image: Make) -> None:
    execute(old, DAMAGED)
    catalog = SqliteCatalog(old)
    await catalog.open()
    assert await catalog.get_image("1") == image(
        "1", digest=b"\x11", size=5, height=2, user="ana", create_time=7
    )
    assert (await catalog.get_image("2")).format == "P\\xffG"
    assert (await catalog.get_image("3")).user == "\\xc3"
    await catalog.close()
    sums = asked(old, "SELECT id FROM images WHERE checksum IS NULL ORDER BY id")
    assert sums == [("2",), ("3",), ("4",)]
