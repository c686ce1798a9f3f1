"""The catalog's tables. Columns are named as the fields of the records in ports/records.py."""

import sqlite3

FILE = "catalog.sqlite3"
"""The name of the catalog's file in a data folder."""

JUDGE_OF_FACTS = (
    # 1 stands for all versions of the program that did not say which judge they had.
    "ALTER TABLE facts ADD COLUMN judge INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX facts_by_judge ON facts (judge)",
)

_SUMMED = ("digest", "size", "format", "width", "height", "frames", "user", "create_time", "name", "owner")
_IS_TEXT = " AND ".join(f"(typeof({name}) <> 'text' OR is_utf8(CAST({name} AS BLOB)))" for name in _SUMMED)

# The functions are those of row_sums.py. The row may be of other hands, and has no checksum then. Nor has one
# with text that the disk has damaged before, at which row_sum fails.
CHECKSUM_OF_IMAGES = (
    "ALTER TABLE images ADD COLUMN checksum INTEGER",
    f"UPDATE images SET checksum = row_sum({', '.join(_SUMMED)}) WHERE {_IS_TEXT}",  # noqa: S608 (our own names)
)

# INTEGER holds 64 bits in SQLite. A table without a rowid is the tree of its primary key: one tree less to
# write for each row, and each index has the primary key as its last column.
STEPS: dict[int, tuple[str, ...]] = {
    1: (  # images and users
        """
        CREATE TABLE images (
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
        ) WITHOUT ROWID
        """,
        "CREATE INDEX images_by_digest ON images (digest)",
        "CREATE INDEX images_by_user ON images (user, id)",  # ids sort by time
        """
        CREATE TABLE users (
            name TEXT NOT NULL,
            pow INTEGER NOT NULL,
            image_id TEXT,
            create_time INTEGER NOT NULL,
            update_time INTEGER NOT NULL,
            PRIMARY KEY (name),
            FOREIGN KEY(image_id) REFERENCES images (id)
        ) WITHOUT ROWID
        """,
    ),
    2: (  # uploads and events; images by time, users by image
        "CREATE INDEX images_by_time ON images (create_time)",
        # Without this index each deletion of an image would read all users.
        "CREATE INDEX users_by_image ON users (image_id)",
        # AUTOINCREMENT: no number is used twice, not even when all events were forgotten.
        """
        CREATE TABLE events (
            sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            image_id TEXT NOT NULL,
            user TEXT,
            time INTEGER NOT NULL
        )
        """,
        # image_id is no foreign key: an upload keeps its outcome when the image is deleted.
        """
        CREATE TABLE uploads (
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
        ) WITHOUT ROWID
        """,
        "CREATE INDEX uploads_by_state ON uploads (state, update_time)",
    ),
    3: (  # facts, by the digest of the bytes, which several images may share
        """
        CREATE TABLE facts (
            digest BLOB NOT NULL,
            problem TEXT NOT NULL,
            color_space TEXT NOT NULL,
            bits_per_sample INTEGER NOT NULL,
            has_alpha BOOLEAN NOT NULL,
            dominant_color TEXT NOT NULL,
            blur_hash TEXT NOT NULL,
            PRIMARY KEY (digest)
        ) WITHOUT ROWID
        """,
    ),
    4: (  # images without a user are not in images_by_user
        "DROP INDEX images_by_user",
        "CREATE INDEX images_by_user ON images (user, id) WHERE user IS NOT NULL",
    ),
    5: (  # uploads by client
        # Uploads that were open already belong to nobody in particular.
        "ALTER TABLE uploads ADD COLUMN client TEXT NOT NULL DEFAULT ''",
        # Has all that the quota asks of open uploads, so that their rows are not read for it.
        """
        CREATE INDEX uploads_open
        ON uploads (state, client, update_time, create_time, declared_size, committed_size)
        WHERE state = 'OPEN'
        """,
    ),
    6: (  # names of files
        "ALTER TABLE images ADD COLUMN name TEXT",
        "ALTER TABLE uploads ADD COLUMN name TEXT",
    ),
    7: JUDGE_OF_FACTS,
    8: (  # owners, credentials, and what owners have; what was there before belongs to nobody
        "ALTER TABLE images ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX images_by_owner ON images (owner, id) WHERE owner <> ''",
        "ALTER TABLE events ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
        # Names of users are unique for each owner, and request ids for each owner and ticket.
        """
        CREATE TABLE new_users (
            owner TEXT NOT NULL,
            name TEXT NOT NULL,
            pow INTEGER NOT NULL,
            image_id TEXT,
            create_time INTEGER NOT NULL,
            update_time INTEGER NOT NULL,
            PRIMARY KEY (owner, name),
            FOREIGN KEY(image_id) REFERENCES images (id)
        ) WITHOUT ROWID
        """,
        """
        INSERT INTO new_users (owner, name, pow, image_id, create_time, update_time)
        SELECT '', name, pow, image_id, create_time, update_time FROM users
        """,
        "DROP TABLE users",
        "ALTER TABLE new_users RENAME TO users",
        "CREATE INDEX users_by_image ON users (image_id)",
        """
        CREATE TABLE new_uploads (
            id TEXT NOT NULL,
            owner TEXT NOT NULL,
            request_id TEXT NOT NULL,
            state TEXT NOT NULL,
            committed_size INTEGER NOT NULL,
            declared_size INTEGER,
            writer_epoch INTEGER NOT NULL,
            client TEXT NOT NULL,
            user TEXT,
            image_id TEXT,
            failure TEXT,
            create_time INTEGER NOT NULL,
            update_time INTEGER NOT NULL,
            name TEXT,
            ticket TEXT NOT NULL DEFAULT '',
            PRIMARY KEY (id),
            UNIQUE (owner, ticket, request_id)
        ) WITHOUT ROWID
        """,
        """
        INSERT INTO new_uploads (id, owner, request_id, state, committed_size, declared_size, writer_epoch,
            client, user, image_id, failure, create_time, update_time, name)
        SELECT id, '', request_id, state, committed_size, declared_size, writer_epoch,
            client, user, image_id, failure, create_time, update_time, name FROM uploads
        """,
        "DROP TABLE uploads",
        "ALTER TABLE new_uploads RENAME TO uploads",
        "CREATE INDEX uploads_by_state ON uploads (state, update_time)",
        """
        CREATE INDEX uploads_open
        ON uploads (state, client, update_time, create_time, declared_size, committed_size, owner, ticket)
        WHERE state = 'OPEN'
        """,
        # What images of an owner there are, counted in the transactions that add and delete them.
        """
        CREATE TABLE usage (
            owner TEXT NOT NULL,
            images INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            PRIMARY KEY (owner)
        ) WITHOUT ROWID
        """,
        # What was stored with a ticket, also if it was deleted since.
        """
        CREATE TABLE spent (
            ticket TEXT NOT NULL,
            images INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            PRIMARY KEY (ticket)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE credentials (
            id TEXT NOT NULL,
            kind TEXT NOT NULL,
            digest BLOB NOT NULL,
            name TEXT NOT NULL,
            owner TEXT NOT NULL,
            scopes TEXT NOT NULL,
            own INTEGER NOT NULL,
            create_time INTEGER NOT NULL,
            expire_time INTEGER,
            revoke_time INTEGER,
            use_time INTEGER,
            parent TEXT NOT NULL,
            allowance TEXT NOT NULL,
            terms TEXT NOT NULL,
            PRIMARY KEY (id),
            UNIQUE (digest)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX credentials_by_parent ON credentials (parent) WHERE parent <> ''",
        """
        CREATE TABLE link_keys (
            id TEXT NOT NULL,
            secret BLOB NOT NULL,
            create_time INTEGER NOT NULL,
            PRIMARY KEY (id)
        ) WITHOUT ROWID
        """,
    ),
    9: CHECKSUM_OF_IMAGES,
}
"""Version → the statements that make its tables from those of the version before. A released step never
changes. A new file is made by all of them."""

# Temporary, for a connection that writes: adds images and their events with one statement.
_WRITING = """
CREATE TEMP VIEW stored_images AS SELECT * FROM images;
CREATE TEMP TRIGGER store INSTEAD OF INSERT ON stored_images BEGIN
    -- All columns have to be named here: the value of any other would be lost without an error.
    INSERT INTO images (id, digest, size, format, width, height, frames, user, create_time,
        name, owner, checksum)
    VALUES (NEW.id, NEW.digest, NEW.size, NEW.format, NEW.width, NEW.height, NEW.frames, NEW.user,
        NEW.create_time, NEW.name, NEW.owner,
        row_sum(NEW.digest, NEW.size, NEW.format, NEW.width, NEW.height, NEW.frames, NEW.user,
            NEW.create_time, NEW.name, NEW.owner));
    INSERT INTO events (kind, image_id, user, time, owner)
    VALUES ('STORED', NEW.id, NEW.user, NEW.create_time, NEW.owner);
    INSERT INTO usage (owner, images, bytes) SELECT NEW.owner, 1, NEW.size WHERE NEW.owner <> ''
    ON CONFLICT (owner) DO UPDATE SET images = images + 1, bytes = bytes + excluded.bytes;
END;
"""


def prepare_to_write(connection: sqlite3.Connection) -> None:
    """Gives a connection what the statements that write need besides the tables."""
    connection.executescript(_WRITING)
