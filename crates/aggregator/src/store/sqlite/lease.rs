//! The leader's jobs: which segments travel together, and who has them.

use super::{from_stored, is_collected, stored, time_from_stored, upload::insert_segment};
use crate::store::{
    BatchingMode, JobId, LeasePolicy, LeaseToken, LeasedJob, Segment, StoreError, Timestamp,
    bucket::time_key,
    job::{LONGEST_WAIT, QuotaLeft, last_wait},
    plan::{Head, MAX_HEADS, PART_BELOW, Pending, plan},
    segment,
};
use rusqlite::{OptionalExtension, Row, Transaction};
use sottovoce_dap::{
    ids::{BatchId, TaskId},
    time::Time,
};
use std::collections::BTreeMap;

pub(super) fn lease_jobs(
    tx: &Transaction<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
) -> Result<Vec<LeasedJob>, StoreError> {
    let (mut room, mut jobs) = (QuotaLeft::of(policy), Vec::new());
    if policy.new_first {
        jobs.extend(new_jobs(tx, now, policy, &mut room)?);
        jobs.extend(lease_again(tx, now, policy, &mut room)?);
    } else {
        jobs.extend(lease_again(tx, now, policy, &mut room)?);
        jobs.extend(new_jobs(tx, now, policy, &mut room)?);
    }
    Ok(jobs)
}

fn new_jobs(
    tx: &Transaction<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
    room: &mut QuotaLeft,
) -> Result<Vec<LeasedJob>, StoreError> {
    let (mut jobs, mut plans) = (Vec::new(), Vec::new());
    for task in waiting_tasks(tx)?.into_iter().filter(|task| room.has_for(&task.id)) {
        let heads = if task.mode.is_of_one_time() {
            part_by_time(tx, task.key)?;
            waiting_of_one_time(tx, task.key)?
        } else {
            waiting_segments(tx, task.key)?
        };
        plans.push((task, plan(heads, now, policy)));
    }
    // Tasks take turns, so that a busy one does not hold up the others.
    loop {
        plans.retain(|(task, jobs)| room.has_for(&task.id) && !jobs.is_empty());
        if plans.is_empty() {
            break;
        }
        for (task, planned) in &mut plans {
            if room.has_for(&task.id)
                && let Some(heads) = planned.pop_front()
                && let Some(job) = new_job(tx, now, policy, task, &heads)?
            {
                room.take(&task.id);
                jobs.push(job);
            }
        }
    }
    Ok(jobs)
}

/// Killed here or anywhere before its commit, a job is leased and uncommitted: its lease runs
/// out and this finds it.
fn lease_again(
    tx: &Transaction<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
    room: &mut QuotaLeft,
) -> Result<Vec<LeasedJob>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT jobs.key, tasks.id, attempt + 1, batch, abandoned
         FROM jobs JOIN tasks ON tasks.key = task
         WHERE leased_until <= ?1 OR leased_until > ?2
         ORDER BY leased_until, jobs.key",
    )?;
    let latest = last_wait(now, policy.lease_for.max(LONGEST_WAIT)).0;
    let key = (stored(now.0), stored(latest));
    let rows = statement.query_map(key, |row| {
        let batch = row.get::<_, Option<[u8; 32]>>(3)?.map(BatchId::new);
        Ok((row.get::<_, i64>(0)?, TaskId::new(row.get(1)?), row.get(2)?, batch, row.get(4)?))
    })?;
    let mut due = Vec::new();
    for found in rows {
        let found = found?;
        if room.has_for(&found.1) {
            room.take(&found.1);
            due.push(found);
        }
        if room.left() == 0 {
            break;
        }
    }
    let mut jobs = Vec::new();
    for (key, task, attempt, batch, cuts) in due {
        let lease = LeaseToken::random()?;
        let until = stored(now.after(policy.lease_for).0);
        tx.prepare_cached(
            "UPDATE jobs SET lease = ?2, leased_until = ?3, attempt = ?4 WHERE key = ?1",
        )?
        .execute((key, lease.0, until, attempt))?;
        let segments = segments_of(tx, key)?;
        jobs.push(LeasedJob { task, job: JobId(key), lease, attempt, batch, cuts, segments });
    }
    Ok(jobs)
}

pub(super) fn segments_of(tx: &Transaction<'_>, job: i64) -> Result<Vec<Segment>, StoreError> {
    let sql = "SELECT body FROM segments WHERE job = ?1 ORDER BY key";
    let mut statement = tx.prepare_cached(sql)?;
    let bodies = statement.query_map([job], |row| row.get(0))?;
    bodies.map(|body| Segment::from_stored(body?)).collect()
}

/// A task that has waiting segments.
struct Waiting {
    key: i64,
    id: TaskId,
    mode: BatchingMode,
}

/// Tasks with waiting segments, the longest waiting first.
fn waiting_tasks(tx: &Transaction<'_>) -> Result<Vec<Waiting>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT key, id, target,
            (SELECT min(key) FROM segments WHERE task = tasks.key AND job IS NULL AND stuck = 0)
            AS oldest
         FROM tasks WHERE oldest IS NOT NULL ORDER BY oldest",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Waiting {
            key: row.get(0)?,
            id: TaskId::new(row.get(1)?),
            mode: BatchingMode::from_stored(row.get(2)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The oldest waiting segments of a task, without those that arrived too late for a pending
/// collection of their batch: they wait for its end.
fn waiting_segments(tx: &Transaction<'_>, task: i64) -> Result<Vec<Head>, StoreError> {
    let pending = pending(tx, task)?;
    let mut statement = tx.prepare_cached(
        "SELECT key, reports, bytes, arrived, abandoned, 0, first, last, coalesce(place, key)
         FROM segments WHERE task = ?1 AND job IS NULL AND stuck = 0 ORDER BY key",
    )?;
    let mut rows = statement.query([task])?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next()? {
        let times: [[u8; 8]; 2] = [row.get(6)?, row.get(7)?];
        let place: i64 = row.get(8)?;
        let Some(urgent) = Pending::urge(&pending, &times, place) else { continue };
        heads.push(Head { urgent, ..head(row)? });
        if heads.len() as u64 >= from_stored(MAX_HEADS) {
            break;
        }
    }
    Ok(heads)
}

fn pending(tx: &Transaction<'_>, task: i64) -> Result<Vec<Pending>, StoreError> {
    let sql = "SELECT low, high, cut FROM collections WHERE task = ?1 AND state = 0";
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([task], |row| {
        let (low, high): (Option<_>, Option<_>) = (row.get(0)?, row.get(1)?);
        Ok(Pending { range: low.zip(high).map(|(low, high)| [low, high]), cut: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The oldest waiting segments of a task whose batches are of one time, and those of the latest times,
/// in the order of their keys. All are urgent if a collection is pending.
fn waiting_of_one_time(tx: &Transaction<'_>, task: i64) -> Result<Vec<Head>, StoreError> {
    let urgent = "SELECT EXISTS (SELECT 1 FROM collections WHERE task = ?1 AND state = 0)";
    let urgent: bool = tx.prepare_cached(urgent)?.query_row([task], |row| row.get(0))?;
    let mut found = BTreeMap::new();
    let orders = [("segments_of_one_time", "key"), ("segments_by_time", "last DESC")];
    for (index, order) in orders {
        let sql = format!(
            "SELECT key, reports, bytes, arrived, abandoned, ?3, first
             FROM segments INDEXED BY {index} WHERE task = ?1 AND job IS NULL AND stuck = 0 AND first = last
             ORDER BY {order} LIMIT ?2"
        );
        let mut statement = tx.prepare_cached(&sql)?;
        let rows = statement.query_map((task, MAX_HEADS / 2, urgent), |row| {
            Ok(Head { apart: Some(time_from_stored(row.get(6)?)), ..head(row)? })
        })?;
        for head in rows {
            let head = head?;
            found.insert(head.key, head);
        }
    }
    Ok(found.into_values().collect())
}

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head {
        key: row.get(0)?,
        reports: from_stored(row.get(1)?),
        bytes: from_stored(row.get(2)?),
        arrived: Timestamp(from_stored(row.get(3)?)),
        cuts: row.get(4)?,
        urgent: row.get(5)?,
        apart: None,
    })
}

/// Parts the oldest segment of several times, if it is its turn.
fn part_by_time(tx: &Transaction<'_>, task: i64) -> Result<(), StoreError> {
    let sql = "SELECT min(key) FROM segments
               WHERE task = ?1 AND job IS NULL AND stuck = 0 AND first <> last";
    let mixed = tx.prepare_cached(sql)?.query_row([task], |row| row.get::<_, Option<i64>>(0))?;
    let Some(mixed) = mixed else { return Ok(()) };
    let sql = "SELECT NOT EXISTS (
             SELECT 1 FROM segments WHERE task = ?1 AND job IS NULL AND stuck = 0
             AND place IS NOT NULL AND abandoned = 0)
         OR (SELECT count(*) FROM (
             SELECT 1 FROM segments WHERE task = ?1 AND job IS NULL AND stuck = 0 AND first = last
             LIMIT ?2)) < ?2";
    if !tx.prepare_cached(sql)?.query_row((task, PART_BELOW), |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    let sql = "DELETE FROM segments WHERE key = ?1
               RETURNING body, abandoned, coalesce(place, key), arrived, since";
    let (body, abandoned, place, arrived, since): (Vec<u8>, i64, i64, i64, Option<i64>) =
        tx.prepare_cached(sql)?.query_row([mixed], |row| row.try_into())?;
    let arrived = Timestamp(from_stored(arrived));
    for part in segment::by_time(&Segment::from_stored(body)?) {
        let key = insert_segment(tx, task, arrived, &part, None)?;
        let sql = "UPDATE segments SET abandoned = ?2, place = ?3, since = ?4 WHERE key = ?1";
        tx.prepare_cached(sql)?.execute((key, abandoned, place, since))?;
    }
    Ok(())
}

/// Makes a job of segments; `None` if all their batches have been collected in the meantime.
fn new_job(
    tx: &Transaction<'_>,
    now: Timestamp,
    policy: &LeasePolicy,
    task: &Waiting,
    heads: &[Head],
) -> Result<Option<LeasedJob>, StoreError> {
    let mut loaded = Vec::new();
    for head in heads {
        loaded.extend(load(tx, task, head.key)?);
    }
    let times = || loaded.iter().flat_map(|(_, segment)| segment.reports().map(|(time, _)| time));
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(None) };
    let reports = stored(times().count() as u64);
    let batch = match task.mode {
        BatchingMode::TimeInterval => None,
        BatchingMode::LeaderSelected { target } => {
            Some(batch_of_time(tx, task.key, target, first)?)
        }
        BatchingMode::LeaderSelectedAnyTime { target } => {
            Some(batch_of_any_time(tx, task.key, target)?)
        }
    };
    let lease = LeaseToken::random()?;
    let until = stored(now.after(policy.lease_for).0);
    let cuts = heads.iter().map(|head| head.cuts).max().unwrap_or(0);
    tx.prepare_cached(
        "INSERT INTO jobs (task, lease, leased_until, attempt, reports, first, last, batch, abandoned)
         VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        task.key,
        lease.0,
        until,
        reports,
        time_key(first),
        time_key(last),
        batch.as_ref().map(BatchId::as_bytes),
        cuts,
    ))?;
    let key = tx.last_insert_rowid();
    for (segment, _) in &loaded {
        tx.prepare_cached("UPDATE segments SET job = ?2 WHERE key = ?1")?
            .execute((segment, key))?;
    }
    let segments = loaded.into_iter().map(|(_, segment)| segment).collect();
    Ok(Some(LeasedJob { task: task.id, job: JobId(key), lease, attempt: 1, batch, cuts, segments }))
}

/// Reads a segment for a new job, without reports that came too late for their batch.
fn load(
    tx: &Transaction<'_>,
    task: &Waiting,
    key: i64,
) -> Result<Option<(i64, Segment)>, StoreError> {
    let sql = "SELECT body, first, last FROM segments WHERE key = ?1";
    let (body, first, last): (Vec<u8>, [u8; 8], [u8; 8]) = tx
        .prepare_cached(sql)?
        .query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let segment = Segment::from_stored(body)?;
    let late =
        task.mode == BatchingMode::TimeInterval && is_collected(tx, task.key, &first, &last)?;
    if late { drop_collected(tx, task.key, key, &segment) } else { Ok(Some((key, segment))) }
}

/// Rewrites a segment without the reports whose batch was closed while they waited.
fn drop_collected(
    tx: &Transaction<'_>,
    task: i64,
    key: i64,
    segment: &Segment,
) -> Result<Option<(i64, Segment)>, StoreError> {
    let mut times: Vec<_> = segment.reports().map(|(time, _)| time).collect();
    times.sort_unstable();
    times.dedup();
    let mut open = Vec::<Time>::new();
    for time in times {
        if !is_collected(tx, task, &time_key(time), &time_key(time))? {
            open.push(time);
        }
    }
    let kept = segment::filter(segment, |time| open.binary_search(&time).is_ok());
    let left = kept.as_ref().map_or(0, |kept| kept.reports);
    tx.prepare_cached("UPDATE tasks SET dropped = dropped + ?2 WHERE key = ?1")?
        .execute((task, stored((segment.len() - left) as u64)))?;
    let Some(kept) = kept else {
        tx.prepare_cached("DELETE FROM segments WHERE key = ?1")?.execute([key])?;
        return Ok(None);
    };
    tx.prepare_cached(
        "UPDATE segments SET reports = ?2, bytes = ?3, first = ?4, last = ?5, body = ?6
         WHERE key = ?1",
    )?
    .execute((
        key,
        stored(left as u64),
        stored(kept.body.len() as u64),
        time_key(kept.first),
        time_key(kept.last),
        &kept.body,
    ))?;
    Ok(Some((key, Segment::from_stored(kept.body)?)))
}

/// The oldest batch with room, counting what is verified and what is on its way; else a new one.
fn batch_of_any_time(tx: &Transaction<'_>, task: i64, target: u64) -> Result<BatchId, StoreError> {
    let sql = "SELECT id FROM batches b WHERE task = ?1 AND state = 0 AND
            (SELECT coalesce(sum(reports), 0) FROM shards WHERE task = ?1 AND bucket = b.id) +
            (SELECT coalesce(sum(reports), 0) FROM jobs WHERE task = ?1 AND batch = b.id) < ?2
         ORDER BY key LIMIT 1";
    let found = tx
        .prepare_cached(sql)?
        .query_row((task, stored(target)), |row| Ok(BatchId::new(row.get(0)?)))
        .optional()?;
    let Some(batch) = found else { return new_batch(tx, task, None) };
    // From when times could not be mixed; now they are.
    let sql = "UPDATE batches SET time = NULL WHERE task = ?1 AND id = ?2 AND time IS NOT NULL";
    tx.prepare_cached(sql)?.execute((task, batch.as_bytes()))?;
    Ok(batch)
}

/// The same of the batches of one time. One of which nothing is left is not used again: the helper may
/// have counted reports of another time for it.
fn batch_of_time(
    tx: &Transaction<'_>,
    task: i64,
    target: u64,
    time: Time,
) -> Result<BatchId, StoreError> {
    let sql = "SELECT id FROM batches b INDEXED BY batches_open
         WHERE task = ?1 AND state = 0 AND time = ?3 AND (
            SELECT sum(reports) FROM (
                SELECT reports FROM shards WHERE task = ?1 AND bucket = b.id
                UNION ALL SELECT reports FROM jobs WHERE task = ?1 AND batch = b.id)) < ?2
         ORDER BY key LIMIT 1";
    let key = (task, stored(target), time_key(time));
    let found =
        tx.prepare_cached(sql)?.query_row(key, |row| Ok(BatchId::new(row.get(0)?))).optional()?;
    found.map_or_else(|| new_batch(tx, task, Some(time)), Ok)
}

fn new_batch(tx: &Transaction<'_>, task: i64, time: Option<Time>) -> Result<BatchId, StoreError> {
    let batch = BatchId::random()?;
    tx.prepare_cached("INSERT INTO batches (task, id, time) VALUES (?1, ?2, ?3)")?.execute((
        task,
        batch.as_bytes(),
        time.map(time_key),
    ))?;
    Ok(batch)
}
