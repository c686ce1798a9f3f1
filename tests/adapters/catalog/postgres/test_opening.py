"""What is said in one line of a database that cannot be used."""

import time
from collections.abc import Callable

import pytest

from conexiones.adapters.catalog.postgres import checks
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import ImageRecord
from tests.support.postgres import Engine

Make = Callable[..., ImageRecord]


async def refused(url: str) -> str:
    """The one line with which a catalog refuses to open. It has no password in it."""
    with pytest.raises(ValueError, match=r"\.$") as caught:
        await PostgresCatalog(url).open()
    line = str(caught.value)
    assert "\n" not in line
    assert line.endswith(".")
    assert "secret" not in line
    return line


async def refused_and_looked_at(url: str) -> str:
    """The same, which is what the doctor says of the database, too."""
    line = await refused(url)
    with pytest.raises(ValueError, match=r"\.$") as looked:
        await checks.look(url)
    assert str(looked.value) == line
    return line


@pytest.mark.parametrize(
    "url",
    ["", "sqlite:///x", "postgresql", "mysql://ana:secret@h/d", "postgresql://ana:secret@[::1/d", "http://h"],
)
async def test_what_is_no_url_of_postgresql(url: str) -> None:
    assert "postgresql://USER:PASSWORD@HOST:PORT/DATABASE" in await refused_and_looked_at(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://ana:secret@127.0.0.1:1/images",
            "postgresql://ana@127.0.0.1:1/images cannot be reached",
        ),
        (
            "postgresql://ana:secret@/images?host=/nowhere",
            "postgresql://ana@/nowhere/images cannot be reached",
        ),
        ("postgresql://ana:secret@127.0.0.1:port/images", "is not understood"),
        ("postgresql://ana:secret/x@127.0.0.1/images", "is not understood"),
        ("postgresql://ana:sec?secret@127.0.0.1/images", "is not understood"),
        ("postgresql://ana:secret@127.0.0.1/images?sslmode=perhaps", "cannot be used"),
        ("postgresql://ana:secret@127.0.0.1/images?sslmode=verify-full&sslrootcert=/nowhere", "cannot be"),
    ],
)
async def test_a_database_that_cannot_be_reached(url: str, said: str) -> None:
    assert said in await refused_and_looked_at(url)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"database": "nothing"}, "CREATE DATABASE makes it"),
        ({"user": "nobody_at_all"}, "does not let the user in"),
        ({"search_path": "no_such_schema"}, "CREATE SCHEMA makes one"),
        ({"synchronous_commit": "off"}, "synchronous_commit = off"),
        ({"default_transaction_read_only": "on"}, "takes no writes"),
        ({"no_such_setting": "1"}, "no_such_setting"),
    ],
)
async def test_a_database_that_does_not_do(postgres: Engine, place: dict[str, str], said: str) -> None:
    assert said in await refused(postgres.url(**place))


async def test_a_database_in_another_encoding(postgres: Engine) -> None:
    postgres.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    assert "ENCODING 'UTF8' is needed" in await refused(postgres.url("latin"))


async def test_a_database_that_no_longer_keeps_what_it_is_given(
    postgres: Engine, image: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a failover to a server with other settings."""
    name = postgres.database()
    catalog = PostgresCatalog(postgres.url(name))
    await catalog.open()
    await catalog.add_image(image("1"))
    ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = off; {ends}")
    with pytest.raises(StorageUnavailable):
        await catalog.add_image(image("2"))
    assert "synchronous_commit = off" in caplog.text
    assert await catalog.get_image("1") == image("1")
    postgres.sql(f"ALTER DATABASE {name} RESET synchronous_commit")
    await catalog.add_image(image("2"))
    await catalog.close()


async def test_a_server_that_is_too_old(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "OLDEST", 99)
    assert "needs 99 or newer" in await refused(database)


async def test_a_user_who_may_not_create_tables(postgres: Engine, database: str, image: Make) -> None:
    """May use those that are there, if it is let."""
    schema = database.partition("search_path=")[2]
    postgres.sql(f"CREATE ROLE {schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {schema}")
    guest = postgres.url(user=schema, search_path=schema)
    assert "GRANT CREATE ON SCHEMA" in await refused(guest)
    owner = PostgresCatalog(database)
    await owner.open()
    await owner.close()
    assert "permission denied" in await refused(guest)
    postgres.sql(
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {schema}", url=database
    )
    catalog = PostgresCatalog(guest)
    await catalog.open()
    await catalog.put_user("ana", pow=1, image=image("1"), now=1)
    await catalog.delete_image("1", now=2)
    await catalog.close()
    postgres.sql(f"DROP OWNED BY {schema}; DROP ROLE {schema}")


async def test_tables_of_something_else(postgres: Engine, database: str) -> None:
    postgres.sql("CREATE TABLE images (id int)", url=database)
    assert "has tables of something else" in await refused(database)


async def test_the_direct_url_is_that_of_the_same_database(postgres: Engine, database: str) -> None:
    """Or it would tell of the events of another one, and not of credentials that are revoked."""

    async def refused_as(direct: str) -> str:
        catalog = PostgresCatalog(database, direct=direct)
        with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
            await catalog.open()
        return str(error.value)

    elsewhere = postgres.url(postgres.database())
    assert "correct --database-direct" in await refused_as(elsewhere)
    assert "correct --database-direct" in await refused_as(database.replace("/postgres?", "/template1?"))
    said = await refused_as("postgresql://ana:secret@127.0.0.1:secret/images")
    assert "is not understood" in said
    assert "secret" not in said
    said = await refused_as(database.replace("/postgres?", "/nowhere?"))
    assert "/nowhere is not there" in said, "not that at the pooler"
    away = "postgresql://ana:secret@127.0.0.1:1/images"  # perhaps for a moment
    for direct in (database, away):
        catalog = PostgresCatalog(database, direct=direct)
        await catalog.open()
        await catalog.close()


async def test_nothing_is_forgotten_by_a_clock_that_is_ahead(database: str) -> None:
    catalog = PostgresCatalog(database)
    await catalog.open()
    real = time.time_ns() // 1000
    assert await catalog.shared_time(5) == 5, "the database's is ahead of this one"
    assert abs(await catalog.shared_time(real + 10**12) - real) < 10**9
    await catalog.close()
