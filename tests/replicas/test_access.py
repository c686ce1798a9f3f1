"""Credentials and keys of links, on servers that share a database: what one changes the others know."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.domain.access import Directory, Links
from conexiones.domain.access.directory import HOUR
from conexiones.domain.access.elsewhere import Elsewhere
from conexiones.errors import LinkInvalid, TokenRevoked, TokenUnknown
from conexiones.principals import EVERYBODY, Terms
from tests.support.postgres import Engine
from tests.support.waiting import DEADLINE


@dataclass
class Access:
    """What a server knows of access. `ended` has the ids of credentials whose calls were ended, and "links"
    if those of all links were; `told` is set then."""

    credentials: PostgresCredentials
    directory: Directory
    links: Links
    elsewhere: Elsewhere
    ended: list[str] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, ids: Collection[str]) -> None:
        self.ended += ids
        self.told.set()


@asynccontextmanager
async def access(url: str) -> AsyncIterator[Access]:
    catalog = PostgresCatalog(url)
    await catalog.open()
    try:
        credentials = PostgresCredentials(catalog)
        directory = Directory(credentials)
        links = Links(credentials, directory)
        one = Access(credentials, directory, links, Elsewhere(credentials, directory, links))
        directory.on_end = one.end
        links.on_end = lambda: one.end(["links"])
        await one.elsewhere.begin()
        await directory.open()
        await links.open()
        yield one
    finally:
        await catalog.close()


@pytest.fixture
async def two(database: str) -> AsyncIterator[tuple[Access, Access]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(access(database)),
            await stack.enter_async_context(access(database)),
        )


async def test_a_token_works_everywhere_once_it_was_given_out(two: tuple[Access, Access]) -> None:
    here, there = two
    made = await here.directory.create_token("ana", ["read", "write"])
    with pytest.raises(TokenUnknown):
        there.directory.principal(made.secret)
    await there.elsewhere.look()
    assert there.directory.principal(made.secret) == here.directory.principal(made.secret)
    session = await there.directory.create_session(there.directory.principal(made.secret))
    await here.elsewhere.look()
    assert here.directory.session(session.secret).subject == "token:ana"


async def test_what_is_revoked_after_commits_were_taken_back_is_heard_of(
    two: tuple[Access, Access], database: str, postgres: Engine
) -> None:
    """As by a failover to a standby that was behind: numbers of changes begin anew at smaller ones."""
    here, there = two
    made = [await here.directory.create_token(f"t{i}", ["read"]) for i in range(5)]
    await here.elsewhere.look()
    await there.elsewhere.look()
    postgres.sql("UPDATE access_head SET number = 1; UPDATE credentials SET change = 1", url=database)
    await there.directory.revoke(made[3].credential.id)
    await here.elsewhere.look()
    with pytest.raises(TokenRevoked):
        here.directory.principal(made[3].secret)
    await there.directory.revoke(made[4].credential.id)
    await here.elsewhere.look()
    with pytest.raises(TokenRevoked):
        here.directory.principal(made[4].secret)
    assert here.directory.principal(made[0].secret).subject == "token:t0"


async def test_those_who_look_at_once_share_a_look(two: tuple[Access, Access]) -> None:
    here, there = two
    made = [await here.directory.create_token(f"t{i}", ["read"]) for i in range(3)]
    await asyncio.gather(*(there.elsewhere.look() for _ in range(50)))
    known = [there.directory.principal(one.secret).subject for one in made]
    assert known == ["token:t0", "token:t1", "token:t2"]


async def test_what_is_revoked_on_one_server_ends_on_the_others(two: tuple[Access, Access]) -> None:
    here, there = two
    made = await here.directory.create_token("ana", ["write"])
    await there.elsewhere.look()
    # This one is made where the revocation has not been heard of yet.
    principal = there.directory.principal(made.secret)
    ticket = await there.directory.create_ticket(principal, seconds=60, terms=Terms(bytes=1, images=1))
    running = asyncio.create_task(there.elsewhere.run())
    await here.directory.revoke(made.credential.id)
    async with asyncio.timeout(DEADLINE):
        await there.told.wait()
    running.cancel()
    assert set(there.ended) == {made.credential.id, ticket.credential.id}
    for one in (here, there):
        await one.elsewhere.look()
        for secret in (made.secret, ticket.secret):
            with pytest.raises(TokenRevoked):
                one.directory.principal(secret)


async def test_a_revocation_that_is_not_durable_yet_is_not_taken_back(two: tuple[Access, Access]) -> None:
    here, _ = two
    made = await here.directory.create_token("ana", ["read"])
    (kept,) = await here.credentials.all()
    await here.directory.revoke(made.credential.id)
    here.directory.take([kept])  # as another server had read it before
    with pytest.raises(TokenRevoked):
        here.directory.principal(made.secret)


async def test_links_of_one_server_open_on_all(two: tuple[Access, Access]) -> None:
    here, there = two
    await here.links.rotate()
    link = await here.links.sign(EVERYBODY, "/images/1", [], seconds=60)
    path, _, query = link.path.partition("?")
    with pytest.raises(LinkInvalid):
        there.links.opened(path, query)
    await there.elsewhere.look()
    assert there.links.opened(path, query)[0].scopes == {"read"}
    assert there.ended == [], "a new key ends no link"

    await there.links.rotate(end_links=True)
    await here.elsewhere.look()
    assert here.ended == ["links"]
    for one in two:
        with pytest.raises(LinkInvalid):
            one.links.opened(path, query)
    await there.elsewhere.look()
    link = await here.links.sign(EVERYBODY, "/images/1", [], seconds=60)
    assert there.links.opened(*link.path.split("?"))[0].scopes == {"read"}


async def test_the_latest_use_of_all_servers_is_kept(two: tuple[Access, Access]) -> None:
    here, there = two
    made = await here.directory.create_token("ana", ["read"])
    id = made.credential.id
    await here.credentials.used({id: 9 * HOUR})
    await there.credentials.used({id: 7 * HOUR})
    await here.elsewhere.look()
    assert here.directory.tokens(ended=False)[0].use_time == 9 * HOUR
