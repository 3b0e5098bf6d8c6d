//! Which buckets have been collected.
//!
//! Ranges of a task never overlap, so the last one that starts at or before a bucket reaches
//! furthest, and is the only one to look at.

use super::{Failure, Tx, bytes, get, time_from_stored};
use crate::store::{BucketKey, BucketRange, BucketShard, bucket::time_key};
use sottovoce_dap::time::Time;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Those of the times, each of a task, whose bucket has been collected.
pub(super) fn collected_times(
    tx: &mut Tx<'_>,
    times: &BTreeSet<(i32, Time)>,
) -> Result<HashSet<(i32, Time)>, Failure> {
    if times.is_empty() {
        return Ok(HashSet::new());
    }
    let tasks: Vec<_> = times.iter().map(|(task, _)| *task).collect();
    let keys: Vec<_> = times.iter().map(|(_, time)| time_key(*time).to_vec()).collect();
    let rows = tx.rows(COLLECTED, &[&tasks, &keys])?;
    let time = |row| Ok((get(row, 0)?, time_from_stored(bytes(row, 1)?)));
    rows.iter().map(time).collect()
}

/// For each task that has forgotten any: the first span whose report IDs are all still known.
pub(super) fn horizons(
    tx: &mut Tx<'_>,
    tasks: impl Iterator<Item = i32>,
) -> Result<HashMap<i32, i64>, Failure> {
    let tasks: Vec<_> = tasks.collect();
    let rows = tx.rows("SELECT task, span FROM horizons WHERE task = ANY ($1)", &[&tasks])?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// The buckets of the shards that have been collected, in the order of the shards.
pub(super) fn collected_buckets(
    tx: &mut Tx<'_>,
    task: i32,
    shards: &[BucketShard],
) -> Result<Vec<BucketKey>, Failure> {
    if shards.is_empty() {
        return Ok(Vec::new());
    }
    let tasks = vec![task; shards.len()];
    let keys: Vec<_> = shards.iter().map(|shard| shard.key.as_bytes()).collect();
    let rows = tx.rows(COLLECTED, &[&tasks, &keys])?;
    rows.iter().map(|row| Ok(BucketKey::from_stored(get(row, 1)?))).collect()
}

/// Whether a bucket has been collected.
pub(super) fn is_collected(
    tx: &mut Tx<'_>,
    task: i32,
    bucket: &BucketKey,
) -> Result<bool, Failure> {
    let rows = tx.rows(COLLECTED, &[&vec![task], &vec![bucket.as_bytes()]])?;
    Ok(!rows.is_empty())
}

/// Whether a bucket of the range has been collected.
pub(super) fn overlaps_collected(
    tx: &mut Tx<'_>,
    task: i32,
    range: &BucketRange,
) -> Result<bool, Failure> {
    let sql = "SELECT high > $2 FROM collected WHERE task = $1 AND low < $3
               ORDER BY low DESC LIMIT 1";
    let row = tx.row(sql, &[&task, &range.low().as_bytes(), &range.high().as_bytes()])?;
    row.map_or(Ok(false), |row| get(&row, 0))
}

const COLLECTED: &str = "
    SELECT task, key FROM unnest($1::integer[], $2::bytea[]) WITH ORDINALITY AS n (task, key, place)
    WHERE (SELECT c.high > n.key FROM collected c WHERE c.task = n.task AND c.low <= n.key
           ORDER BY c.low DESC LIMIT 1)
    ORDER BY place";
