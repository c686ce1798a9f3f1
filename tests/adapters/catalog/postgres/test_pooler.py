"""The catalog behind PgBouncer in transaction mode, where each transaction may have another connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest
from click.testing import CliRunner

from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.cli import main
from conexiones.errors import QuotaExceeded
from conexiones.ports.access import Credential
from conexiones.ports.records import Charge, Facts, ImageRecord, StoredBy, UploadQuota, UploadRecord
from conexiones.principals import Allowance
from tests.support.postgres import Engine, pooler

Make = Callable[..., ImageRecord]
MakeUpload = Callable[..., UploadRecord]


@pytest.fixture(scope="module")
def pooled(postgres: Engine) -> Iterator[Callable[[str], str]]:
    with pooler(postgres) as url:
        yield url


@pytest.fixture
async def two(postgres: Engine, pooled: Callable[[str], str]) -> AsyncIterator[list[PostgresCatalog]]:
    name = postgres.database()
    catalogs = [PostgresCatalog(pooled(name), direct=postgres.url(name)) for _ in range(2)]
    for catalog in catalogs:
        await catalog.open()
    yield catalogs
    for catalog in catalogs:
        await catalog.close()


async def test_a_pooler_of_which_nothing_is_said(postgres: Engine, pooled: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match=r"pooler such as PgBouncer .* --database-direct\.$"):
        await PostgresCatalog(pooled(postgres.database())).open()


async def test_the_first_token_is_made_by_way_of_the_pooler(
    postgres: Engine, pooled: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres.database()
    monkeypatch.setenv("CONEXIONES_DATABASE", pooled(name))
    monkeypatch.setenv("CONEXIONES_DATABASE_DIRECT", postgres.url(name))
    made = await asyncio.to_thread(CliRunner().invoke, main, ["token", "first"])
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("cnx_")


async def test_everything_is_stored_and_read(
    two: list[PostgresCatalog], image: Make, upload: MakeUpload
) -> None:
    one, other = two
    quota = UploadQuota(uploads=5, bytes=1000)
    credential = Credential(
        id="t", kind="token", digest=b"\1", name="ana", owner="", scopes=frozenset({"read"}), own=False,
        create_time=1, allowance=Allowance(),
    )  # fmt: skip
    waiting = asyncio.ensure_future(other.changed(4))
    for lap in range(3):  # as prepared statements would be found out the second time
        await one.add_image(image(f"{lap}a", digest=bytes([lap]), name="a.png"))
        await one.add_stored(image(f"{lap}b"), StoredBy(f"{lap}b", f"{lap}b", "", ""))
        await one.put_user("ana", pow=lap, image=image(f"{lap}c"), now=lap)
        await one.create_upload(upload(f"{lap}d"), quota=quota)
        await other.claim_upload(f"{lap}d", now=1)
        await one.advance_upload(f"{lap}d", epoch=1, size=5, now=1, quota=quota)
        await other.end_upload(f"{lap}d", state="READY", image=image(f"{lap}d"), failure=None, now=2)
        await one.put_facts(image(f"{lap}a", digest=bytes([lap])), Facts(color_space="RGB"), judge=1, now=1)
        assert await other.facts([bytes([lap])]) == {bytes([lap]): Facts(color_space="RGB")}
        assert await other.delete_image(f"{lap}b", now=3)
        credentials = PostgresCredentials(one)
        await credentials.add(replace(credential, id=f"{lap}", digest=bytes([lap])))
        assert len(await credentials.all()) == lap + 1
    await waiting
    found = await other.list_images(limit=9, before=None, user=None, start=None, end=None, name="A.PNG")
    assert [image.id for image in found] == ["2a", "1a", "0a"]
    assert await other.event_range() == (0, 3 * 6)


async def test_quotas_hold_on_several_servers(two: list[PostgresCatalog], image: Make) -> None:
    charge = Charge(allowance=Allowance(stored_images=10))
    adding = (
        two[number % 2].add_image(image(f"{number}", owner="ana"), charge=charge) for number in range(40)
    )
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert outcomes.count(None) == 10
    assert sum(isinstance(outcome, QuotaExceeded) for outcome in outcomes) == 30
