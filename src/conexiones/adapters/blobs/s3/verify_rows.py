"""The statements by which whoever looks at everything finds the bytes that the catalog refers to."""

from typing import Any, NamedTuple

from conexiones.adapters.blobs.s3.rows import Place, extents_of, places_of
from conexiones.adapters.catalog.postgres.connections import Connection

PAGE = 500
"""Contents, and uploads, that are looked at together."""

IMAGES = 2000
"""Rows of images that are looked at together."""


class At(NamedTuple):
    """Where the first byte of a content is. Contents are looked at in this order: what lies together in an
    object comes together."""

    object: str = ""
    start: int = 0
    digest: bytes = b""


class Content(NamedTuple):
    """The bytes of at least one image, as the rows have it.

    `stored` is the number of bytes by the row of the blob, if there is one, and `least` and `most` by those
    of the images. `first` is the least id of these.
    """

    digest: bytes
    stored: int | None
    least: int
    most: int
    first: str


class Row(NamedTuple):
    """The row of an image: whether it can have been written so, and whether any row says where its bytes
    are."""

    id: str
    digest: bytes
    sound: bool
    placed: bool


_OF_IMAGES = """
CROSS JOIN LATERAL (
    SELECT count(*) AS images, min(size) AS least, max(size) AS most, min(id) AS first FROM images
    WHERE images.digest = page.digest
) AS i
"""
# The index has the objects, and no more than a pack has of places is sorted.
_CONTENTS = f"""
WITH page AS (
    SELECT digest, object, start FROM places
    WHERE at = 0 AND object >= $1 AND (object, start, digest) > ($1, $2, $3)
    ORDER BY object, start, digest LIMIT {PAGE}
)
SELECT page.*, b.size AS stored, i.* FROM page LEFT JOIN blobs AS b ON b.digest = page.digest {_OF_IMAGES}
ORDER BY page.object, page.start, page.digest
"""  # noqa: S608 (our own text, and a number)
_CONTENT = f"""
WITH page AS (SELECT $1::bytea AS digest)
SELECT page.*, b.size AS stored, i.* FROM page LEFT JOIN blobs AS b ON b.digest = page.digest {_OF_IMAGES}
"""  # noqa: S608 (our own text)
_SOUND = "octet_length(digest) = 32 AND size > 0 AND width > 0 AND height > 0 AND frames > 0"
_PLACED = "EXISTS (SELECT FROM places AS p WHERE p.digest = images.digest AND p.at = 0)"
_ROWS = f"""
SELECT id, digest, {_SOUND} AS sound, {_PLACED} AS placed FROM images
WHERE id > $1 AND id <= $2 ORDER BY id LIMIT {IMAGES}
"""  # noqa: S608 (our own text, and a number)
_ROW = f"SELECT id, digest, {_SOUND} AS sound, {_PLACED} AS placed FROM images WHERE id = $1"  # noqa: S608
_IDS = """
SELECT id, size FROM images WHERE digest = $1 AND id > $2 AND size IS DISTINCT FROM $3::bigint
ORDER BY id LIMIT 500
"""
_TOTALS = """
SELECT coalesce((SELECT max(id) FROM images), '') AS last,
    coalesce((SELECT sum(size) FROM blobs WHERE dead_since IS NULL), 0)::bigint AS bytes
"""
_UPLOADS = f"""
SELECT id FROM uploads WHERE state = 'OPEN' AND committed_size > 0 AND id > $1 ORDER BY id LIMIT {PAGE}
"""  # noqa: S608 (a number)
_UPLOAD = "SELECT committed_size FROM uploads WHERE id = $1 AND state = 'OPEN'"


async def totals(connection: Connection) -> tuple[str, int]:
    """The greatest id of an image, and the bytes of all blobs."""
    row = await connection.fetchrow(_TOTALS)
    return row["last"], row["bytes"]


async def rows_after(connection: Connection, id: str, last: str) -> list[Row]:
    """Images by their ids, up to the last one."""
    return [Row(*row) for row in await connection.fetch(_ROWS, id, last)]


async def row_of(connection: Connection, id: str) -> Row | None:
    row = await connection.fetchrow(_ROW, id)
    return None if row is None else Row(*row)


async def contents_after(connection: Connection, at: At) -> tuple[list[Content], At | None]:
    """Some contents, and where the last one is that was looked at; None behind the end. Blobs that no image
    has are left out."""
    rows = await connection.fetch(_CONTENTS, *at)
    found = [_content(row) for row in rows if row["images"]]
    return found, At(rows[-1]["object"], rows[-1]["start"], rows[-1]["digest"]) if rows else None


async def content_of(connection: Connection, digest: bytes) -> tuple[Content, list[Place]] | None:
    """A content with its places, unless no image has it."""
    row = await connection.fetchrow(_CONTENT, digest)
    if not row["images"]:
        return None
    return _content(row), (await places_of(connection, [digest])).get(digest, [])


async def images_of(
    connection: Connection, digest: bytes, after: str, but: int | None = None
) -> list[tuple[str, int]]:
    """The ids and the sizes of some images with a content, but for those of a size."""
    return [(row["id"], row["size"]) for row in await connection.fetch(_IDS, digest, after, but)]


async def uploads_after(connection: Connection, id: str) -> list[str]:
    """Uploads under way of which bytes were acknowledged."""
    return [row["id"] for row in await connection.fetch(_UPLOADS, id)]


async def upload_of(connection: Connection, id: str) -> tuple[int, list[Place]] | None:
    """How many bytes of an upload under way were acknowledged, and where they are."""
    size = await connection.fetchval(_UPLOAD, id)
    return None if size is None else (size, await extents_of(connection, id))


def _content(row: Any) -> Content:
    return Content(row["digest"], row["stored"], row["least"], row["most"], row["first"])
