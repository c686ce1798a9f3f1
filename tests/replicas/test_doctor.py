"""What `conexiones doctor` says of a database and a place for objects."""

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.patience import Patience as ObjectPatience
from conexiones.adapters.catalog.postgres import checks
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.connections import Patience
from conexiones.doctor.findings import Finding
from conexiones.doctor.shared import check_shared
from conexiones.settings import Settings
from conexiones.stores import look
from conexiones.stores.shared import place_of
from tests.support.postgres import Engine

GOOD = ["database", "rights", "db speed", "db clock", "blobs"]


def found(**settings: Any) -> dict[str, Finding]:
    return {one.check: one for one in check_shared(Settings.load({}, settings))}


def test_all_is_well_before_the_first_start(shared_settings: dict[str, str], postgres: Engine) -> None:
    findings = found(**shared_settings, database_direct=shared_settings["database"])
    assert sorted(findings) == sorted([*GOOD, "direct"])
    assert {one.state for one in findings.values()} <= {"ok", "warn"}, findings  # slow at most
    assert "no tables yet" in findings["database"].says
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
    assert postgres.sql(tables, url=shared_settings["database"]) == "0", "nothing was changed"


async def _make_tables(url: str) -> None:
    catalog = PostgresCatalog(url)
    await catalog.open()
    await catalog.close()


def test_a_user_who_may_not_write(shared_settings: dict[str, str], postgres: Engine) -> None:
    url = shared_settings["database"]
    asyncio.run(_make_tables(url))
    postgres.sql("CREATE ROLE reader LOGIN")
    try:
        name = url.rpartition("=")[2]
        postgres.sql(f"GRANT USAGE ON SCHEMA {name} TO reader")
        postgres.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO reader")
        findings = found(**{**shared_settings, "database": url.replace("postgres@", "reader@")})
        assert findings["rights"].state == "FAIL"
        assert "images" in findings["rights"].says
    finally:
        postgres.sql("DROP OWNED BY reader; DROP ROLE reader")


def test_what_is_wrong_is_said_in_one_line(shared_settings: dict[str, str]) -> None:
    url = shared_settings["database"].replace("postgres@", "nobody:s3cret@")
    findings = found(**{**shared_settings, "database": url, "s3_endpoint": "http://127.0.0.1:9"})
    assert {name: one.state for name, one in findings.items()} == {"database": "FAIL", "blobs": "FAIL"}
    for one in findings.values():
        assert "s3cret" not in one.says
        assert "\n" not in one.says


async def _put_an_object(settings: Settings) -> None:
    objects = Objects(place_of(settings), ObjectPatience())
    objects.learn_time(time.time())
    objects.open()
    await objects.put(objects.name("packs"), b"of somebody")
    await objects.put_mark(77)
    objects.close()


def test_the_objects_of_another_database_are_known(shared_settings: dict[str, str], postgres: Engine) -> None:
    asyncio.run(_put_an_object(Settings.load({}, shared_settings)))
    for tables in (False, True):
        if tables:
            asyncio.run(_make_tables(shared_settings["database"]))
            postgres.sql("INSERT INTO about (identity) VALUES (78)", url=shared_settings["database"])
        blobs = found(**shared_settings)["blobs"]
        assert blobs.state == "FAIL"
        assert "has the objects of another database" in blobs.says
    postgres.sql("UPDATE about SET identity = 77", url=shared_settings["database"])
    assert found(**shared_settings)["blobs"].state in ("ok", "warn")


def test_the_direct_url_of_another_database_is_known(
    shared_settings: dict[str, str], postgres: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is heard of there, and waiting for it ends in no other words."""
    hasty = partial(Patience, read=5.0)
    monkeypatch.setattr(checks, "Patience", hasty)
    monkeypatch.setattr(look, "DatabasePatience", hasty)
    settings = {**shared_settings, "database": postgres.url(postgres.database())}
    findings = found(**settings, database_direct=postgres.url(postgres.database()))
    assert findings["direct"].state == "FAIL"
    assert "is not the database at" in findings["direct"].says
    findings = found(**shared_settings, database_direct="postgresql://ana@127.0.0.1:1/images")
    assert "ana@127.0.0.1:1/images cannot be reached" in findings["direct"].says


def test_one_without_the_other_is_refused(shared_settings: dict[str, str]) -> None:
    for name, needs in (("database", "--blobs"), ("blobs", "--database"), ("s3_endpoint", "--database")):
        (finding,) = found(**{name: shared_settings[name]}).values()
        assert (finding.check, finding.state) == ("storage", "FAIL")
        assert f"--{name.replace('_', '-')} needs {needs}" in finding.says
