"""The catalog's tables. Columns are named as the fields of the records in ports.py."""

import sqlite3

VERSION = 4
"""1: images and users. 2: uploads and events; images by time, users by image. 3: facts. 4: images without a
user are not in images_by_user."""

# INTEGER holds 64 bits in SQLite. Without a rowid the primary key is the table itself: one tree less to
# write per row, and each index has the primary key as its last column.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS images (
    id TEXT NOT NULL,
    digest BLOB NOT NULL,
    size INTEGER NOT NULL,
    format TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    frames INTEGER NOT NULL,
    user TEXT,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS images_by_digest ON images (digest);
-- Ids sort by time.
CREATE INDEX IF NOT EXISTS images_by_user ON images (user, id) WHERE user IS NOT NULL;
CREATE INDEX IF NOT EXISTS images_by_time ON images (create_time);

-- By the digest of the bytes, which may be those of many images.
CREATE TABLE IF NOT EXISTS facts (
    digest BLOB NOT NULL,
    problem TEXT NOT NULL,
    color_space TEXT NOT NULL,
    bits_per_sample INTEGER NOT NULL,
    has_alpha BOOLEAN NOT NULL,
    dominant_color TEXT NOT NULL,
    blur_hash TEXT NOT NULL,
    PRIMARY KEY (digest)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS users (
    name TEXT NOT NULL,
    pow INTEGER NOT NULL,
    image_id TEXT,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (name),
    FOREIGN KEY(image_id) REFERENCES images (id)
) WITHOUT ROWID;
-- Without it each image that is deleted would cost a look at all users.
CREATE INDEX IF NOT EXISTS users_by_image ON users (image_id);

-- AUTOINCREMENT: a number is never used again, even when all events were forgotten.
CREATE TABLE IF NOT EXISTS events (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    image_id TEXT NOT NULL,
    user TEXT,
    time INTEGER NOT NULL
);

-- image_id is no foreign key: the outcome is told even when its image was deleted since.
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    state TEXT NOT NULL,
    committed_size INTEGER NOT NULL,
    declared_size INTEGER,
    writer_epoch INTEGER NOT NULL,
    user TEXT,
    image_id TEXT,
    failure TEXT,
    create_time INTEGER NOT NULL,
    update_time INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (request_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_by_state ON uploads (state, update_time);
"""


# For a connection that writes: images and their events in one statement.
_WRITING = """
CREATE TEMP VIEW stored_images AS SELECT * FROM images;
CREATE TEMP TRIGGER store INSTEAD OF INSERT ON stored_images BEGIN
    INSERT INTO images (id, digest, size, format, width, height, frames, user, create_time)
    VALUES (NEW.id, NEW.digest, NEW.size, NEW.format, NEW.width, NEW.height, NEW.frames, NEW.user,
        NEW.create_time);
    INSERT INTO events (kind, image_id, user, time) VALUES ('STORED', NEW.id, NEW.user, NEW.create_time);
END;
"""


def prepare_to_write(connection: sqlite3.Connection) -> None:
    """Gives a connection to a file with the schema what the statements that write need."""
    connection.executescript(_WRITING)


def create(connection: sqlite3.Connection) -> None:
    """Creates what is missing, in the transaction that is open, and says which version that is.

    That is all a migration has to do, as versions only add tables and indexes; one index became smaller.
    """
    connection.execute("DROP INDEX IF EXISTS images_by_user")
    for statement in _SCHEMA.split(";"):  # executescript would commit what is open
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
