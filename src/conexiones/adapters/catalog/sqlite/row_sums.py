"""The checksum of a row, by which damage is noticed that SQLite does not see.

SQLite compares tables with their indexes, and nothing else: a name, a size or a width that the disk has
changed would be served. So each row of `images` has the CRC-32 of its other columns, except for the id. That
one is in every index, where SQLite looks for it when it checks the file.
"""

import sqlite3
import zlib
from collections.abc import Sequence


def row_sum(*values: object) -> int:
    """The checksum of values as SQLite gives them. `ascii` writes them alike in all versions of Python."""
    return zlib.crc32(ascii(values).encode())


def is_intact(row: Sequence[object]) -> bool:
    """Whether a row has the right checksum, which is its last value; the first one, the id, is left out. A
    row that another program has added has none."""
    return row[-1] is None or row_sum(*row[1:-1]) == row[-1]


def add_row_sum(connection: sqlite3.Connection) -> None:
    """Gives a connection the function, by which the statements that write make checksums. It fails at text
    that is no UTF-8, as every function of the driver does: `is_utf8` tells that of the bytes of text."""
    connection.create_function("row_sum", -1, row_sum, deterministic=True)
    connection.create_function("is_utf8", 1, _is_utf8, deterministic=True)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
