"""Facts of images, by the digest of their bytes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

from conexiones.adapters.catalog.postgres.columns import NAMES, arrays, by_columns, found, quoted
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.ports.records import Facts, ImageRecord

_FACTS = tuple(field.name for field in fields(Facts))
_facts_row = attrgetter(*_FACTS)

_SHAPE = ("format", "width", "height", "frames")
_shape_row = attrgetter(*_SHAPE)
_NEW = ("digest", "judge", *_SHAPE, *_FACTS)

_GET = f"SELECT digest, {quoted(_FACTS)} FROM facts WHERE digest = ANY($1::bytea[]) AND judge >= $2"  # noqa: S608


def _differs(names: Iterable[str], one: str, other: str) -> str:
    return f"({quoted(names, of=one)}) IS DISTINCT FROM ({quoted(names, of=other)})"


# All parts of it see what there was before. Gives the images of whose bytes something is news. Whoever
# changes facts, or images that have the bytes, has the digests to itself: so the order of rows is no matter.
# With OFFSET 0 rows are looked up by their digests, even while PostgreSQL thinks that a table is small.
_PUT = f"""
WITH new AS (
    SELECT * FROM unnest({arrays(_NEW)}) AS new ({quoted(_NEW)})
), theirs AS (
    SELECT new.digest, i.id, i."user", i.owner, {_differs(_SHAPE, "i", "new")} AS differs
    FROM new CROSS JOIN LATERAL (SELECT * FROM images WHERE images.digest = new.digest OFFSET 0) AS i
), corrected AS (
    UPDATE images AS i SET {", ".join(f"{name} = new.{name}" for name in _SHAPE)}
    FROM theirs JOIN new ON new.digest = theirs.digest WHERE i.id = theirs.id AND theirs.differs
), put AS (
    INSERT INTO facts (digest, judge, {quoted(_FACTS)})
    SELECT digest, judge, {quoted(_FACTS)} FROM new WHERE digest IN (SELECT digest FROM theirs)
    ON CONFLICT (digest) DO UPDATE SET judge = excluded.judge,
        {", ".join(f"{name} = excluded.{name}" for name in _FACTS)}
), news AS (
    SELECT new.digest
    FROM new LEFT JOIN LATERAL (SELECT * FROM facts WHERE facts.digest = new.digest OFFSET 0) AS f ON true
    WHERE f.digest IS NULL OR {_differs(_FACTS, "f", "new")}
)
SELECT digest, id, "user", owner FROM theirs
WHERE digest IN (SELECT digest FROM news) OR digest IN (SELECT digest FROM theirs WHERE differs)
ORDER BY id
"""  # noqa: S608 (our own names)
_IMAGE = quoted(NAMES[ImageRecord], of="i")
WINDOW = 10_000
"""Images that one read looks through for those to be described: where few or none of many millions are left,
one of all would take longer than a read may."""

# The images of a window are looked up in the facts one by one, whatever PostgreSQL thinks of the tables.
_OF_WINDOW = f"""
SELECT {_IMAGE} FROM (SELECT * FROM images WHERE id < $1 ORDER BY id DESC LIMIT $2) AS i
LEFT JOIN LATERAL (SELECT * FROM facts WHERE facts.digest = i.digest OFFSET 0) AS f ON true
"""  # noqa: S608 (our own names)
# The problems that are named here may be passing ones: another attempt, or a newer version, may succeed.
_UNDESCRIBED = f"""
{_OF_WINDOW} WHERE f.digest IS NULL OR f.problem IN ('SECONDS', 'MEMORY', 'CRASH', 'UNSUPPORTED')
ORDER BY i.id DESC LIMIT $3
"""
_JUDGED_BEFORE = f"{_OF_WINDOW} WHERE f.judge < $4 ORDER BY i.id DESC LIMIT $3"
_ANY_JUDGED_BEFORE = "SELECT EXISTS (SELECT FROM facts WHERE judge < $1)"
_LAST_OF_WINDOW = "SELECT id FROM images WHERE id < $1 ORDER BY id DESC OFFSET $2 - 1 LIMIT 1"

BEHIND_ALL = "\U0010ffff"
"""Sorts behind every id."""


async def facts_of(connection: Connection, digests: Collection[bytes], judge: int) -> dict[bytes, Facts]:
    rows = await connection.fetch(_GET, list(digests), judge)
    return {row["digest"]: Facts(**{name: row[name] for name in _FACTS}) for row in rows}


def lock_of(digest: bytes) -> str:
    """What whoever changes facts, or the images that have the bytes, has to itself."""
    return f"digest {digest.hex()}"


async def put_facts(transaction: Transaction, image: ImageRecord, facts: Facts, judge: int, now: int) -> None:
    await put_together(transaction, [(image, facts, judge, now)])


async def put_together(
    transaction: Transaction, given: Sequence[tuple[ImageRecord, Facts, int, int]]
) -> None:
    """Does what `put_facts` does for each of them: an image, its facts, their judge and the time. No two have
    the same bytes."""
    rows = [(image.digest, judge, *_shape_row(image), *_facts_row(facts)) for image, facts, judge, _ in given]
    news: dict[bytes, list[Any]] = {}
    for row in await transaction.connection.fetch(_PUT, *by_columns(rows)):
        news.setdefault(row["digest"], []).append(row)
    for image, _, _, now in given:
        for row in news.get(image.digest, ()):
            transaction.tell("DESCRIBED", row["id"], row["user"], now, row["owner"])


async def undescribed(
    connection: Connection, before: str, limit: int
) -> tuple[list[ImageRecord], str | None]:
    """Those of the newest WINDOW images before an id that are to be described. If none is, the last id of
    these, where there are more."""
    rows = await connection.fetch(_UNDESCRIBED, before, WINDOW, limit)
    return found(ImageRecord, rows), None if rows else await _last_of_window(connection, before)


async def judged_before(
    connection: Connection, judge: int, before: str, limit: int
) -> tuple[list[ImageRecord], str | None]:
    """The same of those to be judged again."""
    if not await connection.fetchval(_ANY_JUDGED_BEFORE, judge):
        return [], None  # as the index says at once
    rows = await connection.fetch(_JUDGED_BEFORE, before, WINDOW, limit, judge)
    return found(ImageRecord, rows), None if rows else await _last_of_window(connection, before)


async def _last_of_window(connection: Connection, before: str) -> str | None:
    last: str | None = await connection.fetchval(_LAST_OF_WINDOW, before, WINDOW)
    return last
