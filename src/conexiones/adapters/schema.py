"""The catalog's tables. Columns are named as the fields of the records in ports.py."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

VERSION = 1

metadata = MetaData()

# INTEGER holds 64 bits in SQLite. Without a rowid the primary key is the table itself: one tree less to
# write per row.

images = Table(
    "images",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("format", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("user", Text),
    Column("create_time", Integer, nullable=False),
    Index("images_by_digest", "digest"),
    Index("images_by_user", "user", "id"),  # ids sort by time
    sqlite_with_rowid=False,
)

users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("pow", Integer, nullable=False),
    Column("image_id", Text, ForeignKey("images.id")),
    Column("create_time", Integer, nullable=False),
    Column("update_time", Integer, nullable=False),
    sqlite_with_rowid=False,
)
