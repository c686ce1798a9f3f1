"""Text in SQLite files whose bytes are no UTF-8, as the disk may have changed one.

By default the driver fails at such text, and with it whatever reads the row: a list of images for the name
of one of them. So it is given with escapes in place of the wrong bytes. A checksum of the row then says that
it is damaged, and what has no checksum is served as it is.
"""

import sqlite3


def take_any_text(connection: sqlite3.Connection) -> None:
    connection.text_factory = text_of


def text_of(found: bytes) -> str:
    """UTF-8, with `\\xff` in place of a byte that is none."""
    return found.decode(errors="backslashreplace")
