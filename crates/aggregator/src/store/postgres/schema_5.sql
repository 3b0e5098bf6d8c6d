-- The time of a leader-selected batch's reports, where batches are of one time: a batch with room is found
-- by it, however many there are of other times. None: of any time, or not known.
SET LOCAL search_path = sottovoce;

ALTER TABLE batches ADD COLUMN time bytea;
UPDATE batches b SET time = (
    SELECT CASE WHEN count(DISTINCT part.time) = 1 THEN (array_agg(part.time))[1] END FROM (
        SELECT first AS time FROM shards WHERE task = b.task AND bucket = b.id
        UNION SELECT last FROM shards WHERE task = b.task AND bucket = b.id
        UNION SELECT first FROM jobs WHERE task = b.task AND batch = b.id
        UNION SELECT last FROM jobs WHERE task = b.task AND batch = b.id) AS part)
WHERE b.state = 0 AND b.task IN (SELECT key FROM tasks WHERE target > 0);
DELETE FROM batches b WHERE b.state = 0 AND b.task IN (SELECT key FROM tasks WHERE target > 0)
    AND NOT EXISTS (SELECT 1 FROM shards WHERE task = b.task AND bucket = b.id)
    AND NOT EXISTS (SELECT 1 FROM jobs WHERE task = b.task AND batch = b.id);
CREATE INDEX batches_open_by_time ON batches (task, time, key) WHERE state = 0;

-- A batch is marked as full by the commit that fills it, not by whoever wants to know.
UPDATE batches b SET state = 1 FROM tasks t WHERE t.key = b.task AND b.state = 0
    AND (SELECT sum(reports) FROM shards WHERE task = b.task AND bucket = b.id) >= abs(t.target);
CREATE INDEX batches_full ON batches (task, key) WHERE state = 1;
DROP INDEX batches_not_closed;

-- Waiting segments of one time, by age and by time, and those that have to be parted first. Where
-- batches are of one time, windows take turns: one with few reports does not wait for many others.
CREATE INDEX segments_of_one_time ON segments (task, key)
    WHERE job IS NULL AND NOT stuck AND first = last;
CREATE INDEX segments_by_time ON segments (task, last)
    WHERE job IS NULL AND NOT stuck AND first = last;
CREATE INDEX segments_mixed ON segments (task, key)
    WHERE job IS NULL AND NOT stuck AND first <> last;
CREATE INDEX segments_parted ON segments (task)
    WHERE job IS NULL AND NOT stuck AND place IS NOT NULL AND abandoned = 0;

-- Collections that failed are forgotten too.
CREATE INDEX collections_failed ON collections (asked) WHERE state = 3;
