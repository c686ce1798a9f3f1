"""What `conexiones migrate` refuses, and what it does with a house that is damaged, in use, or goes away."""

import asyncio
import fcntl
import hashlib
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.blobs.s3.moving import BlobsIn, check_whole
from conexiones.adapters.catalog.postgres import moving
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.checks import look
from conexiones.adapters.catalog.postgres.connections import Connection, Patience, connect
from conexiones.adapters.catalog.postgres.leases import PostgresLeases
from conexiones.adapters.catalog.postgres.moving import MovingIn, MovingOut
from conexiones.adapters.catalog.sqlite.new_catalog import NewCatalog
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.errors import StorageUnavailable
from conexiones.upkeep import house_shared
from tests.replicas.houses import House, everything_in, house_in, ran, raw, refused, run
from tests.support.postgres import Engine, running
from tests.upkeep.folders import (
    SMALL,
    blob,
    content,
    contents,
    damage,
    everything,
    filled,
    image,
    opened,
)

PASSWORD = "s3cret"


async def test_a_server_that_runs_is_in_the_way(tmp_path: Path, house: House) -> None:
    await filled(tmp_path / "data")
    there = ("--from", tmp_path / "data", "--to", *house.places, *house.options)
    lock = os.open(tmp_path / "data" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert "is in use" in refused(*there)
    os.close(lock)
    ran(*there)
    back = ("--from", *house.places, "--to", tmp_path / "back", *house.options)
    catalog = PostgresCatalog(house.database, patience=Patience(lock=0.1))
    await catalog.open()
    leases = PostgresLeases(catalog)
    await leases.hold(["verify"], seconds=60)
    assert "is served: 1 of its servers run" in refused(*back)
    await leases.leave()

    # A server that stood still, so that its leases are over, commits nothing when it goes on.
    held = MovingOut(house.database)
    await held.open()
    with pytest.raises(StorageUnavailable):
        await catalog.add_image(image("9", content(SMALL, 9)))
    with pytest.raises(ValueError, match="is being moved"):
        await PostgresCatalog(house.database).open()
    assert "is in use" in refused(*back)
    held.close()
    await catalog.add_image(image("8", content(SMALL, 1)))
    await catalog.close()
    database, blobs = house.places
    elsewhere = ("--from", database, f"{blobs}-elsewhere", "--to", tmp_path / "back", *house.options)
    assert "has no objects, and the database names some" in refused(*elsewhere)
    assert ran(*back)["images"] == len(contents()) + 1
    assert "is not empty" in refused(*back)


async def test_what_is_there_already_is_in_the_way(tmp_path: Path, house: House) -> None:
    await filled(tmp_path / "data")
    async with opened(tmp_path / "other") as other:
        await other.add("1", content(SMALL, 1))

    def there(name: str, house: House) -> tuple[object, ...]:
        return ("--from", tmp_path / name, "--to", *house.places, *house.options)

    empty = replace(house, blobs=f"{house.blobs}/other")
    assert "4 images" in run(*there("data", empty), "--dry-run").output
    nowhere = replace(house, database=f"{house.database}_missing")
    assert "CREATE SCHEMA makes one" in refused(*there("data", nowhere))
    moving_in = MovingIn(house.database)
    await moving_in.open()
    assert "is in use" in refused(*there("other", empty)), "of two at once, the second one"
    await moving_in.begin("somewhere")
    moving_in.close()
    assert "has a part of another house, which was moved there from somewhere" in refused(
        *there("other", empty)
    )
    await _drop(house)
    ran(*there("data", house))
    assert "has a house already" in refused(*there("data", house))
    assert "has a house already" in refused(*there("other", empty))
    await _drop(house)
    assert "has objects of a house already" in refused(*there("other", house))


async def _drop(house: House) -> None:
    """Has the database be an empty one again."""
    catalog = MovingIn(house.database)
    await catalog.open()
    name = await catalog.ask(_name)
    catalog.close()
    connection = await connect(catalog.address, seconds=10)
    await connection.execute(f"DROP SCHEMA {name} CASCADE; CREATE SCHEMA {name}")
    connection.terminate()


async def _name(connection: Connection) -> str:
    found: str = await connection.fetchval("SELECT current_schema()::text")
    return found


async def test_what_is_damaged_is_named_and_not_left_behind_in_silence(tmp_path: Path, house: House) -> None:
    data = await filled(tmp_path / "data")
    damage(blob(tmp_path / "data", data["3"]))
    damage(tmp_path / "data" / "uploads" / "upload")
    there = ("--from", tmp_path / "data", "--to", *house.places, *house.options)
    result = run(*there)
    assert result.exit_code == 2
    digest = hashlib.sha256(data["3"]).hexdigest()
    assert f"blobs/{digest[:2]}/{digest}, of 3, is damaged" in result.stderr
    assert "of the upload upload, is damaged" in result.stderr
    for use in (PostgresCatalog(house.database).open(), look(house.database)):
        with pytest.raises(ValueError, match="not complete"):
            await use
    result = run(*there, "--with-damaged")
    assert (result.exit_code, "All is there" in result.stdout) == (1, True)
    async with house_in(house, tmp_path / "copies") as (catalog, store):
        assert await everything_in(catalog, store) == {**data, "3": None}
        # The same bytes again make all images whole that have them.
        staged = store.staging.stage()
        await staged.write(data["3"])
        await staged.publish(lambda _: catalog.add_image(image("5", data["3"])))
        await staged.settle()
        assert await everything_in(catalog, store) == {**data, "5": data["3"]}


async def test_what_has_changed_between_two_runs_is_as_it_is_by_the_second(
    tmp_path: Path, house: House, postgres: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = await filled(tmp_path / "data")

    async def stop(*_: object, **__: object) -> None:
        raise ValueError("It stops here.")

    there = ("--from", tmp_path / "data", "--to", *house.places, *house.options)
    to_folder = ("--from", tmp_path / "data", "--to", tmp_path / "new")
    with monkeypatch.context() as patch:
        patch.setattr(house_shared, "check_whole", stop)
        patch.setattr(NewCatalog, "complete", lambda *_, **__: (_ for _ in ()).throw(ValueError("And here.")))
        assert refused(*there) == "conexiones: It stops here.\n"
        assert refused(*to_folder) == "conexiones: And here.\n"
    async with opened(tmp_path / "data") as folder:
        await folder.delete("1")
        await folder.delete("3")
        await folder.add("5", content(SMALL, 5))
    now = {"2": data["2"], "4": data["4"], "5": content(SMALL, 5)}
    assert ran(*there)["new_contents"] == 1
    async with house_in(house, tmp_path / "copies") as (catalog, store):
        assert await everything_in(catalog, store) == now
    dead = postgres.sql("SELECT count(*) FROM blobs WHERE dead_since IS NOT NULL", url=house.database)
    assert dead.split()[-1] == "2", "the sweeper removes them"
    assert ran(*to_folder)["new_contents"] == 1
    assert not blob(tmp_path / "new", data["3"]).exists()
    assert await everything(tmp_path / "new") == now


async def test_a_damaged_row_is_moved_nowhere(tmp_path: Path, house: House) -> None:
    await filled(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / CATALOG)) as connection:
        connection.execute("UPDATE images SET width = 7 WHERE id = '2'")
        connection.commit()
    said = refused("--from", tmp_path / "data", "--to", *house.places, *house.options, "--with-damaged")
    assert "Of 1 images the row in the catalog is damaged, so that they are not served: 2." in said


async def test_a_database_that_goes_away_is_one_line(
    tmp_path: Path, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = await filled(tmp_path / "data")
    monkeypatch.setattr(moving, "ASK_ATTEMPTS", 1)
    with running() as engine:
        own = replace(house, database=engine.url())
        there = ("--from", tmp_path / "data", "--to", *own.places, *own.options)
        add_large = BlobsIn.add_large

        async def kill_first(*given: Any) -> None:
            engine.kill()
            await add_large(*given)

        async def kill_last(*given: Any, **named: Any) -> None:
            engine.kill()
            await check_whole(*given, **named)

        with monkeypatch.context() as patch:
            patch.setattr(BlobsIn, "add_large", kill_first)
            assert "cannot be reached" in refused(*there)
        engine.start()
        with monkeypatch.context() as patch:
            patch.setattr(house_shared, "check_whole", kill_last)
            assert "cannot be reached" in refused(*there)
        engine.start()
        assert ran(*there)["new_contents"] == 0
        async with house_in(own, tmp_path / "copies") as (catalog, store):
            assert await everything_in(catalog, store) == data


async def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    data = await filled(tmp_path / "data")
    arguments = ("migrate", "--from", str(tmp_path / "data"), "--to", str(tmp_path / "new"))
    command = (sys.executable, "-m", "conexiones", *arguments)
    full = ("prlimit", "--fsize=1000000", "--", *command)
    done = await asyncio.to_thread(subprocess.run, full, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"conexiones: {tmp_path / 'new'}: File too large.\n"
    assert ran(*arguments[1:])["complete"]
    assert await everything(tmp_path / "new") == data
    assert raw(tmp_path / "data")[CATALOG]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Has the data folder DATA."""
    found = tmp_path_factory.mktemp("places")
    asyncio.run(filled(found / "DATA"))
    return found


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Give --from or --to"),
        (("--from", "DATA"), "Give --to, or set CONEXIONES_DATABASE"),
        (("--from", "DATA", "--to", "DATA"), "the same place"),
        (("--from", "DATA", "--to", "DATA/within"), "within each other"),
        (("--from", "NOTHING", "--to", "NEW"), "There is no folder"),
        (("--from", "NEW", "--to", "postgresql://ana:s3cret@/x"), "needs s3://BUCKET/PREFIX"),
        (("--from", "NEW", "--to", "s3://bucket"), "--to needs a database"),
        (("--from", "DATA", "--to", "postgresql://ana:s3cret@/x", "s3://B"), "--to takes s3://BUCKET"),
        (("--from", "DATA", "--to", "postgresql://ana:s3/cret@h/x", "s3://bucket"), "is not understood"),
        (
            ("--from", "DATA", "--to", "postgresql://ana:s3cret@/x?host=/nowhere", "s3://bucket"),
            "cannot be reached",
        ),
        (("--from=postgresql://ana:s3cret@/x", "s3://bucket", "postgresql://ana:s3cret@/y"), "belongs"),
        (
            ("--from", "s3://bucket", "postgresql://ana:s3cret@/x?host=/nowhere", "--to", "NEW"),
            "cannot be reached",
        ),
        (("--from", "DATA", "--to", "NEW", "--s3-endpoint", "ftp://x"), "--s3-endpoint takes a URL"),
    ],
)
def test_a_bad_place_is_one_line_without_a_password(
    folder: Path, arguments: tuple[str, ...], says: str
) -> None:
    named = [
        str(folder / one) if one.partition("/")[0] in ("DATA", "NEW", "NOTHING") else one for one in arguments
    ]
    result = run(*named, CONEXIONES_DATABASE="", CONEXIONES_BLOBS="")
    assert result.exit_code == 2
    assert says in result.output
    assert "s3cret" not in result.output
    assert "cret@" not in result.output
    assert (
        len([line for line in result.output.splitlines() if not line.startswith(("Usage:", "Try", " "))]) <= 2
    )
