-- The public log: entries wait without a position until they are published; then their bytes are in
-- the pages of bundles, and the row says where. Keys stay: what was written once is not written
-- again. A log is one sequence, so these tables are not keyed by task; they grow by releases, not by
-- reports.
SET LOCAL search_path = sottovoce;

CREATE TABLE log_entries (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key      bytea NOT NULL UNIQUE,
    entry    bytea,
    position bigint UNIQUE
);
CREATE INDEX log_waiting ON log_entries (seq) WHERE position IS NULL;

-- The log's files, each as wide as it is by now. Content: a level of hashes, or 255 for entries.
CREATE TABLE log_pages (
    content smallint NOT NULL,
    page    bigint NOT NULL,
    bytes   bytea NOT NULL,
    PRIMARY KEY (content, page)
);

-- How far it is published.
CREATE TABLE log_head (
    one        smallint PRIMARY KEY CHECK (one = 0),
    size       bigint NOT NULL,
    checkpoint bytea NOT NULL
);

-- Keys that sign it, as hpke_keys.
CREATE TABLE log_keys (
    id      smallint PRIMARY KEY,
    offered bigint NOT NULL,
    public  bytea NOT NULL,
    sealed  bytea NOT NULL
);
