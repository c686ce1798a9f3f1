"""What servers divide among themselves."""

import asyncio

from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.leases import PostgresLeases
from conexiones.adapters.catalog.postgres.scrub_log import PostgresScrubLog
from conexiones.domain.duties import Duties, all_duties
from conexiones.ports.verifying import Round, ScrubState

NAMES = [f"n{number}" for number in range(9)]


async def test_each_name_is_held_by_one_and_all_get_an_equal_part(postgres_catalog: PostgresCatalog) -> None:
    servers = [PostgresLeases(postgres_catalog) for _ in range(4)]
    assert await servers[0].hold(NAMES, seconds=60) == set(NAMES)
    held = [await server.hold(NAMES, seconds=60) for server in servers * 3][-4:]
    assert sorted(name for names in held for name in names) == NAMES
    assert max(len(names) for names in held) == 3
    assert [await server.hold(NAMES, seconds=60) for server in servers] == held, "nobody loses what it has"


async def test_of_many_at_once_each_name_has_one(postgres_catalog: PostgresCatalog) -> None:
    servers = [PostgresLeases(postgres_catalog) for _ in range(4)]
    for _ in range(3):
        held = await asyncio.gather(*(server.hold(NAMES, seconds=60) for server in servers))
        names = [name for names in held for name in names]
        assert len(names) == len(set(names))
    assert sorted(names) == NAMES


async def test_what_a_server_has_left_goes_to_the_others(postgres_catalog: PostgresCatalog) -> None:
    dead, leaving, last = (PostgresLeases(postgres_catalog) for _ in range(3))
    await dead.hold(NAMES[:3], seconds=0)  # over at once, as if it had died long ago
    assert await leaving.hold(NAMES, seconds=60) == set(NAMES)
    assert await last.hold(NAMES, seconds=60) == set()
    await leaving.leave()
    assert await last.hold(NAMES, seconds=60) == set(NAMES)


async def test_a_server_says_when_it_has_got_more(postgres_catalog: PostgresCatalog) -> None:
    one, other = Duties(PostgresLeases(postgres_catalog)), Duties(PostgresLeases(postgres_catalog))
    await one.take()
    assert all(map(one.has, all_duties()))
    gained = asyncio.create_task(other.gained())
    await other.take()
    await one.take()
    await other.take()
    assert await gained
    assert all(one.has(name) != other.has(name) for name in all_duties())
    assert one.of_describing + other.of_describing == 1
    assert 7 / 16 <= one.of_describing <= 9 / 16
    await other.leave()
    assert not any(map(other.has, all_duties()))
    await one.take()
    assert all(map(one.has, all_duties()))


async def test_a_server_without_leases_has_everything() -> None:
    alone = Duties()
    await alone.take()
    assert all(map(alone.has, all_duties()))
    assert alone.of_describing == 1
    assert not await alone.gained(0)


async def test_the_verification_is_remembered_for_all(postgres_catalog: PostgresCatalog) -> None:
    assert await PostgresScrubLog(postgres_catalog).load() == ScrubState()
    state = ScrubState(
        current=Round(begin_time=5, images=2, bytes=7), before="0198", damaged={"0197": "ab" * 32}
    )
    await PostgresScrubLog(postgres_catalog).save(ScrubState())
    await PostgresScrubLog(postgres_catalog).save(state)
    assert await PostgresScrubLog(postgres_catalog).load() == state
