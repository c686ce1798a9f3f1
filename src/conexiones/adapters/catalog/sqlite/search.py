"""Which images a list has: its filters as conditions of SQL."""

import sqlite3
from dataclasses import dataclass

from conexiones.adapters.catalog.folding import folded
from conexiones.adapters.system.sqlite_text import text_of

# In most names all characters are ASCII, where lower() of SQLite is enough; Python is called for others only.
_NAMED = """
name IS NOT NULL
AND CASE WHEN length(name) = length(CAST(name AS BLOB)) THEN instr(lower(name), ?1)
    ELSE has_in_name(CAST(name AS BLOB), ?1) END
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The filters of Catalog.list_images."""

    before: str | None
    user: str | None
    start: int | None
    end: int | None
    name: str | None
    digests: tuple[bytes, ...]
    owner: str | None = None

    def conditions(self) -> tuple[str, list[object]]:
        """The clauses behind FROM images, and the values of their parameters.

        Without `user`, times and digests the table itself is in order; otherwise SQLite picks an index. It
        would not be that of the digests wherever their rows still have to be sorted, unless it is named. That
        of the owner is named so that it takes no longer the more others have of a user.
        """
        given: dict[str, object | None] = {
            _NAMED: None if self.name is None else folded(self.name),
            "id < ?": self.before,
            "user = ?": self.user,
            "create_time >= ?": self.start,
            "create_time < ?": self.end,
            "owner = ? AND owner <> ''": self.owner,
        }
        filters = {text: value for text, value in given.items() if value is not None}
        values, texts = list(filters.values()), list(filters)
        index = "" if self.owner is None else "INDEXED BY images_by_owner"
        if self.digests:
            index = "INDEXED BY images_by_digest"
            texts.append(f"digest IN ({','.join('?' * len(self.digests))})")
            values += self.digests
        return f"{index} WHERE {' AND '.join(texts)}" if texts else "", values


def add_functions(connection: sqlite3.Connection) -> None:
    """Gives a connection that reads the functions that the conditions call."""
    connection.create_function("has_in_name", 2, _has_in_name, deterministic=True)


def _has_in_name(name: bytes, part: str) -> bool:
    """The name is given as bytes: the driver fails at a parameter that is no UTF-8."""
    return part in folded(text_of(name))
