"""Facts of images, by the digest of their bytes."""

from collections.abc import Collection
from dataclasses import fields
from operator import attrgetter

from conexiones.adapters.catalog.postgres.columns import NAMES, found, quoted
from conexiones.adapters.catalog.postgres.connections import Connection
from conexiones.adapters.catalog.postgres.images import has_digest
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.ports.records import Facts, ImageRecord

_FACTS = tuple(field.name for field in fields(Facts))
_row = attrgetter(*_FACTS)

_GET = f"SELECT digest, {quoted(_FACTS)} FROM facts WHERE digest = ANY($1::bytea[]) AND judge >= $2"  # noqa: S608
_PUT = f"""
INSERT INTO facts (digest, judge, {quoted(_FACTS)})
VALUES ($1, $2, {", ".join(f"${at}" for at in range(3, 3 + len(_FACTS)))})
ON CONFLICT (digest) DO UPDATE SET judge = excluded.judge,
    {", ".join(f"{name} = excluded.{name}" for name in _FACTS)}
"""  # noqa: S608 (our own names)
_CORRECT_IMAGES = """
UPDATE images SET format = $2, width = $3, height = $4, frames = $5
WHERE digest = $1 AND (format, width, height, frames) IS DISTINCT FROM ($2, $3, $4, $5)
"""
_IMAGE = quoted(NAMES[ImageRecord], of="i")
# The problems that are named here may be passing ones: another attempt, or a newer version, may succeed.
_UNDESCRIBED = f"""
SELECT {_IMAGE} FROM images AS i LEFT JOIN facts AS f ON f.digest = i.digest
WHERE (f.digest IS NULL OR f.problem IN ('SECONDS', 'MEMORY', 'CRASH', 'UNSUPPORTED'))
    AND ($1::text IS NULL OR i.id < $1)
ORDER BY i.id DESC LIMIT $2
"""  # noqa: S608 (our own names)
# The first condition is false at once, by the index, where nothing is left to do.
_JUDGED_BEFORE = f"""
SELECT {_IMAGE} FROM images AS i JOIN facts AS f ON f.digest = i.digest
WHERE EXISTS (SELECT FROM facts WHERE judge < $1) AND f.judge < $1 AND ($2::text IS NULL OR i.id < $2)
ORDER BY i.id DESC LIMIT $3
"""  # noqa: S608 (our own names)


async def facts_of(connection: Connection, digests: Collection[bytes], judge: int) -> dict[bytes, Facts]:
    rows = await connection.fetch(_GET, list(digests), judge)
    return {row["digest"]: Facts(**{name: row[name] for name in _FACTS}) for row in rows}


async def put_facts(transaction: Transaction, image: ImageRecord, facts: Facts, judge: int, now: int) -> None:
    connection, digest = transaction.connection, image.digest
    if not await has_digest(connection, digest):
        return
    shape = (image.format, image.width, image.height, image.frames)
    corrected = await connection.execute(_CORRECT_IMAGES, digest, *shape) != "UPDATE 0"
    news = corrected or (await facts_of(connection, [digest], 0)).get(digest) != facts
    await connection.execute(_PUT, digest, judge, *_row(facts))
    if news:
        described = 'SELECT id, "user", owner FROM images WHERE digest = $1 ORDER BY id'
        for row in await connection.fetch(described, digest):
            transaction.tell("DESCRIBED", row["id"], row["user"], now, row["owner"])


async def undescribed(connection: Connection, before: str | None, limit: int) -> list[ImageRecord]:
    return found(ImageRecord, await connection.fetch(_UNDESCRIBED, before, limit))


async def judged_before(
    connection: Connection, judge: int, before: str | None, limit: int
) -> list[ImageRecord]:
    return found(ImageRecord, await connection.fetch(_JUDGED_BEFORE, judge, before, limit))
