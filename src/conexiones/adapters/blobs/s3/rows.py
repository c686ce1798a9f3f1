"""The statements: which blobs there are, and where their bytes and those of uploads are.

Functions that are given a Transaction are members of one, or what is done at its end for all members at once;
those that are given a Connection are reads.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from conexiones.adapters.catalog.postgres.columns import by_columns
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.transaction import Transaction


class Place(NamedTuple):
    """The bytes from `at` on are `size` bytes of an object, from `start` on. `sums` are their checksums
    (sums.py), and `hash` is the state of the SHA-256 behind them (sha256.py), if it was kept."""

    at: int
    object: str
    start: int
    size: int
    sums: bytes
    hash: bytes = b""

    @property
    def end(self) -> int:
        return self.at + self.size


class Found(NamedTuple):
    """A blob, and those of its places that were asked for."""

    size: int
    places: list[Place]


@dataclass(slots=True, eq=False)
class NewBlob:
    """What has to be there with an image. With an `upload` the bytes are those of its extents.

    `is_there` is set in the transaction: whether an image has the bytes, and the blob is there. `moved` is
    the number of seconds that objects stay which are not needed.
    """

    digest: bytes
    size: int
    places: list[Place]
    moved: float
    upload: str | None = None
    is_there: bool = False
    dead_since: Any = None  # where it was added without an image

    def begin(self) -> None:
        """In each attempt at the transaction."""
        self.is_there = False


@dataclass(slots=True, eq=False)
class Extents:
    """What the extents of an upload are to be from the offset `since` on, once its committed size is `size`.

    `is_done` is set in the transaction: whether it is that. `moved` is as in NewBlob.
    """

    upload: str
    since: int
    places: list[Place]
    size: int
    moved: float
    is_done: bool = False

    def begin(self) -> None:
        """In each attempt at the transaction."""
        self.is_done = False


def lock_of(digest: bytes) -> str:
    """What whoever adds or deletes an image has to itself."""
    return f"digest {digest.hex()}"


def lock_of_upload(upload: str) -> str:
    """What whoever changes the row of an upload has to itself."""
    return f"upload {upload}"


# Blobs.

_FIND = """
SELECT b.size AS total, p.at, p.object, p.start, p.size, p.sums
FROM blobs AS b LEFT JOIN places AS p ON p.digest = b.digest AND p.at + p.size > $2
WHERE b.digest = $1
    AND (b.dead_since IS NULL OR EXISTS (SELECT FROM images WHERE images.digest = b.digest))
ORDER BY p.at
"""
# With OFFSET 0 rows are looked up by their digests, even while PostgreSQL thinks that a table is small.
_FIND_WHOLE = """
SELECT p.digest, p.at, p.object, p.start, p.size, p.sums FROM unnest($1::bytea[]) AS wanted (digest)
CROSS JOIN LATERAL (SELECT * FROM blobs WHERE blobs.digest = wanted.digest OFFSET 0) AS b
CROSS JOIN LATERAL (SELECT * FROM places WHERE places.digest = b.digest AND at = 0 OFFSET 0) AS p
WHERE b.size <= $2 AND p.size = b.size
    AND (b.dead_since IS NULL OR EXISTS (SELECT FROM images WHERE images.digest = b.digest))
ORDER BY p.object, p.start
"""
# Of a row that was there before, xmax is not 0.
_ADD = """
INSERT INTO blobs (digest, size)
SELECT * FROM unnest($1::bytea[], $2::bigint[]) AS new (digest, size)
WHERE EXISTS (SELECT FROM images WHERE images.digest = new.digest)
ON CONFLICT (digest) DO UPDATE SET dead_since = NULL
RETURNING digest, xmax = 0 AS is_new
"""
_ADD_ALONE = """
INSERT INTO blobs AS now (digest, size, dead_since) VALUES ($1, $2, clock_timestamp())
ON CONFLICT (digest) DO UPDATE
SET dead_since = CASE WHEN now.dead_since IS NULL THEN NULL ELSE clock_timestamp() END
RETURNING dead_since, xmax = 0 AS is_new
"""
# Whoever changes places of several blobs locks them first, in this order.
_LOCK_PLACES = "SELECT FROM places WHERE digest = ANY($1::bytea[]) ORDER BY digest, at FOR UPDATE"
_ADD_PLACES = """
INSERT INTO places (digest, at, object, start, size, sums)
SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])
"""
# An upload that is still open was not ended by this transaction: another writer has it, and goes on behind
# its bytes. An image may have the same bytes all the same.
_END_EXTENTS = """
DELETE FROM extents WHERE upload = ANY($1::text[])
    AND NOT EXISTS (SELECT FROM uploads WHERE uploads.id = extents.upload AND state = 'OPEN')
"""
_LOOSEN = """
INSERT INTO loose AS now (object, not_before)
SELECT object, clock_timestamp() + make_interval(secs => $2) FROM unnest($1::text[]) AS object
ON CONFLICT (object) DO UPDATE SET not_before = greatest(now.not_before, excluded.not_before)
"""
_DIE = """
UPDATE blobs SET dead_since = clock_timestamp() WHERE digest = $1 AND dead_since IS NULL
    AND NOT EXISTS (SELECT FROM images WHERE images.digest = blobs.digest)
"""


async def find_blob(connection: Connection, digest: bytes, offset: int) -> Found | None:
    """A blob with its places from an offset on, unless no image has it."""
    rows = await connection.fetch(_FIND, digest, offset)
    if not rows:
        return None
    return Found(rows[0]["total"], [place_of(row) for row in rows if row["at"] is not None])


async def find_whole(
    connection: Connection, digests: Sequence[bytes], largest: int
) -> list[tuple[bytes, Place]]:
    """Those of at most so many bytes that are in one place, with it: by the object and where in it."""
    rows = await connection.fetch(_FIND_WHOLE, digests, largest)
    return [(row["digest"], place_of(row)) for row in rows]


async def add_blobs(transaction: Transaction, blobs: list[NewBlob]) -> None:
    """Adds those that an image has by now. What comes takes the place of what is there: it is known to be
    good, whatever the store has done to the other. Objects that are not needed go."""
    first = {blob.digest: blob for blob in reversed(blobs)}
    values = sorted((blob.digest, blob.size) for blob in first.values())
    rows = await transaction.connection.fetch(_ADD, *by_columns(values))
    there = {row["digest"]: row["is_new"] for row in rows}
    new = [blob for digest, blob in first.items() if digest in there]
    left = await _drop_places(transaction, [blob for blob in new if not there[blob.digest]])
    await _add_places(transaction, new)
    for blob in blobs:
        blob.is_there = blob.digest in there
    twins = [blob for blob in blobs if blob.is_there and blob not in new]
    left += [(blob.moved, place.object) for blob in twins for place in blob.places]
    await _loosen_by_grace(transaction, left)
    done = [blob.upload for blob in blobs if blob.upload is not None and blob.is_there]
    if done:
        await transaction.connection.execute(_END_EXTENTS, done)


async def add_alone(transaction: Transaction, blob: NewBlob) -> None:
    """Adds a blob that no image has yet; until one has, it is dead."""
    row = await transaction.connection.fetchrow(_ADD_ALONE, blob.digest, blob.size)
    blob.dead_since = row["dead_since"]
    if not row["is_new"]:
        await _loosen_by_grace(transaction, await _drop_places(transaction, [blob]))
    await _add_places(transaction, [blob])


async def settle_alone(transaction: Transaction, blob: NewBlob) -> None:
    """Has a blob that was added alone live, unless an image that had it was deleted since."""
    await transaction.connection.execute(
        "UPDATE blobs SET dead_since = NULL WHERE digest = $1 AND dead_since = $2",
        blob.digest,
        blob.dead_since,
    )
    if blob.upload is not None:
        await drop_extents(transaction, blob.upload, blob.moved)


async def let_die(transaction: Transaction, digest: bytes) -> None:
    """Marks a blob that no image has."""
    await transaction.connection.execute(_DIE, digest)


async def loosen(transaction: Transaction, objects: Iterable[str], seconds: float) -> None:
    """Has the sweeper look at objects, after so many seconds."""
    if names := sorted(set(objects)):
        await transaction.connection.execute(_LOOSEN, names, seconds)


async def lock_places(transaction: Transaction, digests: Collection[bytes]) -> None:
    """Has nobody else change the places of these blobs until the transaction ends."""
    await transaction.connection.execute(_LOCK_PLACES, list(digests))


async def _drop_places(transaction: Transaction, blobs: Sequence[NewBlob]) -> list[tuple[float, str]]:
    """Removes the places that blobs have had. Gives the seconds for which their objects stay, and these."""
    if not blobs:
        return []
    moved = {blob.digest: blob.moved for blob in blobs}
    await lock_places(transaction, moved)
    gone = await transaction.connection.fetch(
        "DELETE FROM places WHERE digest = ANY($1::bytea[]) RETURNING digest, object", list(moved)
    )
    return [(moved[row["digest"]], row["object"]) for row in gone]


async def _add_places(transaction: Transaction, blobs: Sequence[NewBlob]) -> None:
    rows = [(blob.digest, *place[:5]) for blob in blobs for place in blob.places]
    if rows:
        await transaction.connection.execute(_ADD_PLACES, *by_columns(rows))


async def _loosen_by_grace(transaction: Transaction, given: Iterable[tuple[float, str]]) -> None:
    """Has the sweeper look at objects, at each after so many seconds."""
    found: dict[float, set[str]] = {}
    for seconds, name in given:
        found.setdefault(seconds, set()).add(name)
    for seconds, names in found.items():
        await loosen(transaction, names, seconds)


# Extents.

_LAST = "SELECT at + size AS end, object FROM extents WHERE upload = $1 ORDER BY at DESC LIMIT 1"
_ADD_EXTENTS = """
INSERT INTO extents (upload, at, object, start, size, sums, hash)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[]
)
"""
_ADVANCED = """
SELECT id, committed_size FROM uploads WHERE id = ANY($1::text[]) AND state = 'OPEN'
"""


class Last(NamedTuple):
    """How far the extents of an upload go, and the object of the last one."""

    end: int = 0
    object: str = ""


async def epoch_of(connection: Connection, upload: str) -> int:
    """The epoch of an upload's writer."""
    epoch = await connection.fetchval("SELECT writer_epoch FROM uploads WHERE id = $1", upload)
    return int(epoch or 0)


async def ended_by(connection: Connection, upload: str) -> int | None:
    """The epoch of an upload that has ended; None if it is open, or not there."""
    statement = "SELECT writer_epoch FROM uploads WHERE id = $1 AND state <> 'OPEN'"
    epoch: int | None = await connection.fetchval(statement, upload)
    return epoch


async def written_by(connection: Connection, upload: str, size: int) -> int | None:
    """The epoch of an upload that has more bytes than so many; None if it has not."""
    statement = "SELECT writer_epoch FROM uploads WHERE id = $1 AND committed_size > $2"
    epoch: int | None = await connection.fetchval(statement, upload, size)
    return epoch


async def extents_of(connection: Connection, upload: str) -> list[Place]:
    rows = await connection.fetch("SELECT * FROM extents WHERE upload = $1 ORDER BY at", upload)
    return [place_of(row) for row in rows]


async def last_extent(connection: Connection, upload: str) -> Last:
    row = await connection.fetchrow(_LAST, upload)
    return Last() if row is None else Last(row["end"], row["object"])


async def put_extents(transaction: Transaction, changes: list[Extents]) -> None:
    """Changes the extents of those uploads whose committed size has become what they say."""
    names = [change.upload for change in changes]
    rows = await transaction.connection.fetch(_ADVANCED, names)
    sizes = {row["id"]: row["committed_size"] for row in rows}
    await _put_extents(transaction, [one for one in changes if sizes.get(one.upload) == one.size])


async def put_extents_alone(transaction: Transaction, change: Extents) -> None:
    """The same of an upload whatever its row says."""
    await _put_extents(transaction, [change])


async def _put_extents(transaction: Transaction, changes: list[Extents]) -> None:
    for change in changes:
        change.is_done = True
        rows = await transaction.connection.fetch(
            "DELETE FROM extents WHERE upload = $1 AND at >= $2 RETURNING object", change.upload, change.since
        )
        stay = {place.object for place in change.places}
        await loosen(transaction, {row["object"] for row in rows} - stay, change.moved)
    new = [(change.upload, *place) for change in changes for place in change.places]
    if new:
        await transaction.connection.execute(_ADD_EXTENTS, *by_columns(new))


async def drop_extents(transaction: Transaction, upload: str, moved: float) -> None:
    rows = await transaction.connection.fetch(
        "DELETE FROM extents WHERE upload = $1 RETURNING object", upload
    )
    await loosen(transaction, [row["object"] for row in rows], moved)


def place_of(row: Any) -> Place:
    """Of a row with the columns of a place, or of an extent."""
    extra = row["hash"] if "hash" in row.keys() else b""  # noqa: SIM118 (a row of the driver is no mapping)
    return Place(row["at"], row["object"], row["start"], row["size"], row["sums"], extra)


_PLACES_OF = "SELECT * FROM places WHERE digest = ANY($1::bytea[]) ORDER BY digest, at"


async def places_of(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, list[Place]]:
    """The places of blobs, by their digests; of those that have any."""
    found: dict[bytes, list[Place]] = {}
    for row in await connection.fetch(_PLACES_OF, list(digests)):
        found.setdefault(row["digest"], []).append(place_of(row))
    return found


# What there is.

_SIZES = """
SELECT coalesce((SELECT sum(size) FROM blobs), 0)::bigint AS blobs,
    coalesce((SELECT sum(size) FROM extents), 0)::bigint AS uploads,
    (SELECT sum(pg_total_relation_size(oid)) FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r')::bigint AS catalog
"""


async def sizes(connection: Connection) -> dict[str, int]:
    return dict(await connection.fetchrow(_SIZES))


async def names_objects(connection: Connection) -> bool:
    """Whether there is a row for which there has to be an object."""
    asked = "SELECT EXISTS (SELECT FROM places) OR EXISTS (SELECT FROM extents)"
    return bool(await connection.fetchval(asked))


async def identity(transaction: Transaction, new: int) -> int:
    """The number by which a database knows its objects: the new one, if it had none."""
    await transaction.connection.execute(
        "INSERT INTO about (identity) VALUES ($1) ON CONFLICT (one) DO NOTHING", new
    )
    return int(await transaction.connection.fetchval("SELECT identity FROM about"))


async def known_identity(connection: Connection) -> int:
    """That number; 0 if the database has none yet."""
    return await connection.fetchval("SELECT identity FROM about") or 0
