"""Galleries of many images, made quickly."""

import sqlite3

from conexiones.testing import Server


def copies(server: Server, count: int) -> None:
    """Adds images of the bytes that others have, older than these. The server must not be running."""
    with sqlite3.connect(server.data_dir / "catalog.sqlite3") as catalog:
        columns = [row[1] for row in catalog.execute("PRAGMA table_info(images)")]
        rest = ", ".join(column for column in columns if column != "id")
        catalog.execute(
            f"""
            WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count - 1})
            INSERT INTO images (id, {rest})
            SELECT printf('%08x', n) || substr(id, 9), {rest} FROM numbers, images LIMIT {count}
            """
        )
    catalog.close()
