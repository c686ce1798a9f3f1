"""What watchers hear who see only what is theirs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain import watching
from conexiones.domain.ids import Ids
from conexiones.domain.watching import Event, Watching
from conexiones.ports.records import ImageRecord
from conexiones.principals import EVERYBODY, Principal, Scope
from tests.support.waiting import DEADLINE

READ: frozenset[Scope] = frozenset({"read"})
ANA = Principal(subject="token:ana", scopes=READ, own=True, owner="token:ana")
NOBODYS = Principal(subject="certificate:x", scopes=READ, own=True)
ANONYMOUS = Principal(scopes=READ)
IDS = Ids()


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    catalog = SqliteCatalog(tmp_path / "catalog.sqlite3")
    await catalog.open()
    yield catalog
    await catalog.close()


async def stored(catalog: SqliteCatalog, owner: str = "") -> str:
    image = ImageRecord(
        id=IDS.new(),
        digest=bytes(32),
        size=1,
        format="PNG",
        width=1,
        height=1,
        frames=1,
        user=None,
        create_time=1,
        owner=owner,
    )
    await catalog.add_image(image)
    return image.id


async def heard(catalog: SqliteCatalog, by: Principal, until: str, **more: Any) -> list[str]:
    """The ids of all images that a watcher hears of from the first event on, until one of them."""
    found: list[str] = []
    async with asyncio.timeout(DEADLINE):
        async for event in Watching(catalog).watch(token="0", user=None, by=by, **more):
            if event.image or event.deleted_id:
                found.append(event.image.id if event.image else f"-{event.deleted_id}")
            if found[-1:] == [until]:
                break
    return found


async def test_a_watcher_hears_of_what_it_sees(catalog: SqliteCatalog) -> None:
    first, other, nobodys = [await stored(catalog, owner) for owner in ("token:ana", "token:eva", "")]
    for image in (first, other, nobodys):
        await catalog.delete_image(image, now=1)
    last = [await stored(catalog, owner) for owner in ("token:eva", "", "token:ana")]
    mine, others = last[-1], last[:2]
    # The images of the first events are gone.
    assert await heard(catalog, ANA, mine) == [f"-{first}", mine]
    assert await heard(catalog, EVERYBODY, mine) == [f"-{first}", f"-{other}", f"-{nobodys}", *others, mine]
    assert await heard(catalog, EVERYBODY, mine, owner="token:ana") == [f"-{first}", mine]
    assert await heard(catalog, ANA, mine, owner="token:ana") == [f"-{first}", mine]


@pytest.mark.parametrize(
    ("by", "owner"), [(ANA, None), (ANA, "token:eva"), (NOBODYS, None), (ANONYMOUS, "token:eva")]
)
async def test_events_of_others_are_no_more_than_numbers_and_put_no_heartbeat_off(
    catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch, by: Principal, owner: str | None
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_SECONDS", 0.01)
    coming = asyncio.create_task(_stored_without_end(catalog))
    async with asyncio.timeout(DEADLINE):
        events = Watching(catalog).watch(token="", user=None, owner=owner, by=by)
        tokens = [await anext(events) for _ in range(20)]
    coming.cancel()
    assert [event.kind for event in tokens] == ["HEARTBEAT"] * 20
    assert tokens == [Event("HEARTBEAT", event.token) for event in tokens]
    assert int(tokens[-1].token) > int(tokens[0].token)


async def _stored_without_end(catalog: SqliteCatalog) -> None:
    while True:
        await asyncio.gather(*(stored(catalog, owner) for owner in ("token:eva", "", "guest")))
