"""What is one step with a write of the catalog."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.errors import BlobCorrupt, UploadBytesExceeded
from conexiones.ports.records import ImageRecord, UploadQuota, UploadRecord

Make = Callable[..., ImageRecord]
Upload = Callable[..., UploadRecord]


@pytest.fixture
async def catalog(postgres_catalog: PostgresCatalog) -> PostgresCatalog:
    async def table(transaction: Transaction) -> None:
        await transaction.connection.execute("CREATE TABLE notes (note text)")

    await postgres_catalog.write((), table)
    return postgres_catalog


def note(text: str) -> Callable[[Transaction], Awaitable[None]]:
    async def begin(transaction: Transaction) -> None:
        transaction.at_end(_note, text)

    return begin


async def _note(transaction: Transaction, texts: list[str]) -> None:
    values = ", ".join(f"('{text} of {len(texts)}')" for text in texts)
    await transaction.connection.execute(f"INSERT INTO notes VALUES {values}")


async def notes(catalog: PostgresCatalog) -> list[str]:
    async def ask(connection: object) -> list[str]:
        rows = await connection.fetch("SELECT note FROM notes ORDER BY note")  # type: ignore[attr-defined]
        return [row["note"] for row in rows]

    return await catalog.read(ask)


async def test_what_is_joined_is_done_once_for_all_members(catalog: PostgresCatalog, image: Make) -> None:
    async def add(name: str) -> None:
        with catalog.joined(note(name), locks=[name]):
            await catalog.add_image(image(name))

    await asyncio.gather(*(add(f"{n}") for n in range(3)))
    assert await notes(catalog) == ["0 of 3", "1 of 3", "2 of 3"]
    await catalog.add_image(image("alone"))
    assert len(await notes(catalog)) == 3


async def test_a_member_that_is_refused_takes_nothing_along(catalog: PostgresCatalog, image: Make) -> None:
    async def refuse(transaction: Transaction) -> None:
        transaction.at_end(_note, "refused")
        raise BlobCorrupt

    async def refused() -> None:
        with catalog.joined(refuse), pytest.raises(BlobCorrupt):
            await catalog.add_image(image("refused"))

    async def added() -> None:
        with catalog.joined(note("added")):
            await catalog.add_image(image("added"))

    await asyncio.gather(refused(), added())
    await refused()
    assert await notes(catalog) == ["added of 1"]
    assert await catalog.get_image("refused") is None


async def test_nor_does_one_that_fails(catalog: PostgresCatalog, upload: Upload) -> None:
    await catalog.create_upload(upload("a"))
    quota = UploadQuota(uploads=10, bytes=10)
    with catalog.joined(note("too many")), pytest.raises(UploadBytesExceeded):
        await catalog.advance_upload("a", epoch=0, size=100, now=2, quota=quota)
    assert await notes(catalog) == []
    with catalog.joined(note("few")):
        await catalog.advance_upload("a", epoch=0, size=2, now=2, quota=quota)
    assert await notes(catalog) == ["few of 1"]


async def test_other_tasks_write_for_themselves(catalog: PostgresCatalog, image: Make) -> None:
    with catalog.joined(note("mine")):
        await asyncio.create_task(_add(catalog, image("another")))
        assert await notes(catalog) == []
        await catalog.add_image(image("own"))
    assert await notes(catalog) == ["mine of 1"]


async def _add(catalog: PostgresCatalog, image: ImageRecord) -> None:
    await catalog.add_image(image)
