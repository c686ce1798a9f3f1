"""Galleries with many images, made without uploading each."""

import sqlite3

from conexiones.testing import Server


def copies(server: Server, count: int, *, first: int = 0) -> None:
    """Adds older images that share the bytes of those that were uploaded. The server must not be running.

    Of each image that was uploaded there is one for every number from `first` on: begin again behind those.
    """
    with sqlite3.connect(server.data_dir / "catalog.sqlite3") as catalog:
        columns = [row[1] for row in catalog.execute("PRAGMA table_info(images)")]
        rest = ", ".join(column for column in columns if column != "id")
        catalog.execute(
            f"""
            WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers),
                uploaded AS (SELECT * FROM images WHERE id > '01')
            INSERT INTO images (id, {rest})
            SELECT printf('%08x', n) || substr(id, 9), {rest} FROM numbers CROSS JOIN uploaded LIMIT {count}
            """
        )
    catalog.close()
