//! Repair of a batch that the two aggregators hold differently. What adds to a batch is kept out.

use super::{
    Failure, TaskRow, Tx, bytes, from_stored, get,
    locks::{self, Hold},
    ranges, record,
};
use crate::store::{
    BatchingMode, BucketKey, Holding, Repair, Repaired, ShardName,
    repair::{Verdict, judge, sorted},
};
use postgres::Row;
use sottovoce_dap::ids::TaskId;

pub(super) fn holding(
    tx: &mut Tx<'_>,
    task: &TaskId,
    bucket: &BucketKey,
) -> Result<Holding, Failure> {
    let task = locks::batches(tx, task, Hold::Alone)?;
    Ok(Holding {
        collected: ranges::is_collected(tx, task.key, bucket)?,
        busy: is_busy(tx, task, bucket)?,
        shards: sorted(shards(tx, task, bucket)?.into_iter().map(|(_, name)| name)),
    })
}

pub(super) fn repair(tx: &mut Tx<'_>, repair: &Repair<'_>) -> Result<Repaired, Failure> {
    let task = locks::batches(tx, repair.task, Hold::Alone)?;
    if ranges::is_collected(tx, task.key, repair.bucket)? {
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
    let key = repair.bucket.as_bytes();
    tx.execute(
        "DELETE FROM shards WHERE task = $1 AND bucket = $2 AND key = ANY ($3)",
        &[&task.key, &key, &dropped],
    )?;
    tx.execute(
        "UPDATE batches SET state = CASE WHEN
             (SELECT sum(reports) FROM shards WHERE task = $1 AND bucket = $2) >=
             (SELECT abs(target) FROM tasks WHERE key = $1) THEN 1 ELSE 0 END
         WHERE task = $1 AND id = $2 AND state <> 2",
        &[&task.key, &key],
    )?;
    if dropped.is_empty() {
        return Ok(Repaired::Nothing);
    }
    record::log(tx, std::slice::from_ref(repair.entry))?;
    Ok(Repaired::Dropped(dropped.len() as u64))
}

fn shards(
    tx: &mut Tx<'_>,
    task: TaskRow,
    bucket: &BucketKey,
) -> Result<Vec<(i64, ShardName)>, Failure> {
    let rows = tx.rows(
        "SELECT key, reports, checksum FROM shards WHERE task = $1 AND bucket = $2 ORDER BY key",
        &[&task.key, &bucket.as_bytes()],
    )?;
    let named = |row: &Row| {
        let name = ShardName { reports: from_stored(get(row, 1)?), checksum: bytes(row, 2)? };
        Ok((get(row, 0)?, name))
    };
    rows.iter().map(named).collect()
}

/// Whether a job in flight may add to the bucket.
fn is_busy(tx: &mut Tx<'_>, task: TaskRow, bucket: &BucketKey) -> Result<bool, Failure> {
    let sql = if task.mode == BatchingMode::TimeInterval {
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE task = $1 AND first <= $2 AND last >= $2)"
    } else {
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE task = $1 AND batch = $2)"
    };
    let row = tx.row(sql, &[&task.key, &bucket.as_bytes()])?;
    row.map_or(Ok(false), |row| get(&row, 0))
}
