"""The catalog's tables. Columns are named as the fields of the records in ports.py."""

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy import column as a_column
from sqlalchemy import table as a_table

VERSION = 3
"""1: images and users. 2: uploads and events; images by time, users by image. 3: facts."""

metadata = MetaData()

# INTEGER holds 64 bits in SQLite. Without a rowid the primary key is the table itself: one tree less to
# write per row, and each index has the primary key as its last column.

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
    Index("images_by_time", "create_time"),
    sqlite_with_rowid=False,
)

facts = Table(
    "facts",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of the bytes, which may be those of many images
    Column("problem", Text, nullable=False),
    Column("color_space", Text, nullable=False),
    Column("bits_per_sample", Integer, nullable=False),
    Column("has_alpha", Boolean, nullable=False),
    Column("dominant_color", Text, nullable=False),
    Column("blur_hash", Text, nullable=False),
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
    Index("users_by_image", "image_id"),  # or each image that is deleted would cost a look at all users
    sqlite_with_rowid=False,
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request_id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("committed_size", Integer, nullable=False),
    Column("declared_size", Integer),
    Column("writer_epoch", Integer, nullable=False),
    Column("user", Text),
    Column("image_id", Text),  # no foreign key: the outcome is told even when its image was deleted since
    Column("failure", Text),
    Column("create_time", Integer, nullable=False),
    Column("update_time", Integer, nullable=False),
    Index("uploads_by_state", "state", "update_time"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("image_id", Text, nullable=False),
    Column("user", Text),
    Column("time", Integer, nullable=False),
    sqlite_autoincrement=True,  # a number is never used again, even when all events were forgotten
)

sequences = a_table("sqlite_sequence", a_column("name", Text), a_column("seq", Integer))
"""SQLite's own: the newest sequence that a table has had. No row before the first."""


def create(connection: Connection) -> None:
    """Creates what is missing, in the transaction that is open, and says which version that is.

    That is all a migration has to do as long as versions only add tables and indexes.
    """
    for table in metadata.sorted_tables:
        table.create(connection, checkfirst=True)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
