"""What goes wrong, and is well again when the function returns. How long it lasts is what is tried."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil

from tests.adapters.catalog.postgres.cutting import Cut
from tests.replicas.faults.arena import SERVERS, Arena
from tests.replicas.faults.ways import Mood
from tests.support.postgres import Engine
from tests.support.processes import suspend
from tests.support.seaweed import ObjectServer

Fault = Callable[[Arena, random.Random], Awaitable[None]]

STILL_SECONDS = (0.3, 1.5, 3.0)
"""How long something stands still; the last is as long as the database waits for a silent transaction."""

AWAY_SECONDS = 1.0


async def _a_server_is_killed(arena: Arena, chance: random.Random) -> None:
    server = chance.choice(arena.replicas).server
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def _a_server_is_ended(arena: Arena, chance: random.Random) -> None:
    server = chance.choice(arena.replicas).server
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


async def _a_server_stands_still(arena: Arena, chance: random.Random) -> None:
    """While others go on with what its clients had begun."""
    supervisor = psutil.Process(chance.choice(arena.replicas).server.pid)
    processes = [supervisor, *supervisor.children(recursive=True)]
    await asyncio.to_thread(suspend, *processes)
    await asyncio.sleep(2 * chance.choice(STILL_SECONDS))
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


async def _clients_are_cut(arena: Arena, chance: random.Random) -> None:
    for replica in arena.replicas:
        replica.way.cut()


async def _a_server_cannot_be_reached(arena: Arena, chance: random.Random) -> None:
    way = chance.choice(arena.replicas).way
    way.close()
    await asyncio.sleep(AWAY_SECONDS)
    await way.open()


async def _the_database_is_killed(arena: Arena, chance: random.Random) -> None:
    await asyncio.to_thread(arena.engine.kill)
    await asyncio.to_thread(arena.engine.start)


async def _the_database_is_restarted(arena: Arena, chance: random.Random) -> None:
    await asyncio.to_thread(arena.engine.stop)
    await asyncio.to_thread(arena.engine.start)


async def _the_database_is_cut(arena: Arena, chance: random.Random) -> None:
    for replica in arena.replicas:
        replica.database.break_all()


async def _a_server_has_no_database(arena: Arena, chance: random.Random) -> None:
    way = chance.choice(arena.replicas).database
    way.closed = True
    way.break_all()
    await asyncio.sleep(2 * AWAY_SECONDS)
    way.closed = False


def _commits_are_cut(cut: Cut) -> Fault:
    async def fault(arena: Arena, chance: random.Random) -> None:
        for _ in range(3):
            cutting = []
            for replica in chance.sample(arena.replicas, SERVERS - 1):
                replica.database.was_cut.clear()
                replica.database.cut = cut
                cutting.append(asyncio.wait_for(replica.database.was_cut.wait(), AWAY_SECONDS))
            # A server may have nothing to commit.
            await asyncio.gather(*cutting, return_exceptions=True)
            for replica in arena.replicas:
                replica.database.cut = None

    return fault


async def _the_objects_are_killed(arena: Arena, chance: random.Random) -> None:
    await asyncio.to_thread(arena.objects.kill)
    await asyncio.to_thread(arena.objects.start)


async def _all_is_killed(arena: Arena, chance: random.Random) -> None:
    server = chance.choice(arena.replicas).server
    for kill in (arena.engine.kill, arena.objects.kill, server.kill):
        await asyncio.to_thread(kill)
    for start in (arena.objects.start, arena.engine.start, server.start):
        await asyncio.to_thread(start)


def _stands_still(which: Callable[[Arena], Engine | ObjectServer]) -> Fault:
    async def fault(arena: Arena, chance: random.Random) -> None:
        engine = which(arena)
        await asyncio.to_thread(engine.freeze)
        await asyncio.sleep(chance.choice(STILL_SECONDS))
        await asyncio.to_thread(engine.thaw)

    return fault


def _the_objects_are(mood: Mood) -> Fault:
    async def fault(arena: Arena, chance: random.Random) -> None:
        of = chance.sample(arena.replicas, chance.randrange(1, SERVERS + 1))
        for replica in of:
            replica.objects.mood = mood
        await asyncio.sleep(AWAY_SECONDS * chance.choice((1, 2)))
        for replica in of:
            replica.objects.mood = ""

    return fault


async def _a_server_has_no_objects(arena: Arena, chance: random.Random) -> None:
    way = chance.choice(arena.replicas).objects
    way.close()
    await asyncio.sleep(2 * AWAY_SECONDS)
    await way.open()


async def _the_objects_are_cut(arena: Arena, chance: random.Random) -> None:
    for replica in arena.replicas:
        replica.objects.cut()


FAULTS: dict[str, Fault] = {
    "a server is killed": _a_server_is_killed,
    "the database is killed": _the_database_is_killed,
    "the object store is killed": _the_objects_are_killed,
    "a server stands still": _a_server_stands_still,
    "the database stands still": _stands_still(lambda arena: arena.engine),
    "the object store stands still": _stands_still(lambda arena: arena.objects),
    "clients are cut": _clients_are_cut,
    "the database is cut": _the_database_is_cut,
    "the object store is cut": _the_objects_are_cut,
    "the object store is busy": _the_objects_are("busy"),
    "commits are cut before": _commits_are_cut("before the commit"),
    "commits are cut after": _commits_are_cut("after the commit"),
    "the object store is slow": _the_objects_are("slow"),
    "the object store fails": _the_objects_are("failing"),
    "answers of the object store are lost": _the_objects_are("mute"),
    "a server ends": _a_server_is_ended,
    "a server cannot be reached": _a_server_cannot_be_reached,
    "a server has no database": _a_server_has_no_database,
    "a server has no object store": _a_server_has_no_objects,
    "all is killed": _all_is_killed,
    "the database is restarted": _the_database_is_restarted,
}
"""The seed of a run chooses one of them, in turn."""
