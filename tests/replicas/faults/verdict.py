"""Whether all is so that clients were told, and nothing is left."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial

import obstore

from conexiones import AsyncClient
from conexiones.adapters.blobs.s3.objects import KINDS
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.errors import StorageUnavailable
from tests.replicas.faults.arena import FOLDER, Arena, Replica
from tests.replicas.faults.load import Load
from tests.replicas.faults.told import Line
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

KEPT = 6
"""Images that stay for the next run."""

MOST_SAID = 2500
"""Characters of a server's log that are shown."""

_DEFECT = re.compile(r"^.* ERROR .*(?:\bINTERNAL\b|defect).*\n(?:  .*\n)*", re.MULTILINE)

LAPS = 5
"""Sweeps, each a day after the other, until all garbage has to be gone: one removes rows, the next one what
they named, and a pack with holes is put elsewhere first."""

_EVENTS = "SELECT kind, image_id FROM events ORDER BY sequence"
_OFF = {
    "events have a gap": """
        SELECT count(*), max(e.sequence), h.sequence FROM events AS e, event_head AS h GROUP BY h.sequence
        HAVING count(*) <> h.sequence OR max(e.sequence) <> h.sequence""",
    "images and events are not the same": """
        (SELECT id FROM images) EXCEPT (SELECT image_id FROM events WHERE kind = 'STORED')
        UNION ALL (
            (SELECT image_id FROM events WHERE kind = 'STORED'
            EXCEPT SELECT image_id FROM events WHERE kind = 'DELETED') EXCEPT SELECT id FROM images)""",
    "an image was stored or deleted twice": """
        SELECT kind, image_id FROM events WHERE kind <> 'DESCRIBED'
        GROUP BY kind, image_id HAVING count(*) > 1""",
    "a request was done twice": "SELECT name FROM images WHERE name <> '' GROUP BY name HAVING count(*) > 1",
    "what owners have is counted wrongly": """
        SELECT * FROM (SELECT owner, images, bytes FROM usage WHERE images <> 0 OR bytes <> 0) AS counted
        FULL JOIN (SELECT owner, count(*) AS images, sum(size)::bigint AS bytes FROM images
            WHERE owner <> '' GROUP BY owner) AS there USING (owner, images, bytes)
        WHERE counted IS NULL OR there IS NULL""",
    "an image has no bytes, or dead ones": """
        SELECT id FROM images AS i LEFT JOIN blobs AS b ON b.digest = i.digest
        WHERE b.digest IS NULL OR b.size <> i.size OR b.dead_since IS NOT NULL""",
    "a blob that is alive has no image": """
        SELECT encode(digest, 'hex') FROM blobs AS b WHERE dead_since IS NULL
        AND NOT EXISTS (SELECT FROM images AS i WHERE i.digest = b.digest)""",
    "places are not all of a blob": """
        SELECT encode(b.digest, 'hex') FROM blobs AS b LEFT JOIN places AS p ON p.digest = b.digest
        GROUP BY b.digest, b.size HAVING coalesce(sum(p.size), 0) <> b.size""",
    "extents are not what was committed": """
        SELECT id FROM uploads LEFT JOIN extents ON upload = id WHERE state = 'OPEN'
        GROUP BY id, committed_size HAVING coalesce(sum(size), 0) < committed_size""",
    "a duty is of a server that is not there": """
        SELECT name FROM leases WHERE server NOT IN (SELECT id FROM servers) AND until > clock_timestamp()""",
}
"""What must not be found, by what that would be."""

_NAMED = """
SELECT object, max(start + size) FROM (
    SELECT object, start, size FROM places UNION ALL SELECT object, start, size FROM extents
) AS named GROUP BY object
"""

_NOT_YET = "SELECT object FROM loose WHERE not_before > clock_timestamp()"
"""Of bytes that came again, as those of the images that are stored here: the sweeper knows of them."""


async def check(load: Load, chance: random.Random, *, sweep: bool) -> list[str]:
    """What is wrong, in sentences. With `sweep` every image is read, and not only those of this run; most are
    deleted then, and all garbage has to be gone."""
    arena, told = load.arena, load.told
    wrong = told.wrong[:]
    last = [await mark(arena, replica) for replica in arena.replicas]
    wrong += await _nothing_is_off(arena)
    wrong += await _all_is_there(load, since=0 if sweep else load.before)
    wrong += await _all_was_told(load, last)
    if sweep:
        wrong += await _nothing_is_left(load, chance, last)
    return wrong + _defects(load)


def _defects(load: Load) -> list[str]:
    """What servers said of errors that nobody expected."""
    wrong = []
    for replica in load.arena.replicas:
        log = replica.server.log
        seen, load.read[replica.server] = load.read.get(replica.server, 0), len(log)
        wrong += [found[0][:80] + found[0][-MOST_SAID:] for found in _DEFECT.finditer(log, seen)]
    return wrong


async def mark(arena: Arena, replica: Replica) -> str:
    """Stores one more image at a server, and gives its id."""
    async with arena.client(replica) as client:
        return (await client.upload(b"".join(bitmap(3, 3)), name="")).id


async def _nothing_is_off(arena: Arena) -> list[str]:
    return [f"{what}: {rows[:5]}" for what, query in _OFF.items() if (rows := await arena.rows(query))]


async def _all_is_there(load: Load, since: int) -> list[str]:
    """Whatever was acknowledged, with every byte of what came since then, at one server or another; and
    nothing that was deleted."""
    told, arena = load.told, load.arena
    wrong = []
    there = {str(id) for (id,) in await arena.rows("SELECT id FROM images")}
    if lost := set(told.kept()) - there:
        wrong.append(f"acknowledged images are not there: {sorted(lost)}")
    if back := told.deleted & there:
        wrong.append(f"deleted images are there: {sorted(back)}")

    async def read(client: AsyncClient, id: str) -> None:
        if await client.download(id) != load.contents[told.stored[id]]:
            wrong.append(f"{id} has other bytes than {told.stored[id]}")

    clients = [arena.client(replica) for replica in arena.replicas]
    ids = [id for id in list(told.stored)[since:] if id in there]
    await asyncio.gather(*(read(clients[at % len(clients)], id) for at, id in enumerate(ids)))
    for client in clients:
        await client.close()
    return wrong


async def _all_was_told(load: Load, last: list[str]) -> list[str]:
    """Every watcher has heard of every event, once and in order. Of an image that was deleted before somebody
    was told of it, only that is told."""
    told = load.told
    events = [(str(kind), str(id)) for kind, id in await load.arena.rows(_EVENTS)]
    end = events.index(("STORED", last[-1])) + 1
    gone = {id for kind, id in events if kind == "DELETED"}
    wrong = []
    for name, heard in told.heard.items():
        try:
            async with asyncio.timeout(DEADLINE), told.more:
                await told.more.wait_for(partial(heard.__contains__, ("STORED", last[-1])))
        except TimeoutError:
            wrong.append(f"{name} does not hear any more")
            continue
        # What comes behind it may come in the middle of this.
        wrong += [f"{name} {what}" for what in _apart(events[:end], heard, gone)]
    return wrong


def _apart(events: list[Line], heard: list[Line], gone: set[str]) -> Iterable[str]:
    heard = heard[: heard.index(events[-1]) + 1]
    begin = events.index(heard[0])
    if twice := [one for one, times in Counter(heard).items() if times > 1 and one[0] != "DESCRIBED"]:
        yield f"heard twice of {twice[:3]}"
    waiting = iter(heard)
    next_one = next(waiting, None)
    for event in events[begin:]:
        if event == next_one:
            next_one = next(waiting, None)
        elif event[1] not in gone or event[0] == "DELETED":
            times = f"{events.count(event)} times there, {heard.count(event)} times heard"
            yield f"did not hear of {event} in its order ({times}), but of {next_one}"
            return
    if next_one is not None:
        yield f"heard of {next_one} out of its order"


async def _nothing_is_left(load: Load, chance: random.Random, last: list[str]) -> list[str]:
    """When most is deleted and the graces are over, all objects are such that rows name."""
    arena, told = load.arena, load.told
    there = {str(id) for (id,) in await arena.rows("SELECT id FROM images")}
    staying = chance.sample(sorted(there & set(told.kept())), min(KEPT, len(there & set(told.kept()))))
    await _delete(load, sorted(there - {*staying, last[-1]}))
    early = set(await _objects(arena))
    for lap in range(LAPS):
        await arena.later(26)
        # Every server knows what time it is when it has been refused once.
        marks = [await mark(arena, replica) for replica in arena.replicas]
        await _delete(load, marks)
        while not await _swept(arena):  # noqa: ASYNC110 (a server sweeps, and nothing tells when it has)
            await asyncio.sleep(0.05)
        named = {str(name): int(size or 0) for name, size in await arena.rows(_NAMED)}
        there_are = await _objects(arena)
        due = there_are.keys() - named.keys() - {name for (name,) in await arena.rows(_NOT_YET)}
        if lap and not due:
            break
    wrong = [f"an object is not there: {name}" for name in sorted(named.keys() - there_are.keys())]
    wrong += [f"{n} is too short" for n in sorted(named.keys() & there_are.keys()) if there_are[n] < named[n]]
    # What was put when all was over already could not come about so late without the clock being moved.
    left = sorted(due & early)
    wrong += [f"{len(left)} objects are left: {left[:3]}"] if left else []
    late = due - early
    told.failed["objects that came late"] += len(late)
    await obstore.delete_async(arena.place.connect(Patience()), sorted(late)) if late else None
    return wrong


async def _swept(arena: Arena) -> bool:
    try:
        return await arena.store.sweep()
    except StorageUnavailable:
        return False


async def _delete(load: Load, ids: list[str]) -> None:
    client = AsyncClient(load.arena.address, token=load.arena.token)
    load.told.unsure |= {*ids}
    async with client:
        await asyncio.gather(*(client.delete(id) for id in ids))
    load.told.deleted |= {*ids} & load.told.stored.keys()


async def _objects(arena: Arena) -> dict[str, int]:
    """The bytes of all objects, by their names as rows have them."""
    bucket = arena.place.connect(Patience())
    found: dict[str, int] = {}
    for kind in KINDS:
        async for page in obstore.list(bucket, f"{kind}/"):
            found |= {meta["path"].removeprefix(f"{FOLDER}/"): meta["size"] for meta in page}
    return found
