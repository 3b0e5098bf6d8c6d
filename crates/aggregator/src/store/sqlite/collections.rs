//! Collections: what was asked for, what was closed, what was answered.

use super::{TaskRow, from_stored, record, stored, task_row, tasks::blob, time_from_stored};
use crate::store::{
    BatchingMode, Blob, BucketKey, BucketRange, BucketShard, Closed, Closing, CollectionId,
    CollectionState, Decide, Kept, MOST_PENDING, NewCollection, Outcome, PendingCollection,
    Started, StoreError, Then, Timestamp, Wanted, job::last_wait,
};
use rusqlite::{OptionalExtension, Row, Transaction};
use sha2::{Digest, Sha256};
use sottovoce_dap::ids::{BatchId, TaskId};
use std::time::Duration;

const PENDING: i64 = 0;
const CLOSED: i64 = 1;
const FINISHED: i64 = 2;
const FAILED: i64 = 3;
const DELETED: i64 = 4;

/// A collection as it is found.
pub(super) struct Found {
    key: i64,
    id: CollectionId,
    pub(super) state: CollectionState,
    cut: i64,
}

pub(super) fn start(
    tx: &Transaction<'_>,
    now: Timestamp,
    new: &NewCollection<'_>,
    id_for: &dyn Fn(u64) -> CollectionId,
) -> Result<Started, StoreError> {
    let task = task_row(tx, new.task)?.key;
    let digest: [u8; 32] = Sha256::digest(new.request).into();
    if let Some(found) = find_by_request(tx, task, &digest)? {
        let failed = matches!(found.state, CollectionState::Failed(_));
        if !failed || closed_range(tx, task, found.id)?.is_some() {
            return Ok(Started::Existing(found.id, found.state));
        }
        check_room(tx, task)?;
        restart(tx, now, &found)?;
        return Ok(Started::New(found.id));
    }
    let sql = "SELECT count(*) FROM collections WHERE task = ?1 AND digest = ?2 AND state = 4";
    let generation = tx.prepare_cached(sql)?.query_row((task, digest), |row| row.get(0))?;
    let id = id_for(from_stored(generation));
    if find(tx, task, id)?.is_some() {
        return Err(StoreError::CollectionIdTaken);
    }
    check_room(tx, task)?;
    let range = match new.wanted {
        Wanted::Range(range) => Some(range),
        Wanted::NextBatch => None,
    };
    insert(tx, task, id, new.request, &digest, range, now)?;
    Ok(Started::New(id))
}

/// Whether another collection of the task may be pending.
fn check_room(tx: &Transaction<'_>, task: i64) -> Result<(), StoreError> {
    let sql = "SELECT count(*) FROM collections WHERE task = ?1 AND state = 0";
    let pending = tx.prepare_cached(sql)?.query_row([task], |row| row.get(0))?;
    if from_stored(pending) < MOST_PENDING { Ok(()) } else { Err(StoreError::TooManyCollections) }
}

fn insert(
    tx: &Transaction<'_>,
    task: i64,
    id: CollectionId,
    request: &[u8],
    digest: &[u8; 32],
    range: Option<&BucketRange>,
    now: Timestamp,
) -> Result<i64, StoreError> {
    tx.prepare_cached(
        "INSERT INTO collections
            (task, id, digest, state, due, asked, cut, low, high, request, blob)
         VALUES (?1, ?2, ?3, 0, ?4, ?4, ?5, ?6, ?7, ?8, x'')",
    )?
    .execute((
        task,
        id.0,
        digest,
        stored(now.0),
        last_segment(tx)?,
        range.map(|range| range.low().as_bytes()),
        range.map(|range| range.high().as_bytes()),
        request,
    ))?;
    Ok(tx.last_insert_rowid())
}

fn restart(tx: &Transaction<'_>, now: Timestamp, found: &Found) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE collections SET state = 0, due = ?2, asked = ?2, attempt = 0, cut = ?3, blob = x''
         WHERE key = ?1",
    )?
    .execute((found.key, stored(now.0), last_segment(tx)?))?;
    Ok(())
}

/// The last segment that there is: a pending collection waits for those up to it.
fn last_segment(tx: &Transaction<'_>) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(max(key), 0) FROM segments";
    Ok(tx.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

pub(super) fn pending(
    tx: &Transaction<'_>,
    now: Timestamp,
    retry_at: Timestamp,
    limit: usize,
) -> Result<Vec<PendingCollection>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT c.key, c.id, c.state, c.blob, tasks.id, request, attempt + 1
         FROM collections c JOIN tasks ON tasks.key = task
         WHERE state < 2 AND (due <= ?1 OR due > ?3) ORDER BY due, c.key LIMIT ?2",
    )?;
    let latest = last_wait(retry_at, Duration::ZERO).0;
    let key = (stored(now.0), stored(limit as u64), stored(latest));
    let rows = statement.query_map(key, |row| {
        let key: i64 = row.get(0)?;
        let collection = PendingCollection {
            id: CollectionId(row.get(1)?),
            state: state(row, 2, 3)?,
            task: TaskId::new(row.get(4)?),
            request: blob(row, 5)?,
            attempt: row.get(6)?,
        };
        Ok((key, collection))
    })?;
    let mut due = Vec::new();
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        tx.prepare_cached("UPDATE collections SET due = ?2, attempt = ?3 WHERE key = ?1")?
            .execute((row.0, stored(retry_at.0), row.1.attempt))?;
        due.push(row.1);
    }
    Ok(due)
}

pub(super) fn next_batch(
    tx: &Transaction<'_>,
    task: &TaskId,
) -> Result<Option<BatchId>, StoreError> {
    let task = task_row(tx, task)?.key;
    let mut statement = tx.prepare_cached(
        "SELECT id FROM batches b WHERE task = ?1 AND state = 1
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE task = ?1 AND batch = b.id)
         AND ((SELECT target FROM tasks WHERE key = ?1) < 0 OR
            (SELECT min(first) = max(last) FROM shards WHERE task = ?1 AND bucket = b.id))
         ORDER BY key LIMIT 1",
    )?;
    Ok(statement.query_row([task], |row| Ok(BatchId::new(row.get(0)?))).optional()?)
}

pub(super) fn close(
    tx: &Transaction<'_>,
    now: Timestamp,
    closing: &Closing<'_>,
    decide: &mut Decide<'_>,
) -> Result<Closed, StoreError> {
    let task = task_row(tx, closing.task)?;
    let found = find(tx, task.key, closing.id)?;
    let cut = found.as_ref().map_or(i64::MAX, |found| found.cut);
    match (found.as_ref().map(|found| &found.state), closing.then) {
        (None | Some(CollectionState::Pending), _) => {}
        (Some(CollectionState::Closed(kept)), _)
        | (Some(CollectionState::Finished(kept)), Then::Finish) => {
            return Ok(Closed::Kept(kept.clone()));
        }
        (Some(over), _) => return Ok(Closed::Over(over.clone())),
    }
    if overlaps_collected(tx, task.key, closing.range)? {
        return Ok(Closed::Overlap);
    }
    if is_busy(tx, task, closing.range, cut)? {
        return Ok(Closed::Busy);
    }
    let Some(kept) = judge(tx, task.key, closing.range, decide)? else {
        // Lets in what arrived since, or a batch that was too small would never grow.
        if let Some(found) = found {
            tx.prepare_cached("UPDATE collections SET cut = ?2 WHERE key = ?1")?
                .execute((found.key, last_segment(tx)?))?;
        }
        return Ok(Closed::Refused);
    };
    keep(tx, now, task.key, closing, found.map(|found| found.key), &kept.blob)?;
    record::log(tx, kept.entry.as_slice())?;
    Ok(Closed::Kept(kept.blob))
}

/// Whether the batch may still grow by what is in flight or waited at the cut.
fn is_busy(
    tx: &Transaction<'_>,
    task: TaskRow,
    range: &BucketRange,
    cut: i64,
) -> Result<bool, StoreError> {
    let (low, high) = (range.low().as_bytes(), range.high().as_bytes());
    let mut jobs = tx.prepare_cached(match task.mode {
        BatchingMode::TimeInterval => {
            "SELECT 1 FROM jobs WHERE task = ?1 AND first < ?3 AND last >= ?2"
        }
        _ => "SELECT 1 FROM jobs WHERE task = ?1 AND batch < ?3 AND batch >= ?2",
    })?;
    if jobs.exists((task.key, low, high))? {
        return Ok(true);
    }
    // Waiting reports of a leader-selected task have no batch yet.
    let mut waiting = tx.prepare_cached(
        "SELECT 1 FROM segments WHERE task = ?1 AND job IS NULL AND stuck = 0
         AND coalesce(place, key) <= ?4
         AND first < ?3 AND last >= ?2",
    )?;
    let by_time = task.mode == BatchingMode::TimeInterval;
    Ok(by_time && waiting.exists((task.key, low, high, cut))?)
}

fn overlaps_collected(
    tx: &Transaction<'_>,
    task: i64,
    range: &BucketRange,
) -> Result<bool, StoreError> {
    // Ranges never overlap, so the last one that starts before our end reaches furthest.
    let mut statement = tx.prepare_cached(
        "SELECT high > ?2 FROM collected WHERE task = ?1 AND low < ?3 ORDER BY low DESC LIMIT 1",
    )?;
    let found = statement
        .query_row((task, range.low().as_bytes(), range.high().as_bytes()), |row| row.get(0));
    Ok(found.optional()?.unwrap_or(false))
}

/// Lets `decide` see the shards one at a time: all of a large batch might not fit in memory.
fn judge(
    tx: &Transaction<'_>,
    task: i64,
    range: &BucketRange,
    decide: &mut Decide<'_>,
) -> Result<Option<Kept>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT bucket, reports, checksum, first, last, share FROM shards
         WHERE task = ?1 AND bucket >= ?2 AND bucket < ?3 ORDER BY bucket, key",
    )?;
    let (low, high) = (range.low().as_bytes(), range.high().as_bytes());
    let mut rows = statement.query_map((task, low, high), shard)?;
    let mut failure = None;
    let kept = decide(&mut std::iter::from_fn(|| {
        // The first failure ends the shards and, below, the transaction: what `decide` made of
        // half a batch is never kept.
        rows.next()?.map_err(|error| failure = Some(error)).ok()
    }));
    failure.map_or(Ok(kept), |error| Err(error.into()))
}

fn shard(row: &Row<'_>) -> rusqlite::Result<BucketShard> {
    Ok(BucketShard {
        key: BucketKey::from_stored(row.get(0)?),
        reports: from_stored(row.get(1)?),
        checksum: row.get(2)?,
        first: time_from_stored(row.get(3)?),
        last: time_from_stored(row.get(4)?),
        share: blob(row, 5)?,
    })
}

/// Marks the batch collected and keeps the blob.
fn keep(
    tx: &Transaction<'_>,
    now: Timestamp,
    task: i64,
    closing: &Closing<'_>,
    row: Option<i64>,
    kept: &Blob,
) -> Result<(), StoreError> {
    let (low, high) = (closing.range.low().as_bytes(), closing.range.high().as_bytes());
    let row = if let Some(row) = row {
        row
    } else {
        let digest = Sha256::digest(closing.request).into();
        insert(tx, task, closing.id, closing.request, &digest, Some(closing.range), now)?
    };
    tx.prepare_cached("INSERT INTO collected VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        task,
        low,
        high,
        closing.id.0,
        stored(now.0),
    ))?;
    let code = match closing.then {
        Then::AwaitPeer => CLOSED,
        Then::Finish => FINISHED,
    };
    set_state(tx, row, code, kept)?;
    tx.prepare_cached("UPDATE batches SET state = 2 WHERE task = ?1 AND id >= ?2 AND id < ?3")?
        .execute((task, low, high))?;
    if closing.then == Then::Finish { delete_shards(tx, task, low, high) } else { Ok(()) }
}

pub(super) fn finish(
    tx: &Transaction<'_>,
    task: &TaskId,
    id: CollectionId,
    outcome: &Outcome,
) -> Result<CollectionState, StoreError> {
    let task = task_row(tx, task)?.key;
    let found = find(tx, task, id)?.ok_or(StoreError::UnknownCollection)?;
    match found.state {
        CollectionState::Pending | CollectionState::Closed(_) => {}
        over => return Ok(over),
    }
    let range = closed_range(tx, task, id)?;
    match (outcome, range) {
        (Outcome::Finished { .. }, None) => return Err(StoreError::NotClosed),
        (Outcome::FailedReopened(_) | Outcome::FailedAside(_), Some((low, high))) => {
            reopen(tx, task, id, &low, &high)?;
            if matches!(outcome, Outcome::FailedAside(_)) {
                set_aside(tx, task, &low, &high)?;
            }
        }
        (_, Some((low, high))) => delete_shards(tx, task, &low, &high)?,
        (_, None) => {}
    }
    let (code, blob) = match outcome {
        Outcome::Finished { response, entry } => {
            record::log(tx, std::slice::from_ref(entry))?;
            (FINISHED, response)
        }
        Outcome::Failed(blob) | Outcome::FailedReopened(blob) | Outcome::FailedAside(blob) => {
            (FAILED, blob)
        }
    };
    set_state(tx, found.key, code, blob)?;
    Ok(match outcome {
        Outcome::Finished { .. } => CollectionState::Finished(blob.clone()),
        _ => CollectionState::Failed(blob.clone()),
    })
}

/// Opens a batch again. Its shards are all still there: only an end that stands deletes them.
fn reopen(
    tx: &Transaction<'_>,
    task: i64,
    id: CollectionId,
    low: &[u8],
    high: &[u8],
) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM collected WHERE task = ?1 AND collection = ?2")?
        .execute((task, id.0))?;
    tx.prepare_cached(
        "UPDATE batches SET state =
            (SELECT coalesce(sum(reports), 0) FROM shards
             WHERE shards.task = ?1 AND bucket = batches.id) >=
            (SELECT abs(target) FROM tasks WHERE tasks.key = ?1)
         WHERE task = ?1 AND id >= ?2 AND id < ?3",
    )?
    .execute((task, low, high))?;
    Ok(())
}

/// Keeps a leader-selected batch from being the next one.
fn set_aside(tx: &Transaction<'_>, task: i64, low: &[u8], high: &[u8]) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE batches SET state = 3 WHERE task = ?1 AND id >= ?2 AND id < ?3")?
        .execute((task, low, high))?;
    Ok(())
}

pub(super) fn delete(
    tx: &Transaction<'_>,
    task: &TaskId,
    id: CollectionId,
) -> Result<(), StoreError> {
    let task = task_row(tx, task)?.key;
    let Some(found) = find(tx, task, id)? else { return Ok(()) };
    if let Some((low, high)) = closed_range(tx, task, id)? {
        delete_shards(tx, task, &low, &high)?;
    }
    tx.prepare_cached(
        "UPDATE collections SET state = ?2, request = x'', blob = x'' WHERE key = ?1",
    )?
    .execute((found.key, DELETED))?;
    Ok(())
}

pub(super) fn find(
    tx: &Transaction<'_>,
    task: i64,
    id: CollectionId,
) -> Result<Option<Found>, StoreError> {
    let sql = "SELECT key, id, state, blob, cut FROM collections WHERE task = ?1 AND id = ?2";
    Ok(tx.prepare_cached(sql)?.query_row((task, id.0), found).optional()?)
}

/// The collection of a request that was not deleted; there is at most one.
fn find_by_request(
    tx: &Transaction<'_>,
    task: i64,
    digest: &[u8; 32],
) -> Result<Option<Found>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT key, id, state, blob, cut FROM collections
         WHERE task = ?1 AND digest = ?2 AND state < 4",
    )?;
    Ok(statement.query_row((task, digest), found).optional()?)
}

/// The range that a collection has closed, if it has.
#[allow(clippy::type_complexity, reason = "two keys of the database, nothing more")]
fn closed_range(
    tx: &Transaction<'_>,
    task: i64,
    id: CollectionId,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError> {
    let sql = "SELECT low, high FROM collected WHERE task = ?1 AND collection = ?2";
    let mut statement = tx.prepare_cached(sql)?;
    Ok(statement.query_row((task, id.0), |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

fn set_state(tx: &Transaction<'_>, key: i64, code: i64, blob: &Blob) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE collections SET state = ?2, blob = ?3 WHERE key = ?1")?
        .execute((key, code, &**blob))?;
    Ok(())
}

fn delete_shards(
    tx: &Transaction<'_>,
    task: i64,
    low: &[u8],
    high: &[u8],
) -> Result<(), StoreError> {
    let sql = "DELETE FROM shards WHERE task = ?1 AND bucket >= ?2 AND bucket < ?3";
    tx.prepare_cached(sql)?.execute((task, low, high))?;
    Ok(())
}

fn found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        key: row.get(0)?,
        id: CollectionId(row.get(1)?),
        state: state(row, 2, 3)?,
        cut: row.get(4)?,
    })
}

fn state(row: &Row<'_>, code: usize, kept: usize) -> rusqlite::Result<CollectionState> {
    Ok(match row.get(code)? {
        PENDING => CollectionState::Pending,
        CLOSED => CollectionState::Closed(blob(row, kept)?),
        FINISHED => CollectionState::Finished(blob(row, kept)?),
        FAILED => CollectionState::Failed(blob(row, kept)?),
        DELETED => CollectionState::Deleted,
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(code, other)),
    })
}
