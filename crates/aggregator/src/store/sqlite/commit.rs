//! The ends of jobs: the leader's three, and the helper's one.

use super::{
    from_stored, is_collected,
    lease::segments_of,
    replay::Tables,
    stored, task_row,
    upload::{Ended, insert_segment, requeue},
};
use crate::store::{
    BucketKey, BucketShard, HelperJob, HelperOutcome, JobId, LeaderCommit, LeaseToken, LostReports,
    MOST_PIECES, StoreError, StoredJob, Timestamp,
    bucket::time_key,
    replay::{Scope, Session, Side},
    segment::halve,
    span,
    sqlite::tasks::blob,
};
use rusqlite::{OptionalExtension, Transaction};
use sottovoce_dap::{
    ids::{AggregationJobId, ReportId, TaskId},
    time::Time,
};

pub(super) fn commit_leader_job(
    tx: &Transaction<'_>,
    commit: &LeaderCommit<'_>,
) -> Result<(), StoreError> {
    let job = leased(tx, commit.job, commit.lease)?;
    let collected = collected_buckets(tx, job.task, commit.shards)?;
    if !collected.is_empty() {
        return Err(StoreError::Collected(collected));
    }
    insert_shards(tx, job.task, commit.shards)?;
    let ended = if commit.again.is_some() { ended(tx, commit.job)? } else { Ended::default() };
    tx.prepare_cached("DELETE FROM segments WHERE job = ?1")?.execute([commit.job.0])?;
    tx.prepare_cached("DELETE FROM jobs WHERE key = ?1")?.execute([commit.job.0])?;
    if let Some(again) = commit.again {
        requeue(tx, job.task, again.from, again.reports, &ended)?;
    }
    count_lost(tx, job.task, commit.lost)?;
    if let Some(batch) = job.batch {
        mark_if_full(tx, job.task, &batch)?;
        forget_if_empty(tx, job.task, &batch)?;
    }
    Ok(())
}

/// What reports of a job that wait again take over from its segments.
fn ended(tx: &Transaction<'_>, job: JobId) -> Result<Ended, StoreError> {
    let sql = "SELECT key FROM segments WHERE job = ?1 ORDER BY key";
    let mut statement = tx.prepare_cached(sql)?;
    let keys = statement.query_map([job.0], |row| row.get(0))?;
    let keys = keys.collect::<Result<_, _>>()?;
    let sql = "SELECT CASE WHEN max(place) IS NOT NULL THEN min(coalesce(place, key)) END,
                   coalesce(max(abandoned), 0), min(coalesce(since, arrived))
               FROM segments WHERE job = ?1";
    let mut statement = tx.prepare_cached(sql)?;
    let (place, cuts, since) = statement.query_row([job.0], |row| row.try_into())?;
    Ok(Ended { keys, place, cuts, since })
}

/// Adds up what was lost.
fn count_lost(tx: &Transaction<'_>, task: i64, lost: &[LostReports]) -> Result<(), StoreError> {
    for lost in lost {
        tx.prepare_cached(
            "INSERT INTO lost (task, reason, reports) VALUES (?1, ?2, ?3)
             ON CONFLICT (task, reason) DO UPDATE SET reports = reports + excluded.reports",
        )?
        .execute((task, lost.reason, stored(lost.reports)))?;
    }
    Ok(())
}

pub(super) fn release_job(
    tx: &Transaction<'_>,
    job: JobId,
    lease: LeaseToken,
    retry_at: Timestamp,
) -> Result<(), StoreError> {
    leased(tx, job, lease)?;
    // A token that nobody holds: whoever gave the job back cannot end it any more.
    tx.prepare_cached("UPDATE jobs SET lease = ?2, leased_until = ?3 WHERE key = ?1")?
        .execute((job.0, LeaseToken::random()?.0, stored(retry_at.0)))?;
    Ok(())
}

pub(super) fn split_job(
    tx: &Transaction<'_>,
    job: JobId,
    lease: LeaseToken,
) -> Result<bool, StoreError> {
    let Job { task, batch } = leased(tx, job, lease)?;
    let sql = "SELECT count(*) FROM segments WHERE task = ?1 AND abandoned > 0 AND stuck = 0";
    let pieces: i64 = tx.prepare_cached(sql)?.query_row([task], |row| row.get(0))?;
    if from_stored(pieces) >= MOST_PIECES {
        return Ok(false);
    }
    let Some(halves) = halve(&segments_of(tx, job.0)?) else { return Ok(false) };
    let sql = "SELECT min(coalesce(place, key)), min(arrived), max(abandoned),
                   min(coalesce(since, arrived))
               FROM segments WHERE job = ?1";
    let (place, arrived, cuts, since): (i64, i64, u32, i64) =
        tx.prepare_cached(sql)?.query_row([job.0], |row| row.try_into())?;
    tx.prepare_cached("DELETE FROM segments WHERE job = ?1")?.execute([job.0])?;
    tx.prepare_cached("DELETE FROM jobs WHERE key = ?1")?.execute([job.0])?;
    for half in halves {
        let key = insert_segment(tx, task, Timestamp(from_stored(arrived)), &half, None)?;
        let sql = "UPDATE segments SET place = ?2, abandoned = ?3, since = ?4 WHERE key = ?1";
        tx.prepare_cached(sql)?.execute((key, place, cuts.saturating_add(1), since))?;
    }
    batch.map_or(Ok(()), |batch| forget_if_empty(tx, task, &batch))?;
    Ok(true)
}

pub(super) fn abandon_job(
    tx: &Transaction<'_>,
    job: JobId,
    lease: LeaseToken,
) -> Result<(), StoreError> {
    let Job { task, batch } = leased(tx, job, lease)?;
    tx.prepare_cached("UPDATE segments SET job = NULL, stuck = 1 WHERE job = ?1")?
        .execute([job.0])?;
    tx.prepare_cached("DELETE FROM jobs WHERE key = ?1")?.execute([job.0])?;
    batch.map_or(Ok(()), |batch| forget_if_empty(tx, task, &batch))
}

/// What ending a job needs of it.
struct Job {
    task: i64,
    batch: Option<Vec<u8>>,
}

/// The job, if the lease is its current one.
fn leased(tx: &Transaction<'_>, job: JobId, lease: LeaseToken) -> Result<Job, StoreError> {
    let sql = "SELECT task, batch FROM jobs WHERE key = ?1 AND lease = ?2";
    let found = tx
        .prepare_cached(sql)?
        .query_row((job.0, lease.0), |row| Ok(Job { task: row.get(0)?, batch: row.get(1)? }));
    found.optional()?.ok_or(StoreError::StaleLease(job))
}

/// Sets a leader-selected batch's state by its verified reports: 1 from the target on. A batch
/// that is closed stays so.
fn mark_if_full(tx: &Transaction<'_>, task: i64, batch: &[u8]) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE batches SET state = 1 WHERE task = ?1 AND id = ?2 AND state = 0 AND
            (SELECT coalesce(sum(reports), 0) FROM shards WHERE task = ?1 AND bucket = ?2) >=
            (SELECT abs(target) FROM tasks WHERE key = ?1)",
    )?
    .execute((task, batch))?;
    Ok(())
}

/// A batch of one time of which nothing is left is not used again, and so forgotten.
fn forget_if_empty(tx: &Transaction<'_>, task: i64, batch: &[u8]) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM batches WHERE task = ?1 AND id = ?2 AND state = 0 AND time IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM shards WHERE task = ?1 AND bucket = ?2)
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE task = ?1 AND batch = ?2)",
    )?
    .execute((task, batch))?;
    Ok(())
}

/// Writes all of a helper's job, or says why it cannot stand; the caller then rolls back.
pub(super) fn insert_helper_job(
    tx: &Transaction<'_>,
    session: &mut Session<'_>,
    now: Timestamp,
    job: &HelperJob<'_>,
) -> Result<Option<HelperOutcome>, StoreError> {
    let super::TaskRow { key: task, horizon, mode } = task_row(tx, job.task)?;
    if let Some(done) = replay_job(tx, task, job.id)? {
        return Ok(Some(HelperOutcome::AlreadyDone(done)));
    }
    if mode.is_of_one_time()
        && let Some(mixed) = mixed_bucket(tx, task, job.shards)?
    {
        return Ok(Some(HelperOutcome::OtherTime(mixed)));
    }
    let collected = collected_buckets(tx, task, job.shards)?;
    let scope = Scope { task, side: Side::Aggregated };
    let ids: Vec<_> = job.reports.iter().map(|(id, _)| *id).collect();
    let mut known = session.look(&mut Tables(tx), scope, &ids)?;
    let is_replay = |(id, time): &&(ReportId, Time)| !known.insert(*id) || span(*time) < horizon;
    let replayed: Vec<_> = job.reports.iter().filter(is_replay).map(|(id, _)| *id).collect();
    if !(replayed.is_empty() && collected.is_empty()) {
        return Ok(Some(HelperOutcome::Conflict { replayed, collected }));
    }
    session.add(&mut Tables(tx), scope, job.reports)?;
    insert_shards(tx, task, job.shards)?;
    tx.prepare_cached(
        "INSERT INTO helper_jobs (task, id, added, digest, response) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((task, job.id.as_bytes(), stored(now.0), job.request_digest, job.response))?;
    count_lost(tx, task, job.lost)?;
    Ok(None)
}

pub(super) fn replay_job(
    tx: &Transaction<'_>,
    task: i64,
    id: &AggregationJobId,
) -> Result<Option<StoredJob>, StoreError> {
    let sql = "SELECT digest, response FROM helper_jobs WHERE task = ?1 AND id = ?2";
    let found = tx.prepare_cached(sql)?.query_row((task, id.as_bytes()), |row| {
        Ok(StoredJob { request_digest: row.get(0)?, response: blob(row, 1)? })
    });
    Ok(found.optional()?)
}

pub(super) fn delete_job(
    tx: &Transaction<'_>,
    task: &TaskId,
    id: &AggregationJobId,
) -> Result<(), StoreError> {
    let task = task_row(tx, task)?.key;
    tx.prepare_cached("DELETE FROM helper_jobs WHERE task = ?1 AND id = ?2")?
        .execute((task, id.as_bytes()))?;
    Ok(())
}

fn insert_shards(
    tx: &Transaction<'_>,
    task: i64,
    shards: &[BucketShard],
) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO shards (task, bucket, reports, checksum, first, last, share)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for shard in shards {
        insert.execute((
            task,
            shard.key.as_bytes(),
            stored(shard.reports),
            shard.checksum,
            time_key(shard.first),
            time_key(shard.last),
            &*shard.share,
        ))?;
    }
    Ok(())
}

/// A bucket that holds, or would hold, reports of more than one time.
fn mixed_bucket(
    tx: &Transaction<'_>,
    task: i64,
    shards: &[BucketShard],
) -> Result<Option<BucketKey>, StoreError> {
    let mut other = tx.prepare_cached(
        "SELECT 1 FROM shards WHERE task = ?1 AND bucket = ?2 AND (first <> ?3 OR last <> ?3)",
    )?;
    for shard in shards {
        let key = shard.key.as_bytes();
        if shard.first != shard.last || other.exists((task, key, time_key(shard.first)))? {
            return Ok(Some(shard.key.clone()));
        }
    }
    Ok(None)
}

fn collected_buckets(
    tx: &Transaction<'_>,
    task: i64,
    shards: &[BucketShard],
) -> Result<Vec<BucketKey>, StoreError> {
    let mut collected = Vec::new();
    for shard in shards {
        let key = shard.key.as_bytes();
        if is_collected(tx, task, key, key)? {
            collected.push(shard.key.clone());
        }
    }
    Ok(collected)
}
