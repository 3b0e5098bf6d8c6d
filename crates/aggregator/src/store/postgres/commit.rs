//! The ends of jobs: the leader's three, and the helper's one.

use super::{
    End, Failure, Pool, TaskRow, Tx, blob, bytes, get,
    lease::segments_of,
    locks::{self, Hold},
    ranges,
    replay::{self, Tables},
    stored,
    upload::{Arrival, Ended, insert_pieces, requeue},
};
use crate::store::{
    BucketKey, BucketShard, HelperJob, HelperOutcome, JobId, LeaderCommit, LeaseToken, LostReports,
    MOST_PIECES, StoreError, StoredJob, Timestamp,
    bucket::time_key,
    replay::{Scope, Session, Side},
    segment::halve,
    span,
};
use postgres::Row;
use sottovoce_dap::{
    ids::{AggregationJobId, ReportId, TaskId},
    time::Time,
};

pub(super) fn commit_leader_job(tx: &mut Tx<'_>, commit: &LeaderCommit<'_>) -> Result<(), Failure> {
    let Job { task, batch } = leased(tx, commit.job, commit.lease)?;
    let collected = ranges::collected_buckets(tx, task, commit.shards)?;
    if !collected.is_empty() {
        return Err(StoreError::Collected(collected).into());
    }
    insert_shards(tx, task, commit.shards)?;
    let ended = tx.rows(
        "WITH ended AS (DELETE FROM segments WHERE task = $1 AND job = $2
                        RETURNING key, place, abandoned, coalesce(since, arrived) AS since),
              over AS (DELETE FROM jobs WHERE task = $1 AND key = $2)
         SELECT key, place, abandoned, since FROM ended ORDER BY key",
        &[&task, &commit.job.0],
    )?;
    if let Some(again) = commit.again {
        let ended = Ended::of(&ended)?;
        requeue(tx, task, again.from, again.reports, &ended)?;
    }
    count_lost(tx, task, commit.lost)?;
    let added = !commit.shards.is_empty();
    batch.map_or(Ok(()), |batch| settle(tx, task, &batch, added))
}

/// Adds up what was lost. Two that do wait for each other here, before either settles its batch, which is
/// why they cannot wait for each other in a circle.
fn count_lost(tx: &mut Tx<'_>, task: i32, lost: &[LostReports]) -> Result<(), Failure> {
    if lost.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO lost (task, reason, reports)
         SELECT $1, reason, reports FROM unnest($2::smallint[], $3::bigint[]) AS n (reason, reports)
         ORDER BY reason
         ON CONFLICT (task, reason) DO UPDATE SET reports = lost.reports + excluded.reports",
        &[
            &task,
            &lost.iter().map(|lost| i16::from(lost.reason)).collect::<Vec<_>>(),
            &lost.iter().map(|lost| stored(lost.reports)).collect::<Vec<_>>(),
        ],
    )?;
    Ok(())
}

pub(super) fn release_job(
    tx: &mut Tx<'_>,
    job: JobId,
    lease: LeaseToken,
    retry_at: Timestamp,
) -> Result<(), Failure> {
    let task = leased(tx, job, lease)?.task;
    // A token that nobody holds: whoever gave the job back cannot end it any more.
    tx.execute(
        "UPDATE jobs SET lease = $3, leased_until = $4 WHERE task = $1 AND key = $2",
        &[&task, &job.0, &&LeaseToken::random()?.0[..], &stored(retry_at.0)],
    )?;
    Ok(())
}

pub(super) fn split_job(tx: &mut Tx<'_>, job: JobId, lease: LeaseToken) -> Result<bool, Failure> {
    let Job { task, batch } = leased(tx, job, lease)?;
    let pieces = tx.row(
        "SELECT count(*) FROM segments WHERE task = $1 AND abandoned > 0 AND NOT stuck",
        &[&task],
    )?;
    if pieces.map_or(Ok(0), |row| get::<i64>(&row, 0))? >= stored(MOST_PIECES) {
        return Ok(false);
    }
    let segments = segments_of(tx, &[task], &[job.0])?.remove(&job.0).unwrap_or_default();
    let Some(halves) = halve(&segments) else { return Ok(false) };
    let ended = tx.row(
        "WITH ended AS (DELETE FROM segments WHERE task = $1 AND job = $2
                        RETURNING coalesce(place, key) AS place, arrived, abandoned,
                            coalesce(since, arrived) AS since),
              over AS (DELETE FROM jobs WHERE task = $1 AND key = $2)
         SELECT min(place), min(arrived), max(abandoned), min(since) FROM ended",
        &[&task, &job.0],
    )?;
    let ended = ended.ok_or_else(|| Failure::corrupt("a job without a segment"))?;
    let arrival = Arrival { arrived: get(&ended, 1)?, since: get(&ended, 3)? };
    insert_pieces(tx, task, arrival, &halves, get(&ended, 0)?, get::<i32>(&ended, 2)? + 1)?;
    batch.map_or(Ok(()), |batch| settle(tx, task, &batch, false))?;
    Ok(true)
}

pub(super) fn abandon_job(tx: &mut Tx<'_>, job: JobId, lease: LeaseToken) -> Result<(), Failure> {
    let Job { task, batch } = leased(tx, job, lease)?;
    // Both in one statement: at no time are its reports neither in a job nor stuck.
    tx.execute(
        "WITH ended AS (DELETE FROM jobs WHERE task = $1 AND key = $2)
         UPDATE segments SET job = NULL, stuck = true WHERE task = $1 AND job = $2",
        &[&task, &job.0],
    )?;
    batch.map_or(Ok(()), |batch| settle(tx, task, &batch, false))
}

/// What ending a job needs of it.
struct Job {
    task: i32,
    batch: Option<Vec<u8>>,
}

/// The job, if the lease is its current one: it is the caller's alone, the lock of its task's batches
/// shared.
fn leased(tx: &mut Tx<'_>, job: JobId, lease: LeaseToken) -> Result<Job, Failure> {
    let row = tx.row(
        "WITH held AS MATERIALIZED (
             SELECT task, batch FROM jobs WHERE key = $1 AND lease = $2 FOR UPDATE)
         SELECT task, batch, pg_advisory_xact_lock_shared($3, task) FROM held",
        &[&job.0, &&lease.0[..], &locks::BATCHES],
    )?;
    let row = row.ok_or(StoreError::StaleLease(job))?;
    Ok(Job { task: get(&row, 0)?, batch: get(&row, 1)? })
}

/// A job of a leader-selected batch is over, and has added something to it or not: the batch is full from
/// its target on, and one of one time of which nothing is left is not used again, and so forgotten.
///
/// The last step: of two that end jobs of one batch the second waits here for the first, and sees what
/// it did, as does who puts a job in the batch.
fn settle(tx: &mut Tx<'_>, task: i32, batch: &[u8], added: bool) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM batches WHERE task = $1 AND id = $2 AND state = 0 FOR UPDATE";
    if tx.row(sql, &[&task, &batch])?.is_none() {
        return Ok(());
    }
    let sql = if added {
        "UPDATE batches SET state = 1 WHERE task = $1 AND id = $2 AND
             (SELECT sum(reports) FROM shards WHERE task = $1 AND bucket = $2) >=
             (SELECT abs(target) FROM tasks WHERE key = $1)"
    } else {
        "DELETE FROM batches WHERE task = $1 AND id = $2 AND time IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM shards WHERE task = $1 AND bucket = $2)
             AND NOT EXISTS (SELECT 1 FROM jobs WHERE task = $1 AND batch = $2)"
    };
    tx.execute(sql, &[&task, &batch])?;
    Ok(())
}

/// Writes all of a helper's job, or says why it cannot stand, to be undone; `None` is success.
pub(super) fn insert_helper_job(
    tx: &mut Tx<'_>,
    session: &mut Session<'_>,
    now: Timestamp,
    job: &HelperJob<'_>,
) -> Result<End<Option<HelperOutcome>>, Failure> {
    let TaskRow { key: task, mode } = locks::batches(tx, job.task, Hold::Shared)?;
    // First of all, so that of two that come with one job the second waits here, and finds it.
    let claimed = tx.execute(
        "INSERT INTO helper_jobs (task, id, added, digest, response) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
        &[&task, &&job.id.as_bytes()[..], &stored(now.0), &&job.request_digest[..], &job.response],
    )?;
    if claimed == 0 {
        let sql = "SELECT digest, response FROM helper_jobs WHERE task = $1 AND id = $2";
        let row = tx.row(sql, &[&task, &&job.id.as_bytes()[..]])?;
        // Deleted in this very moment: it was never there, then, and may be committed.
        let row = row.ok_or_else(|| Failure::Lost { what: "a job deleted meanwhile".into() })?;
        return Ok(End::Undo(Some(HelperOutcome::AlreadyDone(stored_job(&row, 0)?))));
    }
    if mode.is_of_one_time()
        && let Some(mixed) = mixed_bucket(tx, task, job.shards)?
    {
        return Ok(End::Undo(Some(HelperOutcome::OtherTime(mixed))));
    }
    let scope = Scope { task: task.into(), side: Side::Aggregated };
    let replayed = replayed(tx, session, task, scope, job.reports)?;
    let collected = ranges::collected_buckets(tx, task, job.shards)?;
    if !(replayed.is_empty() && collected.is_empty()) {
        return Ok(End::Undo(Some(HelperOutcome::Conflict { replayed, collected })));
    }
    session.add(&mut Tables(tx), scope, job.reports)?;
    insert_shards(tx, task, job.shards)?;
    count_lost(tx, task, job.lost)?;
    Ok(End::Keep(None))
}

/// A bucket that holds, or would hold, reports of more than one time.
fn mixed_bucket(
    tx: &mut Tx<'_>,
    task: i32,
    shards: &[BucketShard],
) -> Result<Option<BucketKey>, Failure> {
    // A job has one batch, so nobody waits for a second lock of this kind.
    for shard in shards {
        let key = shard.key.as_bytes();
        locks::batch_of_one_time(tx, task, key)?;
        let other = tx.row(
            "SELECT 1 FROM shards WHERE task = $1 AND bucket = $2 AND (first <> $3 OR last <> $3)
             LIMIT 1",
            &[&task, &key, &&time_key(shard.first)[..]],
        )?;
        if shard.first != shard.last || other.is_some() {
            return Ok(Some(shard.key.clone()));
        }
    }
    Ok(None)
}

/// The reports that were known before, and those given again.
fn replayed(
    tx: &mut Tx<'_>,
    session: &mut Session<'_>,
    task: i32,
    scope: Scope,
    reports: &[(ReportId, Time)],
) -> Result<Vec<ReportId>, Failure> {
    replay::lock(tx, &[scope])?;
    let horizon = ranges::horizons(tx, std::iter::once(task))?.get(&task).copied();
    let ids: Vec<_> = reports.iter().map(|(id, _)| *id).collect();
    let mut known = session.look(&mut Tables(tx), scope, &ids)?;
    let is_replay = |(id, time): &&(ReportId, Time)| {
        !known.insert(*id) || horizon.is_some_and(|first| span(*time) < first)
    };
    Ok(reports.iter().filter(is_replay).map(|(id, _)| *id).collect())
}

pub(super) fn replay_job(
    pool: &Pool,
    task: &TaskId,
    id: &AggregationJobId,
) -> Result<Option<StoredJob>, Failure> {
    let rows = pool.read(
        "SELECT h.task, h.digest, h.response FROM tasks t
         LEFT JOIN helper_jobs h ON h.task = t.key AND h.id = $2 WHERE t.id = $1",
        &[&&task.as_bytes()[..], &&id.as_bytes()[..]],
    )?;
    let row = rows.first().ok_or(StoreError::UnknownTask(*task))?;
    let there = get::<Option<i32>>(row, 0)?.is_some();
    if there { stored_job(row, 1).map(Some) } else { Ok(None) }
}

fn stored_job(row: &Row, column: usize) -> Result<StoredJob, Failure> {
    Ok(StoredJob { request_digest: bytes(row, column)?, response: blob(row, column + 1)? })
}

pub(super) fn delete_job(
    tx: &mut Tx<'_>,
    task: &TaskId,
    id: &AggregationJobId,
) -> Result<(), Failure> {
    let task = locks::batches(tx, task, Hold::Shared)?.key;
    let sql = "DELETE FROM helper_jobs WHERE task = $1 AND id = $2";
    tx.execute(sql, &[&task, &&id.as_bytes()[..]])?;
    Ok(())
}

fn insert_shards(tx: &mut Tx<'_>, task: i32, shards: &[BucketShard]) -> Result<(), Failure> {
    if shards.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO shards (task, bucket, reports, checksum, first, last, share)
         SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::bytea[], $5::bytea[],
                                  $6::bytea[], $7::bytea[])",
        &[
            &task,
            &shards.iter().map(|shard| shard.key.as_bytes()).collect::<Vec<_>>(),
            &shards.iter().map(|shard| stored(shard.reports)).collect::<Vec<_>>(),
            &shards.iter().map(|shard| &shard.checksum[..]).collect::<Vec<_>>(),
            &shards.iter().map(|shard| time_key(shard.first).to_vec()).collect::<Vec<_>>(),
            &shards.iter().map(|shard| time_key(shard.last).to_vec()).collect::<Vec<_>>(),
            &shards.iter().map(|shard| &*shard.share).collect::<Vec<_>>(),
        ],
    )?;
    Ok(())
}
