//! Status for operators, and deletion of what has expired.

use super::{
    Failure, Pool, Tx, bytes, from_stored, get,
    locks::{self, Hold},
    replay, stored,
};
use crate::store::{
    BatchSummary, BucketKey, CollectionId, CollectionSummary, Expiry, Forgotten, KeyUse, Secret,
    Stage, StoreError, Timestamp, span,
};
use postgres::Row;
use sottovoce_dap::{ids::TaskId, time::Time};

pub(super) fn batches(pool: &Pool, task: &TaskId) -> Result<Vec<BatchSummary>, Failure> {
    known(pool, task)?;
    let rows = pool.read(
        "SELECT s.bucket, s.reports, s.checksum, EXISTS (
             SELECT 1 FROM batches b WHERE b.task = t.key AND b.id = s.bucket AND b.state = 3)
         FROM tasks t JOIN shards s ON s.task = t.key
         WHERE t.id = $1 AND NOT EXISTS (
             SELECT 1 FROM collected c
             WHERE c.task = t.key AND c.low <= s.bucket AND s.bucket < c.high)
         ORDER BY s.bucket",
        &[&&task.as_bytes()[..]],
    )?;
    let mut batches = Vec::<BatchSummary>::new();
    for row in &rows {
        let shard = BatchSummary {
            key: BucketKey::from_stored(get(row, 0)?),
            reports: from_stored(get(row, 1)?),
            checksum: bytes(row, 2)?,
            set_aside: get(row, 3)?,
        };
        match batches.last_mut().filter(|batch| batch.key == shard.key) {
            Some(batch) => batch.add(&shard),
            None => batches.push(shard),
        }
    }
    Ok(batches)
}

pub(super) fn report_ids(
    pool: &Pool,
    task: &TaskId,
    time: Option<Time>,
    limit: u64,
) -> Result<Option<Vec<u8>>, Failure> {
    known(pool, task)?;
    let (task, span) = (&task.as_bytes()[..], time.map(span));
    let counted = pool.read(
        "SELECT coalesce(sum(octet_length(r.ids)), 0)::bigint FROM tasks t, LATERAL (
             SELECT ids FROM fresh_runs f WHERE f.task = t.key
             AND coalesce($2, f.last) BETWEEN coalesce(f.first, f.last) AND f.last
             UNION ALL
             SELECT ids FROM parted_runs p WHERE p.task = t.key
             AND coalesce($2, p.last) BETWEEN coalesce(p.first, p.last) AND p.last
         ) r WHERE t.id = $1",
        &[&task, &span],
    )?;
    let bytes = counted.first().map_or(Ok(0), |row| get::<i64>(row, 0))?;
    if from_stored(bytes) / 16 > limit {
        return Ok(None);
    }
    let rows = pool.read(
        "SELECT r.ids FROM tasks t, LATERAL (
             SELECT ids FROM fresh_runs f WHERE f.task = t.key
             AND coalesce($2, f.last) BETWEEN coalesce(f.first, f.last) AND f.last
             UNION ALL
             SELECT ids FROM parted_runs p WHERE p.task = t.key
             AND coalesce($2, p.last) BETWEEN coalesce(p.first, p.last) AND p.last
         ) r WHERE t.id = $1",
        &[&task, &span],
    )?;
    let mut ids = Vec::new();
    for row in &rows {
        ids.extend_from_slice(get(row, 0)?);
    }
    Ok(Some(ids))
}

pub(super) fn collections(pool: &Pool, task: &TaskId) -> Result<Vec<CollectionSummary>, Failure> {
    known(pool, task)?;
    let rows = pool.read(
        "SELECT c.id, c.state, coalesce(d.low, c.low), coalesce(d.high, c.high), c.attempt,
                d.closed_at, c.asked
         FROM tasks t JOIN collections c ON c.task = t.key
         LEFT JOIN collected d ON d.task = c.task AND d.collection = c.id
         WHERE t.id = $1 ORDER BY c.key",
        &[&&task.as_bytes()[..]],
    )?;
    rows.iter().map(collection).collect()
}

fn collection(row: &Row) -> Result<CollectionSummary, Failure> {
    let key =
        |column| Ok::<_, Failure>(get::<Option<Vec<u8>>>(row, column)?.map(BucketKey::from_stored));
    Ok(CollectionSummary {
        id: CollectionId(bytes(row, 0)?),
        stage: match get::<i16>(row, 1)? {
            0 => Stage::Pending,
            1 => Stage::Closed,
            2 => Stage::Finished,
            3 => Stage::Failed,
            4 => Stage::Deleted,
            other => return Err(Failure::corrupt(format!("a collection's state is {other}"))),
        },
        range: key(2)?.zip(key(3)?),
        attempts: u32::try_from(get::<i32>(row, 4)?).unwrap_or(0),
        closed_at: get::<Option<i64>>(row, 5)?.map(|at| Timestamp(from_stored(at))),
        asked_at: get::<Option<i64>>(row, 6)?.map(|at| Timestamp(from_stored(at))),
    })
}

fn known(pool: &Pool, task: &TaskId) -> Result<(), Failure> {
    let found = pool.read("SELECT 1 FROM tasks WHERE id = $1", &[&&task.as_bytes()[..]])?;
    if found.is_empty() { Err(StoreError::UnknownTask(*task).into()) } else { Ok(()) }
}

pub(super) fn delete_key(tx: &mut Tx<'_>, of: KeyUse, id: u8) -> Result<(), Failure> {
    let sql = match of {
        KeyUse::Hpke => "DELETE FROM hpke_keys WHERE id = $1",
        KeyUse::Log => "DELETE FROM log_keys WHERE id = $1",
    };
    tx.execute(sql, &[&i16::from(id)])?;
    Ok(())
}

pub(super) fn replace_sealed(
    tx: &mut Tx<'_>,
    secret: Secret<'_>,
    from: &[u8],
    to: &[u8],
) -> Result<bool, Failure> {
    let changed = match secret {
        Secret::Task(id) => tx.execute(
            "UPDATE tasks SET sealed = $3 WHERE id = $1 AND sealed = $2",
            &[&&id.as_bytes()[..], &from, &to],
        )?,
        Secret::Key(of, id) => tx.execute(
            match of {
                KeyUse::Hpke => "UPDATE hpke_keys SET sealed = $3 WHERE id = $1 AND sealed = $2",
                KeyUse::Log => "UPDATE log_keys SET sealed = $3 WHERE id = $1 AND sealed = $2",
            },
            &[&i16::from(id), &from, &to],
        )?,
    };
    Ok(changed == 1)
}

pub(super) fn retry_stuck(tx: &mut Tx<'_>, task: &TaskId) -> Result<u64, Failure> {
    let task = locks::batches(tx, task, Hold::Shared)?.key;
    let row = tx.row(
        "WITH freed AS (
             UPDATE segments SET stuck = false, abandoned = 0 WHERE task = $1 AND stuck
             RETURNING reports)
         SELECT coalesce(sum(reports), 0)::bigint FROM freed",
        &[&task],
    )?;
    row.map_or(Ok(0), |row| Ok(from_stored(get(&row, 0)?)))
}

pub(super) fn forget(tx: &mut Tx<'_>, expiry: &Expiry) -> Result<Forgotten, Failure> {
    let mut forgotten = Forgotten::default();
    for (task, time) in &expiry.reports {
        forgotten.reports += forget_reports(tx, task, *time)?;
    }
    forgotten.responses = forget_responses(tx, expiry.responses)?;
    forgotten.more = forgotten.responses >= AT_ONCE;
    Ok(forgotten)
}

fn forget_reports(tx: &mut Tx<'_>, task: &TaskId, before: Time) -> Result<u64, Failure> {
    let task = locks::batches(tx, task, Hold::Shared)?.key;
    let span = span(before);
    // Remembered first: a clock that is put back must not make a replay of a new report.
    tx.execute(
        "INSERT INTO horizons VALUES ($1, $2) ON CONFLICT (task)
         DO UPDATE SET span = greatest(horizons.span, excluded.span)",
        &[&task, &span],
    )?;
    replay::forget(tx, task, span)
}

fn forget_responses(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64, Failure> {
    let (before, limit) = (stored(before.0), stored(AT_ONCE));
    let jobs = tx.execute(
        "DELETE FROM helper_jobs WHERE (task, id) IN (
             SELECT task, id FROM helper_jobs WHERE added < $1 LIMIT $2)",
        &[&before, &limit],
    )?;
    // A collection that is over: its blobs go, as if its collector had deleted it. That its batch
    // was collected stays.
    let collections = tx.execute(
        "UPDATE collections SET state = 4, request = '', blob = '' WHERE (task, id) IN (
             SELECT c.task, c.id FROM collections c
             JOIN collected d ON d.task = c.task AND d.collection = c.id
             WHERE c.state IN (2, 3) AND d.closed_at < $1 LIMIT $2)",
        &[&before, &limit],
    )?;
    // One that failed and closed nothing leaves nothing: an identical request begins anew.
    let failed = tx.execute(
        "DELETE FROM collections WHERE state = 3 AND (task, id) IN (
             SELECT c.task, c.id FROM collections c
             WHERE c.state = 3 AND coalesce(c.asked, 0) < $1 AND NOT EXISTS (
                 SELECT 1 FROM collected d WHERE d.task = c.task AND d.collection = c.id)
             LIMIT $2)",
        &[&before, &limit],
    )?;
    Ok(jobs + collections + failed)
}

/// Rows of one kind that one call forgets: a fraction of a second.
const AT_ONCE: u64 = 20_000;
