//! Which leader-selected batch a new job goes in: the oldest with room, else a new one.

use super::{Failure, Load, Tx, bytes, from_stored, get};
use crate::store::{BatchingMode, bucket::time_key};
use postgres::types::ToSql;
use sottovoce_dap::{ids::BatchId, time::Time};
use std::collections::{BTreeMap, BTreeSet};

/// What the batches of a job have in common: their task and, if they are of one time, that.
type Kind = (i32, Option<Time>);

/// A leader-selected batch that takes jobs, with its reports: verified and on their way.
struct OpenBatch {
    id: BatchId,
    reports: u64,
}

/// Puts each job of a leader-selected task in a batch.
pub(super) fn assign(tx: &mut Tx<'_>, loads: &mut [Load<'_>]) -> Result<(), Failure> {
    let kinds: BTreeSet<Kind> = loads.iter().filter_map(|load| Some(kind(load)?.0)).collect();
    if kinds.is_empty() {
        return Ok(());
    }
    let mut open = of_one_time(tx, &kinds)?;
    open.extend(of_any_time(tx, &kinds)?);
    let mut new = Vec::new();
    for load in loads {
        let Some((kind, target)) = kind(load) else { continue };
        let batches: &mut Vec<OpenBatch> = open.entry(kind).or_default();
        let at = match batches.iter().position(|batch| batch.reports < target) {
            Some(at) => at,
            None => {
                let id = BatchId::random()?;
                new.push((kind, id));
                batches.push(OpenBatch { id, reports: 0 });
                batches.len() - 1
            }
        };
        batches[at].reports += load.reports();
        load.batch = Some(batches[at].id);
    }
    insert(tx, &new)
}

/// The kind of batch that a job needs, and the batch's target.
fn kind(load: &Load<'_>) -> Option<(Kind, u64)> {
    let task = load.task.key;
    match load.task.mode {
        BatchingMode::TimeInterval => None,
        BatchingMode::LeaderSelected { target } => Some(((task, load.first()), target)),
        BatchingMode::LeaderSelectedAnyTime { target } => Some(((task, None), target)),
    }
}

/// Open batches of some times, oldest first, but those of which nothing is left: the helper may have
/// counted reports of another time for them. Those without a time are of replicas of an earlier version.
///
/// Locked, so that a commit that leaves one empty does not forget it before our job is in it.
fn of_one_time(
    tx: &mut Tx<'_>,
    kinds: &BTreeSet<Kind>,
) -> Result<BTreeMap<Kind, Vec<OpenBatch>>, Failure> {
    let of_time =
        kinds.iter().filter_map(|(task, time)| Some((*task, time_key((*time)?).to_vec())));
    let (tasks, times): (Vec<_>, Vec<_>) = of_time.unzip();
    let mut open = BTreeMap::<_, Vec<_>>::new();
    if tasks.is_empty() {
        return Ok(open);
    }
    let (mut found, key) = (Vec::new(), [&tasks as &(dyn ToSql + Sync), &times]);
    for sql in [OF_TIME, OF_UNKNOWN_TIME] {
        found.extend(tx.rows(sql, &key)?);
    }
    let (mut tasks, mut keys, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for row in &found {
        tasks.push(get::<i32>(row, 0)?);
        keys.push(get::<i64>(row, 1)?);
        times.push(get::<Vec<u8>>(row, 2)?);
    }
    // What was committed while we waited for a lock is seen by another statement.
    let rows = tx.rows(
        "SELECT b.task, b.id, n.time, r.reports::bigint
         FROM unnest($1::integer[], $2::bigint[], $3::bytea[]) AS n (task, key, time)
         JOIN batches b ON b.task = n.task AND b.key = n.key AND b.state = 0
         CROSS JOIN LATERAL (
             SELECT sum(reports) AS reports, bool_and(first = n.time AND last = n.time) AS fits FROM (
                 SELECT reports, first, last FROM shards WHERE task = b.task AND bucket = b.id
                 UNION ALL
                 SELECT reports, first, last FROM jobs WHERE task = b.task AND batch = b.id) parts) r
         WHERE r.reports IS NOT NULL AND (b.time IS NOT NULL OR r.fits)
         ORDER BY b.task, b.key",
        &[&tasks, &keys, &times],
    )?;
    for row in &rows {
        let time = super::time_from_stored(bytes(row, 2)?);
        let batch =
            OpenBatch { id: BatchId::new(bytes(row, 1)?), reports: from_stored(get(row, 3)?) };
        open.entry((get(row, 0)?, Some(time))).or_default().push(batch);
    }
    Ok(open)
}

/// Two queries, for each to have an index.
const OF_TIME: &str = "SELECT n.task, b.key, n.time
    FROM unnest($1::integer[], $2::bytea[]) AS n (task, time) CROSS JOIN LATERAL (
        SELECT key FROM batches WHERE task = n.task AND state = 0 AND time = n.time
        ORDER BY key FOR SHARE) b";
const OF_UNKNOWN_TIME: &str = "SELECT n.task, b.key, n.time
    FROM unnest($1::integer[], $2::bytea[]) AS n (task, time) CROSS JOIN LATERAL (
        SELECT key FROM batches WHERE task = n.task AND state = 0 AND time IS NULL
        ORDER BY key FOR SHARE) b";

/// The oldest open batches of tasks whose batches are of any time.
fn of_any_time(
    tx: &mut Tx<'_>,
    kinds: &BTreeSet<Kind>,
) -> Result<BTreeMap<Kind, Vec<OpenBatch>>, Failure> {
    let tasks = kinds.iter().filter(|(_, time)| time.is_none()).map(|(task, _)| *task);
    let tasks: Vec<i32> = tasks.collect();
    let mut open = BTreeMap::<_, Vec<_>>::new();
    if tasks.is_empty() {
        return Ok(open);
    }
    // They are no longer of one time, if they were.
    let sql = "UPDATE batches SET time = NULL
               WHERE task = ANY ($1) AND state = 0 AND time IS NOT NULL";
    tx.execute(sql, &[&tasks])?;
    let rows = tx.rows(
        "SELECT b.task, b.id, (
             (SELECT coalesce(sum(reports), 0) FROM shards WHERE task = b.task AND bucket = b.id) +
             (SELECT coalesce(sum(reports), 0) FROM jobs WHERE task = b.task AND batch = b.id)
         )::bigint
         FROM unnest($1::integer[]) AS n (task) CROSS JOIN LATERAL (
             SELECT task, key, id FROM batches WHERE task = n.task AND state = 0
             ORDER BY key LIMIT $2) b
         ORDER BY b.task, b.key",
        &[&tasks, &MOST_LOOKED_AT],
    )?;
    for row in &rows {
        let batch =
            OpenBatch { id: BatchId::new(bytes(row, 1)?), reports: from_stored(get(row, 2)?) };
        open.entry((get(row, 0)?, None)).or_default().push(batch);
    }
    Ok(open)
}

fn insert(tx: &mut Tx<'_>, new: &[(Kind, BatchId)]) -> Result<(), Failure> {
    if new.is_empty() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO batches (task, id, time)
         SELECT task, id, time FROM unnest($1::integer[], $2::bytea[], $3::bytea[])
             WITH ORDINALITY AS n (task, id, time, place) ORDER BY place",
        &[
            &new.iter().map(|((task, _), _)| *task).collect::<Vec<_>>(),
            &new.iter().map(|(_, id)| &id.as_bytes()[..]).collect::<Vec<_>>(),
            &new.iter()
                .map(|((_, time), _)| time.map(|time| time_key(time).to_vec()))
                .collect::<Vec<_>>(),
        ],
    )?;
    Ok(())
}

/// Open batches of any time looked at, oldest first. Another is only opened when none has room, so all
/// but the last few are full but for what was refused.
const MOST_LOOKED_AT: i64 = 256;
