"""The statements of the sweeper: what nothing refers to any more, and who looks for it."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from conexiones.adapters.blobs.s3.rows import Place, drop_extents, lock_places, loosen, place_of
from conexiones.adapters.catalog.postgres.columns import by_columns
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.transaction import Transaction

_DEAD = """
SELECT digest FROM blobs WHERE dead_since < clock_timestamp() - make_interval(secs => $1)
ORDER BY dead_since LIMIT $2
"""
_REVIVE = """
UPDATE blobs SET dead_since = NULL WHERE digest = ANY($1::bytea[])
    AND EXISTS (SELECT FROM images WHERE images.digest = blobs.digest)
"""
_BURY = """
WITH gone AS (
    SELECT digest FROM blobs
    WHERE digest = ANY($1::bytea[]) AND dead_since < clock_timestamp() - make_interval(secs => $2)
), removed AS (
    DELETE FROM places USING gone WHERE places.digest = gone.digest RETURNING places.object
), buried AS (
    DELETE FROM blobs USING gone WHERE blobs.digest = gone.digest
)
SELECT DISTINCT object FROM removed
"""
_STRAY = """
SELECT DISTINCT upload FROM extents AS e
WHERE NOT EXISTS (SELECT FROM uploads WHERE id = e.upload AND state = 'OPEN') LIMIT $1
"""
_LOOSE = "SELECT * FROM loose WHERE not_before < to_timestamp($1) ORDER BY not_before LIMIT $2"
_TIGHTEN = """
DELETE FROM loose USING unnest($1::text[], $2::timestamptz[]) AS seen (object, not_before)
WHERE loose.object = seen.object AND loose.not_before = seen.not_before
"""
_NEEDED = """
SELECT object, coalesce(sum(size), 0)::bigint AS bytes FROM (
    SELECT object, size FROM places WHERE object = ANY($1::text[])
    UNION ALL SELECT object, size FROM extents WHERE object = ANY($1::text[])
) AS places GROUP BY object
"""
_IN_OBJECTS = """
SELECT p.digest, p.at, p.object, p.start, p.size, p.sums, b.size AS total
FROM places AS p JOIN blobs AS b ON b.digest = p.digest WHERE p.object = ANY($1::text[])
"""
_MOVE = """
UPDATE places SET object = $1, start = new.start
FROM unnest($2::bytea[], $3::bigint[], $4::text[], $5::bigint[]) AS new (digest, at, object, start)
WHERE places.digest = new.digest AND places.at = new.at AND places.object = new.object
"""
_BEGIN = """
UPDATE sweeping SET sweeper = $1, until = clock_timestamp() + make_interval(secs => $2)
WHERE until < clock_timestamp() OR sweeper = $1
RETURNING packs, parts, extract(epoch FROM clock_timestamp())::float8 AS now
"""

COUNTED = 100_000
"""What waits to be removed is counted up to this number."""

_WAITING = f"""
SELECT
    (SELECT count(*) FROM (SELECT FROM blobs WHERE dead_since IS NOT NULL LIMIT {COUNTED}) AS a) AS blobs,
    (SELECT count(*) FROM (SELECT FROM loose LIMIT {COUNTED}) AS b) AS objects
"""  # noqa: S608 (a number)


class Sweep(NamedTuple):
    """That one may sweep: the time of the database, in seconds since the epoch, and up to which objects of
    each kind all were looked at."""

    now: float
    packs: str
    parts: str


class Kept(NamedTuple):
    """A place of a blob of `total` bytes."""

    digest: bytes
    total: int
    place: Place


async def begin_sweep(transaction: Transaction, sweeper: str, seconds: float) -> Sweep | None:
    """Makes this the sweeper for so long, or for longer; None if another one is."""
    row = await transaction.connection.fetchrow(_BEGIN, sweeper, seconds)
    return None if row is None else Sweep(row["now"], row["packs"], row["parts"])


async def end_sweep(transaction: Transaction, sweeper: str) -> None:
    await transaction.connection.execute(
        "UPDATE sweeping SET until = '-infinity' WHERE sweeper = $1", sweeper
    )


async def listed_to(transaction: Transaction, kind: str, name: str) -> None:
    """Remembers up to which object of a kind all were looked at."""
    await transaction.connection.execute(f"UPDATE sweeping SET {kind} = $1", name)  # noqa: S608 (one of two)


async def dead_blobs(connection: Connection, seconds: float, limit: int) -> list[bytes]:
    """Those that are dead for so long."""
    return [row["digest"] for row in await connection.fetch(_DEAD, seconds, limit)]


async def waiting(connection: Connection) -> dict[str, int]:
    """How many blobs are dead, and how many objects loose."""
    return dict(await connection.fetchrow(_WAITING))


async def bury(transaction: Transaction, digests: list[bytes], seconds: float) -> None:
    """Removes the rows of those that are still dead; they have to be locked."""
    await transaction.connection.execute(_REVIVE, digests)
    rows = await transaction.connection.fetch(_BURY, digests, seconds)
    await loosen(transaction, [row["object"] for row in rows], 0)


async def stray_uploads(connection: Connection, limit: int) -> list[str]:
    """Uploads that have extents and are not open."""
    return [row["upload"] for row in await connection.fetch(_STRAY, limit)]


async def drop_stray(transaction: Transaction, upload: str, moved: float) -> None:
    """Removes the extents of an upload unless it is open."""
    state = await transaction.connection.fetchval("SELECT state FROM uploads WHERE id = $1", upload)
    if state != "OPEN":
        await drop_extents(transaction, upload, moved)


async def loose_objects(connection: Connection, time: float, limit: int) -> dict[str, Any]:
    """Those that are to be looked at by that time, and what `tighten` has to be told."""
    return {row["object"]: row["not_before"] for row in await connection.fetch(_LOOSE, time, limit)}


async def needed(connection: Connection, objects: Collection[str]) -> dict[str, int]:
    """Those objects that rows name, and how many bytes of each."""
    return {row["object"]: row["bytes"] for row in await connection.fetch(_NEEDED, list(objects))}


async def kept_in(connection: Connection, objects: Collection[str]) -> list[Kept]:
    rows = await connection.fetch(_IN_OBJECTS, list(objects))
    return [Kept(row["digest"], row["total"], place_of(row)) for row in rows]


async def move(transaction: Transaction, kept: Sequence[Kept], name: str, starts: Sequence[int]) -> None:
    """Has places be in another object, those that are still where they were."""
    values = [
        (one.digest, one.place.at, one.place.object, start) for one, start in zip(kept, starts, strict=True)
    ]
    await lock_places(transaction, {one.digest for one in kept})
    await transaction.connection.execute(_MOVE, name, *by_columns(values))


async def loose_among(connection: Connection, objects: Collection[str]) -> set[str]:
    rows = await connection.fetch("SELECT object FROM loose WHERE object = ANY($1::text[])", list(objects))
    return {row["object"] for row in rows}


async def look_again(transaction: Transaction, looked_at: dict[str, Any], seconds: float) -> None:
    """Has the sweeper look at loose objects again, after so many seconds."""
    await tighten(transaction, looked_at)
    await loosen(transaction, looked_at, seconds)


async def tighten(transaction: Transaction, looked_at: dict[str, Any]) -> None:
    """The sweeper has looked at them. Those stay from which something was removed since."""
    if looked_at:
        await transaction.connection.execute(_TIGHTEN, *by_columns(looked_at.items()))
