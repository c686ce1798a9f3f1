"""Whether a catalog has the tables, columns and indexes of its version.

SQLite keeps them as the text of the statements that made them, and takes any text that it can parse: where
the disk has changed a letter, a column has another name, and its own check finds nothing.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing
from functools import cache

from conexiones.adapters.catalog.sqlite.row_sums import add_row_sum
from conexiones.adapters.catalog.sqlite.schema import STEPS

Part = tuple[object, ...]
"""A column or an index as SQLite describes it, behind the name of its table."""

_AUTOMATIC = "sqlite_"
"""How the names of indexes begin that SQLite makes for keys."""


def layout_problems(connection: sqlite3.Connection, version: int) -> list[str]:
    """What of the layout of that version is missing, or is not what it should be. Raises sqlite3.Error."""
    tables, wanted = _layout_of(version)
    missing = wanted - set(_parts(connection, tables))
    return [
        f"the layout of {table} is not what was written" for table in sorted({str(one[0]) for one in missing})
    ]


@cache
def _layout_of(version: int) -> tuple[tuple[str, ...], frozenset[Part]]:
    """The tables of a version, and all of its parts."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        add_row_sum(connection)
        for step in range(1, version + 1):
            for statement in STEPS[step]:
                connection.execute(statement)
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = tuple(name for (name,) in found if not name.startswith(_AUTOMATIC))
        return tables, frozenset(_parts(connection, tables))


def _parts(connection: sqlite3.Connection, tables: Collection[str]) -> Iterator[Part]:
    for table in tables:
        for _, *column in connection.execute(f"PRAGMA table_xinfo({table})").fetchall():
            yield table, "column", *column
        for _, _, *key in connection.execute(f"PRAGMA foreign_key_list({table})").fetchall():
            yield table, "key", *key
        for _, name, *how in connection.execute(f"PRAGMA index_list({table})").fetchall():
            shown = "" if name.startswith(_AUTOMATIC) else name
            for _, _, *column in connection.execute(
                "SELECT * FROM pragma_index_xinfo(?)", (name,)
            ).fetchall():
                yield table, "index", shown, *how, *column
