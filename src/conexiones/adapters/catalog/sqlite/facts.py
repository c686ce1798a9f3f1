"""What the SQLite catalog reads and writes of the facts of images, as transactions.py does of all else."""

import sqlite3
from collections.abc import Collection
from operator import attrgetter

from conexiones.adapters.catalog.sqlite.transactions import columns, found, has_digest, select
from conexiones.ports.records import Facts, ImageRecord

_FACTS = columns(Facts)
_facts_row = attrgetter(*_FACTS)

_GET_FACTS = f"SELECT digest, {', '.join(_FACTS)} FROM facts WHERE digest IN "  # noqa: S608 (our own names)
_PUT_FACTS = f"""
INSERT OR REPLACE INTO facts (digest, {", ".join(_FACTS)}) VALUES (?{", ?" * len(_FACTS)})
"""  # noqa: S608 (our own names)
_DESCRIBED = """
INSERT INTO events (kind, image_id, user, time)
SELECT 'DESCRIBED', id, user, ? FROM images WHERE digest = ? ORDER BY id
"""
# The problems that are named here may be passing ones: another attempt may succeed.
_UNDESCRIBED = f"""
{select(ImageRecord, "images")} LEFT JOIN facts ON facts.digest = images.digest
WHERE (facts.digest IS NULL OR facts.problem IN ('SECONDS', 'MEMORY', 'CRASH')) AND (?1 IS NULL OR id < ?1)
ORDER BY id DESC LIMIT ?2
"""


def facts_of(connection: sqlite3.Connection, digests: Collection[bytes]) -> dict[bytes, Facts]:
    rows = connection.execute(f"{_GET_FACTS} ({','.join('?' * len(digests))})", tuple(digests))
    return {digest: _facts(values) for digest, *values in rows}


def put_facts(connection: sqlite3.Connection, digest: bytes, facts: Facts, now: int) -> None:
    if has_digest(connection, digest):
        connection.execute(_PUT_FACTS, (digest, *_facts_row(facts)))
        connection.execute(_DESCRIBED, (now, digest))


def undescribed(connection: sqlite3.Connection, before: str | None, limit: int) -> list[ImageRecord]:
    return found(ImageRecord, connection.execute(_UNDESCRIBED, (before, limit)))


def _facts(row: list[object]) -> Facts:
    values = dict(zip(_FACTS, row, strict=True))
    values["has_alpha"] = bool(values["has_alpha"])
    return Facts(**values)  # type: ignore[arg-type]
