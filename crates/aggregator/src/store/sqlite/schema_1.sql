-- Times of reports and buckets are blobs whose bytes sort as they do (8 bytes big-endian);
-- moments are milliseconds since the Epoch. Blobs that may be long stand last in their row, so
-- that reading the columns before them does not follow their overflow pages.

-- Whose database this is: the leader's and the helper's tasks are different.
CREATE TABLE party (
    one  INTEGER PRIMARY KEY CHECK (one = 0),
    name TEXT NOT NULL
) STRICT;

CREATE TABLE tasks (
    key     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    target  INTEGER,                        -- leader-selected: reports in a full batch
    dropped INTEGER NOT NULL DEFAULT 0,     -- reports whose batch closed while they waited
    horizon INTEGER NOT NULL DEFAULT 0,     -- IDs of windows before may be forgotten: all replays
    public  BLOB NOT NULL,
    sealed  BLOB NOT NULL
) STRICT;

CREATE TABLE hpke_keys (
    id      INTEGER PRIMARY KEY,
    offered INTEGER NOT NULL,
    public  BLOB NOT NULL,
    sealed  BLOB NOT NULL
) STRICT;

-- Report IDs that count as replays: at the leader since they were uploaded (side 0), at the helper
-- since they were aggregated (side 1). A span is one of the reports' times: its IDs lie together
-- and are forgotten together. IDs are packed, 16 bytes each: as each commit brought them, and later
-- in parts by their first byte. Positions never come again, and of parts tell how far they reach.
CREATE TABLE fresh_ids (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    task     INTEGER NOT NULL,
    side     INTEGER NOT NULL,
    span     INTEGER NOT NULL,
    ids      BLOB NOT NULL
) STRICT;
CREATE INDEX fresh_ids_by_span ON fresh_ids (task, side, span, position);

CREATE TABLE parted_ids (
    task     INTEGER NOT NULL,
    side     INTEGER NOT NULL,
    span     INTEGER NOT NULL,
    part     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    ids      BLOB NOT NULL
) STRICT;
CREATE INDEX parted_ids_by_part ON parted_ids (task, side, span, part, position);

-- The leader's jobs that have not ended.
CREATE TABLE jobs (
    key          INTEGER PRIMARY KEY AUTOINCREMENT,
    task         INTEGER NOT NULL REFERENCES tasks,
    lease        BLOB NOT NULL,
    leased_until INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    reports      INTEGER NOT NULL,
    first        BLOB NOT NULL,
    last         BLOB NOT NULL,
    batch        BLOB
) STRICT;
CREATE INDEX jobs_by_lease ON jobs (leased_until);
CREATE INDEX jobs_by_task ON jobs (task, batch);

-- Reports that wait or are in a job. Keys never come again: a collection remembers one.
CREATE TABLE segments (
    key       INTEGER PRIMARY KEY AUTOINCREMENT,
    task      INTEGER NOT NULL REFERENCES tasks,
    job       INTEGER REFERENCES jobs,
    abandoned INTEGER NOT NULL DEFAULT 0,
    stuck     INTEGER NOT NULL DEFAULT 0,
    arrived   INTEGER NOT NULL,
    reports   INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    first     BLOB NOT NULL,
    last      BLOB NOT NULL,
    body      BLOB NOT NULL
) STRICT;
CREATE INDEX segments_waiting ON segments (task, key) WHERE job IS NULL AND stuck = 0;
CREATE INDEX segments_stuck ON segments (task) WHERE stuck = 1;
CREATE INDEX segments_by_job ON segments (job) WHERE job IS NOT NULL;

-- Leader-selected batches of the leader. State: 0 takes jobs, 1 is full, 2 is closed.
CREATE TABLE batches (
    key   INTEGER PRIMARY KEY AUTOINCREMENT,
    task  INTEGER NOT NULL REFERENCES tasks,
    state INTEGER NOT NULL DEFAULT 0,
    id    BLOB NOT NULL,
    UNIQUE (task, id)
) STRICT;
CREATE INDEX batches_by_state ON batches (task, state, key);

CREATE TABLE shards (
    key      INTEGER PRIMARY KEY,
    task     INTEGER NOT NULL REFERENCES tasks,
    bucket   BLOB NOT NULL,
    reports  INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    first    BLOB NOT NULL,
    last     BLOB NOT NULL,
    share    BLOB NOT NULL
) STRICT;
CREATE INDEX shards_by_bucket ON shards (task, bucket, reports);

-- Ranges of buckets that count as collected. Those of one task never overlap.
CREATE TABLE collected (
    task       INTEGER NOT NULL REFERENCES tasks,
    low        BLOB NOT NULL,
    high       BLOB NOT NULL,
    collection BLOB NOT NULL,
    closed_at  INTEGER NOT NULL,
    PRIMARY KEY (task, low)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX collected_by_collection ON collected (task, collection);

-- State: 0 pending, 1 closed, 2 finished, 3 failed, 4 deleted. A pending one waits for segments
-- up to `cut`, the last there was when it was asked for; no range means the next batch.
CREATE TABLE collections (
    key     INTEGER PRIMARY KEY,
    task    INTEGER NOT NULL REFERENCES tasks,
    id      BLOB NOT NULL,
    digest  BLOB NOT NULL,
    state   INTEGER NOT NULL,
    due     INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    cut     INTEGER NOT NULL,
    low     BLOB,
    high    BLOB,
    request BLOB NOT NULL,
    blob    BLOB NOT NULL,
    UNIQUE (task, id)
) STRICT;
CREATE INDEX collections_by_request ON collections (task, digest, state);
CREATE INDEX collections_due ON collections (due) WHERE state < 2;
CREATE INDEX collections_pending ON collections (task) WHERE state = 0;

-- The helper's jobs that have ended.
CREATE TABLE helper_jobs (
    key      INTEGER PRIMARY KEY,
    task     INTEGER NOT NULL REFERENCES tasks,
    id       BLOB NOT NULL,
    added    INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    response BLOB NOT NULL,
    UNIQUE (task, id)
) STRICT;
CREATE INDEX helper_jobs_by_age ON helper_jobs (added);
