//! The ends of jobs: the leader's three, and the helper's one.

use super::{is_collected, replay::Tables, stored, task_row, upload::wait_again};
use crate::aggregator::store::{
    BucketKey, BucketShard, HelperJob, HelperOutcome, JobId, LeaderCommit, LeaseToken,
    MAX_ABANDONED, StoreError, StoredJob, Timestamp,
    bucket::time_key,
    replay::{Session, Side, Window},
    span,
    sqlite::tasks::blob,
};
use crate::dap::ids::{AggregationJobId, ReportId, TaskId};
use rusqlite::{OptionalExtension, Transaction};
use std::collections::BTreeMap;

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
    let places = if commit.again.is_some() { places(tx, commit.job)? } else { Vec::new() };
    tx.prepare_cached("DELETE FROM segments WHERE job = ?1")?.execute([commit.job.0])?;
    tx.prepare_cached("DELETE FROM jobs WHERE key = ?1")?.execute([commit.job.0])?;
    if let Some(again) = commit.again {
        wait_again(tx, job.task, again.from, again.reports, places)?;
    }
    if let Some(batch) = job.batch { mark_if_full(tx, job.task, &batch) } else { Ok(()) }
}

/// The keys of a job's segments, oldest first.
fn places(tx: &Transaction<'_>, job: JobId) -> Result<Vec<i64>, StoreError> {
    let sql = "SELECT key FROM segments WHERE job = ?1 ORDER BY key";
    let mut statement = tx.prepare_cached(sql)?;
    let keys = statement.query_map([job.0], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
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

pub(super) fn abandon_job(
    tx: &Transaction<'_>,
    job: JobId,
    lease: LeaseToken,
) -> Result<(), StoreError> {
    leased(tx, job, lease)?;
    tx.prepare_cached(
        "UPDATE segments SET job = NULL, abandoned = abandoned + 1, stuck = abandoned + 1 >= ?2
         WHERE job = ?1",
    )?
    .execute((job.0, MAX_ABANDONED))?;
    tx.prepare_cached("DELETE FROM jobs WHERE key = ?1")?.execute([job.0])?;
    Ok(())
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
    let (mut replayed, mut spans) = (Vec::new(), BTreeMap::<i64, Vec<ReportId>>::new());
    for (id, time) in job.reports {
        spans.entry(span(*time)).or_default().push(*id);
    }
    let window = |span| Window { task, side: Side::Aggregated, span };
    for (span, ids) in &spans {
        let mut known = if *span < horizon {
            ids.iter().copied().collect()
        } else {
            session.look(&mut Tables(tx), window(*span), ids)?
        };
        replayed.extend(ids.iter().filter(|id| !known.insert(**id)));
    }
    if !(replayed.is_empty() && collected.is_empty()) {
        return Ok(Some(HelperOutcome::Conflict { replayed, collected }));
    }
    for (span, ids) in &spans {
        session.add(&mut Tables(tx), window(*span), ids)?;
    }
    insert_shards(tx, task, job.shards)?;
    tx.prepare_cached(
        "INSERT INTO helper_jobs (task, id, added, digest, response) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((task, job.id.as_bytes(), stored(now.0), job.request_digest, job.response))?;
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
