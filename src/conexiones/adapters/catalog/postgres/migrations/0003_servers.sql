-- What several servers have to know of each other.

-- The number of the newest change of credentials and keys of links. Whoever writes them has a lock until the commit, so
-- that numbers become visible in their order.
CREATE TABLE access_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO access_head (number) VALUES (0);

ALTER TABLE credentials ADD COLUMN change bigint NOT NULL DEFAULT 0;
CREATE INDEX credentials_by_change ON credentials (change);

-- Servers that run, as far as the others know, and what each of them does for all.
CREATE TABLE servers (
    id text COLLATE "C" PRIMARY KEY,
    until timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    server text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- How far the verification of stored images has come, as JSON.
CREATE TABLE scrub (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    state text COLLATE "C" NOT NULL
);
