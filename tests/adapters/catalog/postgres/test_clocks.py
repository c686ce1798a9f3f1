"""A server whose clock is far ahead: what is kept for a time is kept for it by the clock of the database."""

from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

import pytest

from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.domain.access import Directory, directory, links
from conexiones.domain.access.links import Links
from conexiones.domain.ids import now
from conexiones.domain.images import Images
from conexiones.domain.uploads import uploads as rules
from conexiones.domain.uploads.uploads import Uploads
from conexiones.ports.access import LinkKey
from conexiones.ports.records import UploadRecord
from conexiones.ports.staging import Staging
from conexiones.principals import EVERYBODY

DAY = 24 * 3600 * 1_000_000
AHEAD = 40 * DAY


def set_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (directory, links, rules):
        monkeypatch.setattr(module, "now", lambda: now() + AHEAD)


async def test_the_outcomes_of_uploads_are_kept(
    postgres_catalog: PostgresCatalog, upload: Callable[..., UploadRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, age in (("new", 0), ("old", 2 * DAY)):
        await postgres_catalog.create_upload(upload(name, create_time=now() - age, update_time=now() - age))
        await postgres_catalog.end_upload(name, state="CANCELLED", image=None, failure=None, now=now() - age)
    set_ahead(monkeypatch)
    uploads = Uploads(postgres_catalog, cast("Staging", None), cast("Images", None))  # no bytes are touched
    await uploads.sweep()
    assert [await postgres_catalog.get_upload(name) is None for name in ("new", "old")] == [False, True]


async def test_credentials_are_kept(
    postgres_catalog: PostgresCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = PostgresCredentials(postgres_catalog)
    here = Directory(credentials)
    token = await here.create_token("one", ["read"], seconds=3600)
    ahead = Directory(credentials)
    await ahead.open()
    set_ahead(monkeypatch)
    await ahead.sweep()
    monkeypatch.undo()
    assert [one.id for one in await credentials.all()] == [token.credential.id]
    again = Directory(credentials)
    await again.open()
    assert again.principal(token.secret)


async def test_links_work_for_their_time(
    postgres_catalog: PostgresCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = PostgresCredentials(postgres_catalog)
    for number, age in enumerate((9, 8, 1)):  # the first one is of no use any more
        key = LinkKey(id=f"{number}", secret=bytes(32), create_time=now() - age * DAY)
        await credentials.add_key(key)
    ahead, here = (Links(credentials, Directory(credentials)) for _ in range(2))
    await ahead.open()
    await here.open()
    set_ahead(monkeypatch)
    await ahead.sweep()
    key_of_ahead = await ahead.rotate()
    await ahead.sweep()
    monkeypatch.undo()
    keys = await credentials.keys()
    assert [key.id for key in keys] == ["1", "2", key_of_ahead]
    assert keys[-1].create_time <= now()
    here.take(keys)
    link = urlsplit((await here.sign(EVERYBODY, "/images/1", [], seconds=links.MAX_SECONDS)).path)
    assert here.opened(link.path, link.query)
