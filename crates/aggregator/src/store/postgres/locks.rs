//! The advisory locks of a task. [The parent module](super) says which verb holds which, and why.
//!
//! A verb takes its locks before it looks: each statement sees what was committed when it began,
//! so what comes after a lock sees all that its last holder did. Where a statement locks several
//! tasks it does so in the order of their keys, and a verb locks leasing before batches before
//! uploads, so nobody waits in a circle.

use super::{TaskRow, failure::Failure, get, pool::Tx, task_row};
use crate::store::StoreError;
use sottovoce_dap::ids::TaskId;
use std::collections::{BTreeSet, HashMap};

/// Who else may hold the lock.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Others that share it.
    Shared,
    /// Nobody.
    Alone,
}

/// Finds tasks that must be there, and shares the locks of their uploads.
pub(super) fn share_uploads(
    tx: &mut Tx<'_>,
    tasks: &BTreeSet<&TaskId>,
) -> Result<HashMap<TaskId, TaskRow>, Failure> {
    let ids: Vec<_> = tasks.iter().map(|id| &id.as_bytes()[..]).collect();
    let sql = "WITH found AS MATERIALIZED (
                   SELECT key, target, id FROM tasks WHERE id = ANY ($1) ORDER BY key)
               SELECT key, target, id, pg_advisory_xact_lock_shared($2, key) FROM found";
    let mut found = HashMap::new();
    for row in tx.rows(sql, &[&ids, &UPLOADS])? {
        found.insert(TaskId::new(super::bytes(&row, 2)?), task_row(&row)?);
    }
    match tasks.iter().find(|id| !found.contains_key(**id)) {
        Some(unknown) => Err(StoreError::UnknownTask(**unknown).into()),
        None => Ok(found),
    }
}

/// Keeps uploads of a task out.
pub(super) fn stop_uploads(tx: &mut Tx<'_>, task: i32) -> Result<(), Failure> {
    tx.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&UPLOADS, &task])?;
    Ok(())
}

/// Finds a task that must be there, and locks its batches.
pub(super) fn batches(tx: &mut Tx<'_>, id: &TaskId, hold: Hold) -> Result<TaskRow, Failure> {
    let sql = match hold {
        Hold::Shared => {
            "SELECT key, target, pg_advisory_xact_lock_shared($2, key) FROM tasks WHERE id = $1"
        }
        Hold::Alone => {
            "SELECT key, target, pg_advisory_xact_lock($2, key) FROM tasks WHERE id = $1"
        }
    };
    match tx.row(sql, &[&&id.as_bytes()[..], &BATCHES])? {
        Some(row) => task_row(&row),
        None => Err(StoreError::UnknownTask(*id).into()),
    }
}

/// Locks leasing of tasks, given by their keys in order, and shares the locks of their batches.
/// Returns those that it got.
///
/// Tasks that another replica leases from are left to it, unless there are no others: then this
/// waits. Those whose batch is being closed are passed over until it is.
pub(super) fn leasing(tx: &mut Tx<'_>, tasks: &[i32]) -> Result<Vec<i32>, Failure> {
    let got = try_leasing(tx, tasks)?;
    if !got.is_empty() || tasks.is_empty() {
        return Ok(got);
    }
    let sql = "SELECT pg_advisory_xact_lock($2, task) FROM unnest($1::integer[]) AS task";
    tx.execute(sql, &[&tasks, &LEASING])?;
    try_leasing(tx, tasks)
}

fn try_leasing(tx: &mut Tx<'_>, tasks: &[i32]) -> Result<Vec<i32>, Failure> {
    let sql = "SELECT task FROM unnest($1::integer[]) AS task
               WHERE pg_try_advisory_xact_lock($2, task)
               AND pg_try_advisory_xact_lock_shared($3, task)";
    tx.rows(sql, &[&tasks, &LEASING, &BATCHES])?.iter().map(|row| get(row, 0)).collect()
}

/// Locks a batch of one time until its helper's job is committed: another job that adds to it comes
/// before, and is seen, or after. A shared half of a name makes others wait, no more.
pub(super) fn batch_of_one_time(tx: &mut Tx<'_>, task: i32, batch: &[u8]) -> Result<(), Failure> {
    let start = batch.first_chunk::<4>().copied().unwrap_or_default();
    let name = i32::from_be_bytes(start) ^ task;
    tx.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&BATCH_TIME, &name])?;
    Ok(())
}

/// First halves of our locks' names, `sot` and a number; the second is the task's key. Another
/// program in the same database that uses the same ones makes us wait, no more.
pub(super) const SCHEMA: i32 = 0x736f_7400;
const LEASING: i32 = 0x736f_7401;
/// Also named where a job is locked with its task.
pub(super) const BATCHES: i32 = 0x736f_7402;
const UPLOADS: i32 = 0x736f_7403;
/// Who publishes the log, of which a database has one: the second half is 0. Taken alone, by a verb
/// that takes no other.
pub(super) const LOG: i32 = 0x736f_7405;
/// Its second half is of a batch's ID and its task. Taken before locks of replays.
const BATCH_TIME: i32 = 0x736f_7406;
/// Its second half is the task's key.
pub(super) const REPLAYS: i32 = 0x736f_7404;
