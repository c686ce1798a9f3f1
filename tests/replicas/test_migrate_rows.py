"""All rows come along, as they are, between houses of both kinds."""

import asyncio
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.sqlite.access import SqliteCredentials
from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.catalog.tables import TABLES
from conexiones.adapters.scrub.file import read as read_scrub
from conexiones.adapters.scrub.file import write as write_scrub
from conexiones.domain.access import Directory
from conexiones.ports.access import LinkKey
from conexiones.ports.records import Charge, Facts, StoredBy
from conexiones.ports.verifying import Round, ScrubState
from conexiones.principals import SCOPES, Allowance
from tests.replicas.houses import House, ran, rows
from tests.support.postgres import Engine
from tests.upkeep.folders import SMALL, Folder, asked, content, filled, findings, image, opened

ODD = "a\x00b\x01c\x02 Ñandú 🦤"
SCRUB = ScrubState(current=Round(begin_time=5, images=1), before="2", damaged={"1": "ab"})


async def fill(folder: Folder) -> None:
    """Has a row in every table, with values that are hard to keep."""
    catalog, one = folder.catalog, content(SMALL, 1)
    await folder.add("1", one, user=ODD, name=ODD, owner=ODD, width=(1 << 31) - 1)
    await folder.add("2", content(SMALL, 2))
    await folder.delete("2")
    await catalog.put_user(ODD, owner=ODD, pow=-(1 << 31), image=image("3", one), now=7)
    await catalog.put_user("nobody", pow=0, image=None, now=7)
    facts = Facts(color_space="RGB", bits_per_sample=8, has_alpha=True, dominant_color="#aabbcc")
    await catalog.put_facts(image("1", one), facts, judge=3, now=8)
    charge = Charge(allowance=Allowance(), ticket="ticket", terms=None)
    await catalog.add_stored(image("4", one), StoredBy("u4", ODD, "client", "ticket"), charge=charge)
    await folder.begin_upload("empty", b"")
    await folder.begin_upload("begun", content(SMALL, "begun"))
    credentials = SqliteCredentials(catalog)
    directory = Directory(credentials)
    await directory.open()
    await directory.create_token("administrator", SCOPES)
    await credentials.add_key(LinkKey(id="key", secret=bytes(range(32)), create_time=(1 << 53) + 1))


async def test_all_rows_come_along_as_they_are(tmp_path: Path, house: House, postgres: Engine) -> None:
    root = tmp_path / "data"
    async with opened(root) as folder:
        await fill(folder)
    write_scrub(root / "scrub.json", SCRUB)
    ran("--from", root, "--to", *house.places, *house.options)
    other = replace(house, database=_beside(postgres, house), blobs=f"{house.blobs}/other")
    before = rows(postgres, house.database)
    ran("--from", *house.places, "--to", *other.places, *house.options)
    assert rows(postgres, house.database) == before
    ran("--from", *other.places, "--to", tmp_path / "back", *house.options)
    with (
        closing(CatalogFile(root / CATALOG)) as old,
        closing(CatalogFile(tmp_path / "back" / CATALOG)) as new,
    ):
        for table in TABLES:
            left = list(old.rows(table))
            assert left
            assert list(new.rows(table)) == left
        assert new.newest_event() == old.newest_event()
        assert (new.identity, new.schema) == (old.identity, old.schema)
    assert read_scrub(tmp_path / "back" / "scrub.json") == SCRUB
    assert findings(tmp_path / "back") == (0, [])
    async with opened(tmp_path / "back") as folder:
        staged = await folder.store.staging.resume("begun", SMALL)
        await staged.release()


def _beside(postgres: Engine, house: House) -> str:
    """The URL of another empty schema, which the next test's fixture does not know."""
    base, _, name = house.database.rpartition("search_path=")
    postgres.sql(f"DROP SCHEMA IF EXISTS {name}_beside CASCADE; CREATE SCHEMA {name}_beside")
    return f"{base}search_path={name}_beside"


def test_every_table_comes_along_or_has_a_reason_not_to(postgres: Engine, database: str) -> None:
    asyncio.run(_made(database))
    asked_tables = (
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    there = set(postgres.sql(asked_tables, url=database).split()) - {"SET"}
    made_anew = {"about", "event_head", "scrub", "blobs", "places", "extents", "migrations"}
    of_servers = {"loose", "sweeping", "writers", "access_head", "servers", "leases"}
    assert there == TABLES.keys() | made_anew | of_servers


async def _made(url: str) -> None:
    catalog = PostgresCatalog(url)
    await catalog.open()
    await catalog.close()


def test_a_catalog_has_no_other_tables(tmp_path: Path) -> None:
    asyncio.run(filled(tmp_path / "data"))
    found = asked(tmp_path / "data" / CATALOG, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert {name for (name,) in found} == TABLES.keys() | {"sqlite_sequence"}
