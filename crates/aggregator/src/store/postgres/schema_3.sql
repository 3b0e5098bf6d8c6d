-- A report ID counts once per task, whatever its time: runs of IDs are no longer apart by spans of
-- time. A run says in which spans its reports' times lie, from the first (none: the same as the last)
-- to the last; it is forgotten as a whole once the last is too old. Parts 0 to 255 are by an ID's first
-- byte, those from 256 on by its first 14 bits.
--
-- The tables have new names on purpose: a replica of an earlier version locks IDs by spans, not by
-- tasks, and must not go on beside one of this version.
SET LOCAL search_path = sottovoce;

ALTER TABLE fresh_ids RENAME TO fresh_runs;
ALTER TABLE fresh_runs RENAME COLUMN span TO last;
ALTER TABLE fresh_runs ADD COLUMN first bigint;
ALTER TABLE fresh_runs DROP CONSTRAINT fresh_ids_pkey;
ALTER TABLE fresh_runs ADD PRIMARY KEY (task, side, position);

ALTER TABLE parted_ids RENAME TO parted_runs;
ALTER TABLE parted_runs RENAME COLUMN span TO last;
ALTER TABLE parted_runs ADD COLUMN first bigint;
ALTER TABLE parted_runs DROP CONSTRAINT parted_ids_pkey;
ALTER TABLE parted_runs ADD PRIMARY KEY (task, side, part, position);
CREATE INDEX parted_runs_by_age ON parted_runs (task, last);

-- Up to which position fresh runs were moved into parts.
CREATE TABLE parted (
    task     integer NOT NULL,
    side     smallint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (task, side)
);
INSERT INTO parted SELECT task, side, max(position) FROM parted_runs GROUP BY task, side;

-- A segment of a job that was refused is cut up. All of its pieces have the place of the first: a
-- collection that waits for one of its reports waits for them all. None: its key.
ALTER TABLE segments ADD COLUMN place bigint;
CREATE INDEX segments_cut_up ON segments (task) WHERE abandoned > 0 AND NOT stuck;

-- How often jobs with its reports were cut up before.
ALTER TABLE jobs ADD COLUMN abandoned integer NOT NULL DEFAULT 0;

-- The state of a batch may also be 3, set aside: the helper refuses it as it stands.
