-- Columns are named as the fields of the records in ports/records.py and ports/access.py. Times are microseconds
-- since the epoch. What is compared or sorted is compared by its bytes, as in SQLite.

CREATE TABLE about (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    identity bigint NOT NULL
);

CREATE TABLE images (
    id text COLLATE "C" PRIMARY KEY,
    digest bytea NOT NULL,
    size bigint NOT NULL,
    format text COLLATE "C" NOT NULL,
    width bigint NOT NULL,
    height bigint NOT NULL,
    frames bigint NOT NULL,
    "user" text COLLATE "C",
    create_time bigint NOT NULL,
    name text COLLATE "C",
    owner text COLLATE "C" NOT NULL,
    folded_name text COLLATE "C"  -- the name without differences of case, by which lists are filtered
);
CREATE INDEX images_by_digest ON images (digest);
CREATE INDEX images_by_user ON images ("user", id) WHERE "user" IS NOT NULL;
CREATE INDEX images_by_owner ON images (owner, id) WHERE owner <> '';
CREATE INDEX images_by_time ON images (create_time);

CREATE TABLE users (
    owner text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    pow bigint NOT NULL,
    image_id text COLLATE "C" REFERENCES images (id),
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    PRIMARY KEY (owner, name)
);
CREATE INDEX users_by_image ON users (image_id) WHERE image_id IS NOT NULL;

-- image_id is no foreign key: an upload keeps its outcome when the image is deleted.
CREATE TABLE uploads (
    id text COLLATE "C" PRIMARY KEY,
    request_id text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    committed_size bigint NOT NULL,
    declared_size bigint,
    writer_epoch bigint NOT NULL,
    client text COLLATE "C" NOT NULL,
    "user" text COLLATE "C",
    image_id text COLLATE "C",
    failure text COLLATE "C",
    create_time bigint NOT NULL,
    update_time bigint NOT NULL,
    name text COLLATE "C",
    owner text COLLATE "C" NOT NULL,
    ticket text COLLATE "C" NOT NULL,
    UNIQUE (owner, ticket, request_id)
) WITH (fillfactor = 80);
CREATE INDEX uploads_ended ON uploads (update_time) WHERE state <> 'OPEN';
-- What the quota asks of open uploads. Their sizes and times are not in it, so that a commit of bytes changes no index.
CREATE INDEX uploads_open ON uploads (client) WHERE state = 'OPEN';
CREATE INDEX uploads_open_by_owner ON uploads (owner) WHERE state = 'OPEN' AND owner <> '';
CREATE INDEX uploads_open_by_ticket ON uploads (ticket) WHERE state = 'OPEN' AND ticket <> '';

-- The number of the newest event. Its row is locked by whoever appends events, as the last thing before the commit:
-- so numbers become visible in their order, and a transaction that fails uses none up. No index has the column, so that
-- an update stays on its page.
CREATE TABLE event_head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sequence bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO event_head (sequence) VALUES (0);

CREATE TABLE events (
    sequence bigint PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    image_id text COLLATE "C" NOT NULL,
    "user" text COLLATE "C",
    time bigint NOT NULL,
    owner text COLLATE "C" NOT NULL
);

CREATE TABLE facts (
    digest bytea PRIMARY KEY,
    judge bigint NOT NULL,
    problem text COLLATE "C" NOT NULL,
    color_space text COLLATE "C" NOT NULL,
    bits_per_sample bigint NOT NULL,
    has_alpha boolean NOT NULL,
    dominant_color text COLLATE "C" NOT NULL,
    blur_hash text COLLATE "C" NOT NULL
);
CREATE INDEX facts_by_judge ON facts (judge);

-- What images of an owner there are, counted in the transactions that add and delete them.
CREATE TABLE usage (
    owner text COLLATE "C" PRIMARY KEY,
    images bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 50);

-- What was stored with a ticket, also if it was deleted since.
CREATE TABLE spent (
    ticket text COLLATE "C" PRIMARY KEY,
    images bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE credentials (
    id text COLLATE "C" PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    digest bytea NOT NULL UNIQUE,
    name text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    scopes text COLLATE "C" NOT NULL,
    own boolean NOT NULL,
    create_time bigint NOT NULL,
    expire_time bigint,
    revoke_time bigint,
    use_time bigint,
    parent text COLLATE "C" NOT NULL,
    allowance text COLLATE "C" NOT NULL,
    terms text COLLATE "C" NOT NULL
);
CREATE INDEX credentials_by_parent ON credentials (parent) WHERE parent <> '';

CREATE TABLE link_keys (
    id text COLLATE "C" PRIMARY KEY,
    secret bytea NOT NULL,
    create_time bigint NOT NULL
);

-- The newest transaction of each process that writes, so that a process which lost its connection in a commit can ask
-- whether that came about.
CREATE TABLE writers (
    id text COLLATE "C" PRIMARY KEY,
    number bigint NOT NULL,
    time timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX writers_by_time ON writers (time);
