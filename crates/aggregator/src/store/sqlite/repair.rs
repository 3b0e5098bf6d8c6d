//! Repair of a batch that the two aggregators hold differently.

use super::{TaskRow, from_stored, is_collected, record, task_row};
use crate::store::{
    BatchingMode, BucketKey, Holding, Repair, Repaired, ShardName, StoreError,
    repair::{Verdict, judge, sorted},
};
use rusqlite::Transaction;
use sottovoce_dap::ids::TaskId;

pub(super) fn holding(
    tx: &Transaction<'_>,
    task: &TaskId,
    bucket: &BucketKey,
) -> Result<Holding, StoreError> {
    let task = task_row(tx, task)?;
    let key = bucket.as_bytes();
    Ok(Holding {
        collected: is_collected(tx, task.key, key, key)?,
        busy: is_busy(tx, task, bucket)?,
        shards: sorted(shards(tx, task, bucket)?.into_iter().map(|(_, name)| name)),
    })
}

pub(super) fn repair(tx: &Transaction<'_>, repair: &Repair<'_>) -> Result<Repaired, StoreError> {
    let task = task_row(tx, repair.task)?;
    let key = repair.bucket.as_bytes();
    if is_collected(tx, task.key, key, key)? {
        return Ok(Repaired::Collected);
    }
    if is_busy(tx, task, repair.bucket)? {
        return Ok(Repaired::Changed);
    }
    let dropped = match judge(&shards(tx, task, repair.bucket)?, repair) {
        Verdict::Changed => return Ok(Repaired::Changed),
        Verdict::Nothing => Vec::new(),
        Verdict::Drop(keys) => keys,
    };
    for shard in &dropped {
        tx.prepare_cached("DELETE FROM shards WHERE key = ?1")?.execute([shard])?;
    }
    put_back(tx, task.key, key)?;
    if dropped.is_empty() {
        return Ok(Repaired::Nothing);
    }
    record::log(tx, std::slice::from_ref(repair.entry))?;
    Ok(Repaired::Dropped(dropped.len() as u64))
}

fn shards(
    tx: &Transaction<'_>,
    task: TaskRow,
    bucket: &BucketKey,
) -> Result<Vec<(i64, ShardName)>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT key, reports, checksum FROM shards WHERE task = ?1 AND bucket = ?2 ORDER BY key",
    )?;
    let rows = statement.query_map((task.key, bucket.as_bytes()), |row| {
        let name = ShardName { reports: from_stored(row.get(1)?), checksum: row.get(2)? };
        Ok((row.get(0)?, name))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a job in flight may add to the bucket.
fn is_busy(tx: &Transaction<'_>, task: TaskRow, bucket: &BucketKey) -> Result<bool, StoreError> {
    let sql = if task.mode == BatchingMode::TimeInterval {
        "SELECT 1 FROM jobs WHERE task = ?1 AND first <= ?2 AND last >= ?2"
    } else {
        "SELECT 1 FROM jobs WHERE task = ?1 AND batch = ?2"
    };
    Ok(tx.prepare_cached(sql)?.exists((task.key, bucket.as_bytes()))?)
}

/// A leader-selected batch is full or takes jobs, by what is left in it.
fn put_back(tx: &Transaction<'_>, task: i64, batch: &[u8]) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE batches SET state =
            (SELECT coalesce(sum(reports), 0) FROM shards WHERE task = ?1 AND bucket = ?2) >=
            (SELECT abs(target) FROM tasks WHERE key = ?1)
         WHERE task = ?1 AND id = ?2 AND state <> 2",
    )?
    .execute((task, batch))?;
    Ok(())
}
