-- Times of reports and buckets are byte strings that sort as they do (8 bytes big-endian);
-- moments are milliseconds since the Epoch.
--
-- Rows are keyed by task first, so that an engine that spreads tables over machines can keep a
-- task's rows together. No foreign keys: each row added would lock its task's row, which writes
-- to it, and tasks are never deleted.

CREATE SCHEMA IF NOT EXISTS sottovoce;
SET LOCAL search_path = sottovoce;

-- Whose database this is (the leader's and the helper's tasks are different), and how far it was
-- migrated.
CREATE TABLE version (
    one    smallint PRIMARY KEY CHECK (one = 0),
    number integer NOT NULL,
    party  text NOT NULL
);

-- Never changed once added: locks stand for a task, its row is never locked.
CREATE TABLE tasks (
    key    integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id     bytea NOT NULL UNIQUE,
    target bigint,                          -- leader-selected: reports in a full batch
    public bytea NOT NULL,
    sealed bytea NOT NULL
);

-- Reports whose batch closed while they waited.
CREATE TABLE dropped (
    task    integer PRIMARY KEY,
    reports bigint NOT NULL
);

CREATE TABLE hpke_keys (
    id      smallint PRIMARY KEY,
    offered bigint NOT NULL,
    public  bytea NOT NULL,
    sealed  bytea NOT NULL
);

-- Report IDs that count as replays: at the leader since they were uploaded (side 0), at the helper
-- since they were aggregated (side 1). A span is one of the reports' times: its IDs lie together
-- and are forgotten together. IDs are packed, 16 bytes each: as each commit brought them, and later
-- in parts by their first byte. Positions grow in the order of commits, and of parts tell how far
-- they reach.
CREATE TABLE fresh_ids (
    task     integer NOT NULL,
    side     smallint NOT NULL,
    span     bigint NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY,
    ids      bytea NOT NULL,
    PRIMARY KEY (task, side, span, position)
);

CREATE TABLE parted_ids (
    task     integer NOT NULL,
    side     smallint NOT NULL,
    span     bigint NOT NULL,
    part     smallint NOT NULL,
    position bigint NOT NULL,
    ids      bytea NOT NULL,
    PRIMARY KEY (task, side, span, part, position)
);
-- IDs are random.
ALTER TABLE fresh_ids ALTER COLUMN ids SET STORAGE EXTERNAL;
ALTER TABLE parted_ids ALTER COLUMN ids SET STORAGE EXTERNAL;

-- The first span whose report IDs are all still known: reports of earlier ones are replays.
CREATE TABLE horizons (
    task integer PRIMARY KEY,
    span bigint NOT NULL
);

-- The leader's jobs that have not ended: few rows, each written two or three times and deleted.
CREATE TABLE jobs (
    task         integer NOT NULL,
    key          bigint GENERATED ALWAYS AS IDENTITY,
    leased_until bigint NOT NULL,
    attempt      integer NOT NULL,
    reports      bigint NOT NULL,
    lease        bytea NOT NULL,
    first        bytea NOT NULL,
    last         bytea NOT NULL,
    batch        bytea,
    PRIMARY KEY (task, key)
);
CREATE INDEX jobs_by_key ON jobs (key);
CREATE INDEX jobs_by_lease ON jobs (leased_until, key);
CREATE INDEX jobs_by_batch ON jobs (task, batch) INCLUDE (reports);

-- Reports that wait or are in a job. Keys never come again: a collection remembers one.
CREATE TABLE segments (
    task      integer NOT NULL,
    key       bigint GENERATED ALWAYS AS IDENTITY,
    job       bigint,
    arrived   bigint NOT NULL,
    reports   bigint NOT NULL,
    bytes     bigint NOT NULL,
    abandoned integer NOT NULL DEFAULT 0,
    stuck     boolean NOT NULL DEFAULT false,
    first     bytea NOT NULL,
    last      bytea NOT NULL,
    body      bytea NOT NULL,
    PRIMARY KEY (task, key)
);
CREATE INDEX segments_waiting ON segments (task, key) WHERE job IS NULL AND NOT stuck;
CREATE INDEX segments_stuck ON segments (task) WHERE stuck;
CREATE INDEX segments_by_job ON segments (task, job, key) WHERE job IS NOT NULL;
-- Ciphertext does not compress: trying costs as much as writing it. Out of line, it is written
-- once however often the rest of the row changes.
ALTER TABLE segments ALTER COLUMN body SET STORAGE EXTERNAL;

-- Queues: all that comes goes again, so what counts is the dead rows, not their share of a table
-- whose size at that moment means nothing, and cleaning must keep up. An update always changes an
-- indexed column, so free space on a page would not help it.
ALTER TABLE jobs SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE fresh_ids SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE segments SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 100000,
    toast.autovacuum_vacuum_cost_delay = 0
);

-- Leader-selected batches of the leader. State: 0 takes jobs, 1 is known to be full, 2 is closed.
-- Whether one is full is decided by its shards; 1 is a note that saves adding them up again.
CREATE TABLE batches (
    task  integer NOT NULL,
    key   bigint GENERATED ALWAYS AS IDENTITY,
    state smallint NOT NULL DEFAULT 0,
    id    bytea NOT NULL,
    PRIMARY KEY (task, key),
    UNIQUE (task, id)
);
CREATE INDEX batches_open ON batches (task, key) WHERE state = 0;
CREATE INDEX batches_not_closed ON batches (task, key) WHERE state < 2;

CREATE TABLE shards (
    task     integer NOT NULL,
    bucket   bytea NOT NULL,
    key      bigint GENERATED ALWAYS AS IDENTITY,
    reports  bigint NOT NULL,
    checksum bytea NOT NULL,
    first    bytea NOT NULL,
    last     bytea NOT NULL,
    share    bytea NOT NULL,
    PRIMARY KEY (task, bucket, key) INCLUDE (reports)
);
-- Shares look random.
ALTER TABLE shards ALTER COLUMN share SET STORAGE EXTERNAL;

-- Ranges of buckets that count as collected. Those of one task never overlap.
CREATE TABLE collected (
    task       integer NOT NULL,
    low        bytea NOT NULL,
    high       bytea NOT NULL,
    collection bytea NOT NULL,
    closed_at  bigint NOT NULL,
    PRIMARY KEY (task, low),
    UNIQUE (task, collection)
);

-- State: 0 pending, 1 closed, 2 finished, 3 failed, 4 deleted. A pending one waits for segments
-- up to `cut`, the last there was when it was asked for; no range means the next batch.
CREATE TABLE collections (
    task    integer NOT NULL,
    id      bytea NOT NULL,
    key     bigint GENERATED ALWAYS AS IDENTITY,
    state   smallint NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    due     bigint NOT NULL,
    cut     bigint NOT NULL,
    digest  bytea NOT NULL,
    low     bytea,
    high    bytea,
    request bytea NOT NULL,
    blob    bytea NOT NULL,
    PRIMARY KEY (task, id)
);
CREATE INDEX collections_by_request ON collections (task, digest, state);
CREATE INDEX collections_due ON collections (due, key) WHERE state < 2;
CREATE INDEX collections_pending ON collections (task) WHERE state = 0;

-- The helper's jobs that have ended.
CREATE TABLE helper_jobs (
    task     integer NOT NULL,
    id       bytea NOT NULL,
    added    bigint NOT NULL,
    digest   bytea NOT NULL,
    response bytea NOT NULL,
    PRIMARY KEY (task, id)
);
CREATE INDEX helper_jobs_by_age ON helper_jobs (added);
