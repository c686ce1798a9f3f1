"""`conexiones verify` of what servers share finds and names what is damaged, missing and left over."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import pytest
from click.testing import CliRunner, Result

from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.verifying import Verifying
from conexiones.cli import main
from conexiones.upkeep import pace
from tests.adapters.blobs.s3.restarted import objects_at, spoil
from tests.replicas.houses import House, house_in, ran, rows
from tests.support.postgres import Engine
from tests.upkeep.folders import LARGE, MIB, MIDDLE, SMALL, filled, image

PART = 3 * MIB
READ = 2 * SMALL + LARGE + MIDDLE


def run(*arguments: object, house: House | None = None, **environ: str) -> Result:
    """`conexiones verify` as whoever runs a server of the house would run it."""
    given = ["verify", *map(str, arguments)]
    env: dict[str, str | None] = {"CONEXIONES_DATA_DIR": "", **environ}
    if house is not None:
        env["CONEXIONES_DATABASE"], env["CONEXIONES_BLOBS"] = house.places
        env["CONEXIONES_S3_ENDPOINT"] = house.endpoint
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, main, given, env=env).result()


def found(house: House) -> tuple[int, list[tuple[str, str, str]], dict[str, Any]]:
    """The exit status, the findings, and what is said at the end."""
    result = run("--json", house=house)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines, result.output
    found = [(line["kind"], line["what"], line["says"]) for line in lines[:-1]]
    return result.exit_code, found, lines[-1]


def place_of(house: House) -> BlobPlace:
    return BlobPlace(url=house.blobs, endpoint=house.endpoint)


async def named(house: House, kind: str) -> list[str]:
    """The objects of a kind."""
    return [name for name in await objects_at(place_of(house)) if name.startswith(kind)]


@pytest.fixture
async def full(house: House, tmp_path: Path) -> House:
    """A house with two small images in one pack, larger ones, and an upload under way."""
    await filled(tmp_path / "data")
    ran("--from", tmp_path / "data", "--to", *house.places, *house.options)
    return house


def object_of(full: House, postgres: Engine, id: str) -> tuple[str, int]:
    """The object with the first byte of an image, and where that is there."""
    asked = f"SELECT object, start FROM places JOIN images USING (digest) WHERE id = '{id}' AND at = 0"
    name, start = postgres.sql(asked, url=full.database).splitlines()[-1].split("|")
    return name, int(start)


def change(full: House, postgres: Engine, statement: str) -> None:
    postgres.sql(statement, url=full.database)


async def test_a_sound_house_has_no_fault_and_nothing_changes(full: House, postgres: Engine) -> None:
    before = rows(postgres, full.database), await objects_at(place_of(full))
    status, findings, said = found(full)
    assert (status, findings) == (0, [])
    assert (said["images"], said["bytes"], said["faults"], said["left_over"]) == (4, READ, 0, 0)
    assert (rows(postgres, full.database), await objects_at(place_of(full))) == before
    options = ("--database", full.database, "--blobs", full.blobs, *full.options)
    assert run(*options).stdout == "4 images, 2.4 MB read: no faults\n"


async def test_damaged_and_missing_objects_are_named(full: House, postgres: Engine) -> None:
    pack, start = object_of(full, postgres, "2")
    assert object_of(full, postgres, "1")[0] == pack
    part, _ = object_of(full, postgres, "3")
    await spoil(place_of(full), pack, start + 7)
    change(
        full,
        postgres,
        "INSERT INTO images SELECT '5', digest, size, format, width, height, frames, NULL, 6"
        ", name, owner, folded_name FROM images WHERE id = '2'",
    )
    await obstore.delete_async(place_of(full).connect(Patience()), part)
    status, findings, said = found(full)
    assert status == 1
    damaged = f"Its bytes, in {full.blobs}/{pack}, are not those that were stored."
    assert findings == [
        ("damaged", "image 2", damaged),
        ("damaged", "image 5", damaged),
        ("missing", "image 3", f"Its bytes should be in {full.blobs}/{part}, which is not there."),
    ]
    assert (said["images"], said["faults"]) == (5, 3)


async def test_an_object_that_was_cut_off_is_damaged(full: House, postgres: Engine) -> None:
    pack, _ = object_of(full, postgres, "1")
    bucket = place_of(full).connect(Patience())
    await obstore.put_async(bucket, pack, bytes(10), use_multipart=False)
    _, findings, _ = found(full)
    assert {(kind, what) for kind, what, _ in findings} >= {("damaged", "image 1"), ("damaged", "image 2")}
    assert all(f"{full.blobs}/{pack}" in says for _, _, says in findings)


DAMAGED_ROWS = [
    ("UPDATE images SET size = size + 1 WHERE id = '1'", "damaged", "image 1", "3001 bytes, and"),
    ("UPDATE images SET width = -1 WHERE id = '1'", "damaged", "image 1", "row is not what was"),
    ("UPDATE images SET digest = '\\x00' WHERE id = '1'", "damaged", "image 1", "row is not what was"),
    (
        "UPDATE images SET digest = sha256(digest) WHERE id = '3'",
        "missing",
        "image 3",
        "no row says in which object",
    ),
    ("UPDATE blobs SET size = 5 WHERE size = 3000", "damaged", "image 1", "bytes are 5, and there are"),
    ("UPDATE places SET sums = '\\x00000000' WHERE size = 3000", "damaged", "image 1", "The checksums"),
    ("UPDATE places SET sums = '' WHERE size = 3000", "damaged", "image 1", "that say where"),
    ("UPDATE places SET size = size - 1 WHERE size = 3000", "damaged", "image 1", "not those"),
    ("UPDATE places SET at = 1 WHERE size = 3000", "missing", "image 1", "are nowhere"),
    ("DELETE FROM places WHERE size = 3000", "missing", "image 1", "are nowhere"),
    ("DELETE FROM extents", "missing", "upload upload", "were acknowledged, rows have 0"),
    ("UPDATE extents SET at = at + 1", "damaged", "upload upload", "are damaged"),
    (
        "UPDATE extents SET sums = decode(repeat('00', length(sums)), 'hex')",
        "damaged",
        "upload upload",
        "not",
    ),
]
"""Statements, and the kind, the place and a part of what is said."""

UNDO = "".join(f"DELETE FROM {name};" for name in ("places", "extents", "images", "blobs")) + "".join(
    f"INSERT INTO {name} TABLE kept_{name};" for name in ("blobs", "places", "extents", "images")
)


async def test_rows_that_are_not_what_was_written(full: House, postgres: Engine) -> None:
    for name in ("blobs", "places", "extents", "images"):
        change(full, postgres, f"CREATE TABLE kept_{name} AS TABLE {name}")
    for statement, kind, what, says in DAMAGED_ROWS:
        change(full, postgres, statement)
        status, findings, _ = found(full)
        assert status == 1, statement
        assert any((kind, what) == one[:2] and says in one[2] for one in findings), (statement, findings)
        faulty = {one[1] for one in findings if one[0] != "left over"}
        assert faulty == ({what} if "size = 3000" not in statement else {"image 1", "image 2"}), statement
        change(full, postgres, UNDO)
    assert found(full)[:2] == (0, [])


BROKEN = """
ALTER TABLE uploads RENAME TO kept_uploads;
CREATE FUNCTION broken() RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE 'invalid page in block 3 of relation base/5/16390' USING ERRCODE = 'data_corrupted'; END $$;
CREATE VIEW uploads AS SELECT broken() AS id, committed_size, state FROM kept_uploads
"""


async def test_what_the_database_finds_damaged_itself_is_damage(full: House, postgres: Engine) -> None:
    change(full, postgres, BROKEN)
    status, findings, said = found(full)
    says = "invalid page in block 3 of relation base/5/16390"
    assert [(kind, what, says in sentence) for kind, what, sentence in findings] == [
        ("damaged", "catalog", True)
    ]
    assert (status, said["images"], said["bytes"]) == (1, 4, READ), "all else is verified"


async def test_a_connection_that_is_lost_is_made_again(
    full: House, postgres: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = Verifying._get
    ended: list[str] = []
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'conexiones'"

    async def ending(self: Verifying, place: Any) -> Any:
        if not ended:
            ended.append(postgres.sql(end))
        return await get(self, place)

    monkeypatch.setattr(Verifying, "_get", ending)
    status, findings, said = found(full)
    assert "t" in ended[0].split()
    assert (status, findings, said["bytes"]) == (0, [], READ)


async def test_acknowledged_bytes_that_are_missing_are_named(full: House, postgres: Engine) -> None:
    name = postgres.sql("SELECT object FROM extents LIMIT 1", url=full.database).splitlines()[-1]
    await obstore.delete_async(place_of(full).connect(Patience()), name)
    status, findings, _ = found(full)
    says = f"Its bytes should be in {full.blobs}/{name}, which is not there."
    assert (status, findings) == (1, [("missing", "upload upload", says)])


async def test_what_no_row_names_is_left_over_once_none_can_come(full: House) -> None:
    bucket = place_of(full).connect(Patience())
    old = [f"packs/20200101/000000-{'a' * 32}", f"parts/20200101/000000-{'b' * 32}"]
    objects = Objects(place_of(full), Patience())
    objects.learn_time(2_000_000_000)  # as of a server that puts it now
    for name in (*old, objects.name("packs"), "packs/20209999/000000-" + "c" * 32):
        await obstore.put_async(bucket, name, b"1234567", use_multipart=False)
    status, findings, said = found(full)
    assert status == 0
    assert findings == [
        ("left over", f"{full.blobs}/{name}", "No row of the database names it (7 bytes).") for name in old
    ]
    assert (said["faults"], said["left_over"]) == (0, 2)
    assert run(house=full).stdout.endswith("no faults, left over: 2\n")


async def test_what_is_deleted_or_moved_meanwhile_is_no_fault(
    full: House, postgres: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the listing of rows and the reading of bytes a server deletes an image, and compacts a pack."""
    pack, _ = object_of(full, postgres, "1")
    part, _ = object_of(full, postgres, "3")
    new = f"packs/20300101/000000-{'d' * 32}"
    get = Verifying._get
    done: list[Any] = []

    async def deleting(self: Verifying, place: Any) -> Any:
        if not done:
            done.append(place)
            bucket = place_of(full).connect(Patience())
            data = bytes(await (await obstore.get_async(bucket, pack)).bytes_async())
            await obstore.put_async(bucket, new, data, use_multipart=False)
            change(
                full,
                postgres,
                f"UPDATE places SET object = '{new}' WHERE object = '{pack}';"
                " DELETE FROM images WHERE id = '3';"
                f" DELETE FROM blobs WHERE digest IN (SELECT digest FROM places WHERE object = '{part}')",
            )
            change(full, postgres, "UPDATE uploads SET state = 'EXPIRED'; DELETE FROM extents")
            await obstore.delete_async(bucket, [pack, part])
        return await get(self, place)

    monkeypatch.setattr(Verifying, "_get", deleting)
    status, findings, said = found(full)
    assert done
    assert (status, [one for one in findings if one[0] != "left over"]) == (0, [])
    assert said["bytes"] >= 2 * SMALL + MIDDLE
    assert [one for one in findings if pack in one[1] or part in one[1]] == []


async def test_what_comes_meanwhile_is_no_fault(full: House, tmp_path: Path) -> None:
    async with house_in(full, tmp_path / "copies") as (catalog, store):
        staged = store.staging.stage()
        await staged.write(b"new" * 100)
        await staged.publish(lambda _: catalog.add_image(image("9", b"new" * 100)))
        await staged.settle()
        status, findings, said = found(full)  # a server has it open
        assert (status, findings, said["images"]) == (0, [], 5)


async def test_a_user_who_may_only_select_is_enough(full: House, postgres: Engine) -> None:
    schema = full.database.rpartition("search_path=")[2]
    postgres.sql(
        f"CREATE ROLE {schema}_reader LOGIN PASSWORD 's3cret';"
        f" GRANT USAGE ON SCHEMA {schema} TO {schema}_reader;"
        f" ALTER ROLE {schema}_reader SET default_transaction_read_only = on;"
    )
    reader = f"postgresql://{schema}_reader:s3cret@/postgres?host={postgres.folder}&search_path={schema}"
    refused = run(house=replace(full, database=reader))
    assert refused.exit_code == 2
    assert "GRANT SELECT" in refused.output
    assert refused.output.count("\n") == 1
    postgres.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {schema}_reader")
    try:
        result = run("--json", house=replace(full, database=reader))
        assert result.exit_code == 0, result.output
        assert "s3cret" not in refused.output + result.output
    finally:
        postgres.sql(f"DROP OWNED BY {schema}_reader; DROP ROLE {schema}_reader")


async def test_reading_can_be_slowed_down(full: House, monkeypatch: pytest.MonkeyPatch) -> None:
    paced: list[int] = []

    async def wait(_: pace.Pace, size: int) -> None:
        paced.append(size)

    monkeypatch.setattr(pace.Pace, "wait", wait)
    assert run("--rate", "1GB", house=full).exit_code == 0
    assert sum(paced) >= READ + MIB


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (("--database", "postgresql://ana:s3cret@/x"), {}, "needs --blobs s3://"),
        (("--blobs", "s3://bucket"), {}, "needs a database"),
        ((), {"CONEXIONES_BLOBS": "s3://bucket"}, "needs a database"),
        (("--data-dir", "x", "--database", "postgresql://ana:s3cret@/x"), {}, "give one"),
        (("--backup", "x", "--database", "postgresql://ana:s3cret@/x"), {}, "takes no place beside"),
        (("--database", "postgresql://ana:s3/cret@h/x", "--blobs", "s3://bucket"), {}, "not understood"),
        (("--database", "mysql://ana:s3cret@h/x", "--blobs", "s3://bucket"), {}, "--database"),
        (("--database", "postgresql://ana:s3cret@/x", "--blobs", "file://bucket"), {}, "--blobs"),
        (
            ("--blobs", "s3://bucket"),
            {"CONEXIONES_DATABASE": "postgresql://ana:s3cret@/x?host=/nowhere"},
            "cannot be reached",
        ),
    ],
)
def test_bad_settings_are_one_line_without_a_password(
    arguments: tuple[str, ...], environ: dict[str, str], says: str
) -> None:
    env = {"CONEXIONES_DATABASE": "", "CONEXIONES_BLOBS": "", **environ}
    result = run(*arguments, house=None, **env)
    assert result.exit_code == 2
    assert says in result.output
    assert result.output.count("\n") == 1, result.output
    assert "s3cret" not in result.output
    assert "cret@" not in result.output


async def test_a_database_or_a_bucket_that_is_not_one_is_one_line(full: House) -> None:
    nothing = replace(full, blobs="s3://no-such-bucket")
    for house, says in ((nothing, "cannot be used"), (_without(full), "cannot be reached")):
        result = run(house=house)
        assert (result.exit_code, result.output.count("\n")) == (2, 1), result.output
        assert says in result.output


def _without(house: House) -> House:
    return replace(house, database="postgresql://ana@/x?host=/nowhere")
