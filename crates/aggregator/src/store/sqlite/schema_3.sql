-- A report ID counts once per task, whatever its time: runs of IDs are no longer apart by spans of
-- time. A run says in which spans its reports' times lie, from the first (none: the same as the last)
-- to the last; it is forgotten as a whole once the last is too old. Parts 0 to 255 are by an ID's first
-- byte, those from 256 on by its first 14 bits.
DROP INDEX fresh_ids_by_span;
ALTER TABLE fresh_ids RENAME TO fresh_runs;
ALTER TABLE fresh_runs RENAME COLUMN span TO last;
ALTER TABLE fresh_runs ADD COLUMN first INTEGER;
CREATE INDEX fresh_runs_in_order ON fresh_runs (task, side, position);

DROP INDEX parted_ids_by_part;
ALTER TABLE parted_ids RENAME TO parted_runs;
ALTER TABLE parted_runs RENAME COLUMN span TO last;
ALTER TABLE parted_runs ADD COLUMN first INTEGER;
CREATE INDEX parted_runs_by_part ON parted_runs (task, side, part);
CREATE INDEX parted_runs_by_age ON parted_runs (task, last);

-- Up to which position fresh runs were moved into parts.
CREATE TABLE parted (
    task     INTEGER NOT NULL,
    side     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (task, side)
) STRICT, WITHOUT ROWID;
INSERT INTO parted SELECT task, side, max(position) FROM parted_runs GROUP BY task, side;

-- A segment of a job that was refused is cut up. All of its pieces have the place of the first: a
-- collection that waits for one of its reports waits for them all.
CREATE TABLE segments_3 (
    key       INTEGER PRIMARY KEY AUTOINCREMENT,
    task      INTEGER NOT NULL REFERENCES tasks,
    job       INTEGER REFERENCES jobs,
    place     INTEGER,                      -- none: its key
    abandoned INTEGER NOT NULL DEFAULT 0,   -- how often jobs with its reports were cut up
    stuck     INTEGER NOT NULL DEFAULT 0,
    arrived   INTEGER NOT NULL,
    reports   INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    first     BLOB NOT NULL,
    last      BLOB NOT NULL,
    body      BLOB NOT NULL
) STRICT;
INSERT INTO segments_3
    SELECT key, task, job, NULL, abandoned, stuck, arrived, reports, bytes, first, last, body
    FROM segments;
-- Keys never come again.
DELETE FROM sqlite_sequence WHERE name = 'segments_3';
INSERT INTO sqlite_sequence SELECT 'segments_3', seq FROM sqlite_sequence WHERE name = 'segments';
DROP TABLE segments;
ALTER TABLE segments_3 RENAME TO segments;
CREATE INDEX segments_waiting ON segments (task, key) WHERE job IS NULL AND stuck = 0;
CREATE INDEX segments_stuck ON segments (task) WHERE stuck = 1;
CREATE INDEX segments_by_job ON segments (job) WHERE job IS NOT NULL;
CREATE INDEX segments_cut_up ON segments (task) WHERE abandoned > 0 AND stuck = 0;

-- How often jobs with its reports were cut up before.
ALTER TABLE jobs ADD COLUMN abandoned INTEGER NOT NULL DEFAULT 0;

-- The state of a batch may also be 3, set aside: the helper refuses it as it stands.
