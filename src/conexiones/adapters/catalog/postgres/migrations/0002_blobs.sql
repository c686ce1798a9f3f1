-- Where the bytes of images are in an object store: adapters/blobs/s3 has the rules, and all statements but the
-- trigger. Names of objects are those below the prefix of the store.

-- dead_since: since when no image has had the bytes. NULL while one has, or while one is about to.
CREATE TABLE blobs (
    digest bytea PRIMARY KEY,
    size bigint NOT NULL,
    dead_since timestamptz
);
CREATE INDEX blobs_dead ON blobs (dead_since) WHERE dead_since IS NOT NULL;

-- The bytes of a blob from `at` on are `size` bytes of an object from `start` on. sums: the CRC-32C of each MiB of
-- them, 4 bytes each.
CREATE TABLE places (
    digest bytea NOT NULL REFERENCES blobs ON DELETE CASCADE,
    at bigint NOT NULL,
    object text COLLATE "C" NOT NULL,
    start bigint NOT NULL,
    size bigint NOT NULL,
    sums bytea NOT NULL,
    PRIMARY KEY (digest, at)
);
CREATE INDEX places_by_object ON places (object);

-- The same of the committed bytes of an upload. hash: the state of the SHA-256 behind them, if it could be kept.
CREATE TABLE extents (
    upload text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    object text COLLATE "C" NOT NULL,
    start bigint NOT NULL,
    size bigint NOT NULL,
    sums bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (upload, at)
);
CREATE INDEX extents_by_object ON extents (object);

-- Objects from which something was removed: the sweeper looks whether anything of them is left.
CREATE TABLE loose (
    object text COLLATE "C" PRIMARY KEY,
    not_before timestamptz NOT NULL
);
CREATE INDEX loose_by_time ON loose (not_before);

-- Who sweeps now, and up to which object all were looked at whether a row names them, by their kind.
CREATE TABLE sweeping (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sweeper text COLLATE "C" NOT NULL DEFAULT '',
    until timestamptz NOT NULL DEFAULT '-infinity',
    packs text COLLATE "C" NOT NULL DEFAULT '',
    parts text COLLATE "C" NOT NULL DEFAULT ''
);
INSERT INTO sweeping DEFAULT VALUES;

-- Whoever adds or deletes images has their digests to itself until the commit, by a lock of the transaction.
CREATE FUNCTION mark_dead_blobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE blobs SET dead_since = clock_timestamp() FROM (SELECT DISTINCT digest FROM gone) AS gone
    WHERE blobs.digest = gone.digest AND NOT EXISTS (SELECT FROM images WHERE images.digest = gone.digest);
    RETURN NULL;
END $$;
CREATE TRIGGER images_deleted AFTER DELETE ON images REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION mark_dead_blobs();
