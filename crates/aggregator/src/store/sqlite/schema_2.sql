-- The public log: entries wait without a position until they are published; then their bytes are in
-- the pages of bundles, and the row says where. Keys stay: what was written once is not written
-- again.
CREATE TABLE log_entries (
    seq      INTEGER PRIMARY KEY,
    key      BLOB NOT NULL UNIQUE,
    entry    BLOB,
    position INTEGER UNIQUE
) STRICT;
CREATE INDEX log_waiting ON log_entries (seq) WHERE position IS NULL;

-- The log's files, each as wide as it is by now. Content: a level of hashes, or 255 for entries.
CREATE TABLE log_pages (
    content INTEGER NOT NULL,
    page    INTEGER NOT NULL,
    bytes   BLOB NOT NULL,
    PRIMARY KEY (content, page)
) STRICT, WITHOUT ROWID;

-- How far it is published.
CREATE TABLE log_head (
    one        INTEGER PRIMARY KEY CHECK (one = 0),
    size       INTEGER NOT NULL,
    checkpoint BLOB NOT NULL
) STRICT;

-- Keys that sign it, as hpke_keys.
CREATE TABLE log_keys (
    id      INTEGER PRIMARY KEY,
    offered INTEGER NOT NULL,
    public  BLOB NOT NULL,
    sealed  BLOB NOT NULL
) STRICT;
