//! Status for operators, and deletion of what has expired.

use super::{from_stored, replay, stored, task_row, tasks::table};
use crate::store::{
    BatchSummary, BucketKey, CollectionId, CollectionSummary, Expiry, Forgotten, KeyUse, Secret,
    Stage, StoreError, Timestamp, span,
};
use rusqlite::Transaction;
use sottovoce_dap::{ids::TaskId, time::Time};

pub(super) fn batches(
    tx: &Transaction<'_>,
    task: &TaskId,
) -> Result<Vec<BatchSummary>, StoreError> {
    let task = task_row(tx, task)?.key;
    let mut statement = tx.prepare_cached(
        "SELECT bucket, reports, checksum, EXISTS (
             SELECT 1 FROM batches b WHERE b.task = ?1 AND b.id = bucket AND b.state = 3)
         FROM shards WHERE task = ?1 AND NOT EXISTS (
             SELECT 1 FROM collected c WHERE c.task = ?1 AND c.low <= bucket AND bucket < c.high)
         ORDER BY bucket",
    )?;
    let rows = statement.query_map([task], |row| {
        let key = BucketKey::from_stored(row.get(0)?);
        let (reports, checksum) = (from_stored(row.get(1)?), row.get(2)?);
        Ok(BatchSummary { key, reports, checksum, set_aside: row.get(3)? })
    })?;
    let mut batches = Vec::<BatchSummary>::new();
    for shard in rows {
        let shard = shard?;
        match batches.last_mut().filter(|batch| batch.key == shard.key) {
            Some(batch) => batch.add(&shard),
            None => batches.push(shard),
        }
    }
    Ok(batches)
}

pub(super) fn report_ids(
    tx: &Transaction<'_>,
    task: &TaskId,
    time: Option<Time>,
    limit: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let key = (task_row(tx, task)?.key, time.map(span));
    let runs = |column: &str| {
        let of = |table| {
            format!(
                "SELECT {column} FROM {table} WHERE task = ?1
                 AND (?2 IS NULL OR last >= ?2 AND coalesce(first, last) <= ?2)"
            )
        };
        format!("{} UNION ALL {}", of("fresh_runs"), of("parted_runs"))
    };
    let count = format!("SELECT coalesce(sum(bytes), 0) FROM ({})", runs("length(ids) AS bytes"));
    let bytes = tx.prepare_cached(&count)?.query_row(key, |row| row.get(0))?;
    if from_stored(bytes) / 16 > limit {
        return Ok(None);
    }
    let mut ids = Vec::new();
    let mut statement = tx.prepare_cached(&runs("ids"))?;
    let mut rows = statement.query(key)?;
    while let Some(row) = rows.next()? {
        ids.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
    }
    Ok(Some(ids))
}

pub(super) fn collections(
    tx: &Transaction<'_>,
    task: &TaskId,
) -> Result<Vec<CollectionSummary>, StoreError> {
    let task = task_row(tx, task)?.key;
    let mut statement = tx.prepare_cached(
        "SELECT c.id, c.state, coalesce(d.low, c.low), coalesce(d.high, c.high), c.attempt,
                d.closed_at, c.asked
         FROM collections c LEFT JOIN collected d ON d.task = c.task AND d.collection = c.id
         WHERE c.task = ?1 ORDER BY c.key",
    )?;
    let rows = statement.query_map([task], |row| {
        let key = |bytes: Option<Vec<u8>>| bytes.map(BucketKey::from_stored);
        Ok(CollectionSummary {
            id: CollectionId(row.get(0)?),
            stage: stage(row.get(1)?)?,
            range: key(row.get(2)?).zip(key(row.get(3)?)),
            attempts: row.get(4)?,
            closed_at: row.get::<_, Option<i64>>(5)?.map(|at| Timestamp(from_stored(at))),
            asked_at: row.get::<_, Option<i64>>(6)?.map(|at| Timestamp(from_stored(at))),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn stage(code: i64) -> rusqlite::Result<Stage> {
    Ok(match code {
        0 => Stage::Pending,
        1 => Stage::Closed,
        2 => Stage::Finished,
        3 => Stage::Failed,
        4 => Stage::Deleted,
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(1, other)),
    })
}

pub(super) fn delete_key(tx: &Transaction<'_>, of: KeyUse, id: u8) -> Result<(), StoreError> {
    tx.execute(&format!("DELETE FROM {} WHERE id = ?1", table(of)), [id])?;
    Ok(())
}

pub(super) fn replace_sealed(
    tx: &Transaction<'_>,
    secret: Secret<'_>,
    from: &[u8],
    to: &[u8],
) -> Result<bool, StoreError> {
    let changed = match secret {
        Secret::Task(id) => tx.execute(
            "UPDATE tasks SET sealed = ?3 WHERE id = ?1 AND sealed = ?2",
            (id.as_bytes(), from, to),
        )?,
        Secret::Key(of, id) => tx.execute(
            &format!("UPDATE {} SET sealed = ?3 WHERE id = ?1 AND sealed = ?2", table(of)),
            (id, from, to),
        )?,
    };
    Ok(changed == 1)
}

pub(super) fn retry_stuck(tx: &Transaction<'_>, task: &TaskId) -> Result<u64, StoreError> {
    let task = task_row(tx, task)?.key;
    let reports = "SELECT coalesce(sum(reports), 0) FROM segments WHERE task = ?1 AND stuck = 1";
    let reports = tx.query_row(reports, [task], |row| row.get(0))?;
    tx.execute(
        "UPDATE segments SET stuck = 0, abandoned = 0 WHERE task = ?1 AND stuck = 1",
        [task],
    )?;
    Ok(from_stored(reports))
}

pub(super) fn forget(tx: &Transaction<'_>, expiry: &Expiry) -> Result<Forgotten, StoreError> {
    let mut forgotten = Forgotten::default();
    for (task, time) in &expiry.reports {
        let task = task_row(tx, task)?.key;
        // Remembered first: a clock that is put back must not make a replay of a new report.
        let horizon = "UPDATE tasks SET horizon = max(horizon, ?2) WHERE key = ?1";
        tx.prepare_cached(horizon)?.execute((task, span(*time)))?;
        forgotten.reports += replay::forget(tx, task, span(*time))?;
    }
    forgotten.responses = forget_responses(tx, expiry.responses)?;
    forgotten.more = forgotten.responses >= AT_ONCE;
    Ok(forgotten)
}

fn forget_responses(tx: &Transaction<'_>, before: Timestamp) -> Result<u64, StoreError> {
    let jobs = "DELETE FROM helper_jobs WHERE key IN (
                    SELECT key FROM helper_jobs WHERE added < ?1 LIMIT ?2)";
    let limit = (stored(before.0), stored(AT_ONCE));
    let jobs = tx.prepare_cached(jobs)?.execute(limit)?;
    // A collection that is over: its blobs go, as if its collector had deleted it. That its batch
    // was collected stays.
    let collections = "UPDATE collections SET state = 4, request = x'', blob = x'' WHERE key IN (
             SELECT c.key FROM collections c JOIN collected d
             ON d.task = c.task AND d.collection = c.id
             WHERE c.state IN (2, 3) AND d.closed_at < ?1 LIMIT ?2)";
    let collections = tx.prepare_cached(collections)?.execute(limit)?;
    // One that failed and closed nothing leaves nothing: an identical request begins anew.
    let failed = "DELETE FROM collections WHERE key IN (
             SELECT c.key FROM collections c WHERE c.state = 3 AND coalesce(c.asked, 0) < ?1
             AND NOT EXISTS (
                 SELECT 1 FROM collected d WHERE d.task = c.task AND d.collection = c.id)
             LIMIT ?2)";
    let failed = tx.prepare_cached(failed)?.execute(limit)?;
    Ok((jobs + collections + failed) as u64)
}

/// Rows of one kind that one call forgets: a fraction of a second.
const AT_ONCE: u64 = 20_000;
