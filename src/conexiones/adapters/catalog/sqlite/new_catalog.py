"""A catalog's file that is made of the rows of another catalog, for a data folder that is moved into.

All of it blocks, and raises OSError and sqlite3.Error.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conexiones.adapters.catalog.sqlite.file import connect_to_write
from conexiones.adapters.catalog.sqlite.transactions import set_identity
from conexiones.adapters.catalog.tables import TABLES
from conexiones.adapters.system.disk import sync_file


class NewCatalog:
    """Used by one thread at a time. The file is whole, and durable but for its name, after `complete`. What
    an earlier run has left under that name is removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        for end in ("", "-journal", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        self._connection = connect_to_write(path)
        self._connection.execute("PRAGMA journal_mode = OFF").fetchone()  # a run that is killed begins anew
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("BEGIN")
        self._counts = dict.fromkeys(TABLES, 0)

    def close(self) -> None:
        self._connection.close()

    def add(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        columns = TABLES[table]
        names, values = ", ".join(columns), ", ".join(f"?{at}" for at in range(1, len(columns) + 1))
        if table == "images":
            names += ", checksum"
            values += f", row_sum({', '.join(f'?{at}' for at in range(2, len(columns) + 1))})"
        self._connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)  # noqa: S608 (our own names)
        self._counts[table] += len(rows)

    def has_digest(self, digest: bytes) -> bool:
        asked = self._connection.execute("SELECT EXISTS (SELECT 1 FROM images WHERE digest = ?)", (digest,))
        return bool(asked.fetchall()[0][0])

    def complete(self, *, identity: int, newest_event: int) -> None:
        """Raises ValueError if there are not the rows that were added."""
        connection = self._connection
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'events'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)", (newest_event,))
        set_identity(connection, identity)
        connection.execute("COMMIT")
        for table, added in self._counts.items():
            ((there,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()  # noqa: S608 (our own name)
            if there != added:
                raise ValueError(f"The table {table} has {there} rows, of which {added} were added.")
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        self.close()
        sync_file(self._path)
