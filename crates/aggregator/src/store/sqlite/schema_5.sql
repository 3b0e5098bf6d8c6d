-- The time of a leader-selected batch's reports, where batches are of one time: a batch with room is found
-- by it, however many there are of other times. None: of any time, or not known.
ALTER TABLE batches ADD COLUMN time BLOB;
UPDATE batches SET time = (
    SELECT CASE WHEN min(first) = max(last) THEN min(first) END FROM (
        SELECT first, last FROM shards WHERE task = batches.task AND bucket = batches.id
        UNION ALL SELECT first, last FROM jobs WHERE task = batches.task AND batch = batches.id))
WHERE state = 0 AND task IN (SELECT key FROM tasks WHERE target > 0);
DELETE FROM batches WHERE state = 0 AND task IN (SELECT key FROM tasks WHERE target > 0)
    AND NOT EXISTS (SELECT 1 FROM shards WHERE task = batches.task AND bucket = batches.id)
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE task = batches.task AND batch = batches.id);
CREATE INDEX batches_open ON batches (task, time, key) WHERE state = 0;

-- Waiting segments of one time, by age and by time, and those that have to be parted first. Where
-- batches are of one time, windows take turns: one with few reports does not wait for many others.
CREATE INDEX segments_of_one_time ON segments (task, key)
    WHERE job IS NULL AND stuck = 0 AND first = last;
CREATE INDEX segments_by_time ON segments (task, last)
    WHERE job IS NULL AND stuck = 0 AND first = last;
CREATE INDEX segments_mixed ON segments (task, key)
    WHERE job IS NULL AND stuck = 0 AND first <> last;
CREATE INDEX segments_parted ON segments (task)
    WHERE job IS NULL AND stuck = 0 AND place IS NOT NULL AND abandoned = 0;

-- Collections that failed are forgotten too.
CREATE INDEX collections_failed ON collections (asked) WHERE state = 3;
