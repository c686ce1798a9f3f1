"""What the SQLite catalog reads and writes of the facts of images: see transactions.py."""

from collections.abc import Collection
from dataclasses import asdict

from sqlalchemy import Connection, literal, or_, select
from sqlalchemy.dialects.sqlite import insert

from conexiones.adapters.schema import events, facts, images
from conexiones.adapters.transactions import has_digest
from conexiones.ports import Facts, ImageRecord

PASSING = ("SECONDS", "MEMORY", "CRASH")
"""Problems that another attempt may not have."""


def facts_of(connection: Connection, digests: Collection[bytes]) -> dict[bytes, Facts]:
    found = {}
    for row in connection.execute(select(facts).where(facts.c.digest.in_(digests))):
        values = dict(row._mapping)
        digest = values.pop("digest")
        found[digest] = Facts(**values)
    return found


def put_facts(connection: Connection, digest: bytes, found: Facts, now: int) -> None:
    if not has_digest(connection, digest):
        return
    put = insert(facts).values(digest=digest, **asdict(found))
    connection.execute(put.on_conflict_do_update(index_elements=["digest"], set_=asdict(found)))
    described = select(literal("DESCRIBED"), images.c.id, images.c.user, literal(now))
    described = described.where(images.c.digest == digest).order_by(images.c.id)
    connection.execute(insert(events).from_select(["kind", "image_id", "user", "time"], described))


def undescribed(connection: Connection, before: str | None, limit: int) -> list[ImageRecord]:
    page = select(images).outerjoin(facts, facts.c.digest == images.c.digest)
    page = page.where(or_(facts.c.digest.is_(None), facts.c.problem.in_(PASSING)))
    if before is not None:
        page = page.where(images.c.id < before)
    rows = connection.execute(page.order_by(images.c.id.desc()).limit(limit))
    return [ImageRecord(**row._mapping) for row in rows]
