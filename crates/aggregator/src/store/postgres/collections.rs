//! Collections: what was asked for, what was closed, what was answered.

use super::{
    End, Failure, Pool, TaskRow, Tx, blob, bytes, from_stored, get,
    locks::{self, Hold},
    ranges, record, stored, time_from_stored,
};
use crate::store::{
    BatchingMode, Blob, BucketKey, BucketRange, BucketShard, Closed, Closing, CollectionId,
    CollectionState, Decide, Kept, MOST_PENDING, NewCollection, Outcome, PendingCollection,
    Started, StoreError, Then, Timestamp, Wanted, job::last_wait,
};
use postgres::{Row, fallible_iterator::FallibleIterator};
use sha2::{Digest, Sha256};
use sottovoce_dap::ids::{BatchId, TaskId};
use std::time::Duration;

const PENDING: i16 = 0;
const CLOSED: i16 = 1;
const FINISHED: i16 = 2;
const FAILED: i16 = 3;
const DELETED: i16 = 4;

/// A collection as it is found.
struct Found {
    id: CollectionId,
    state: CollectionState,
    cut: i64,
}

pub(super) fn start(
    tx: &mut Tx<'_>,
    now: Timestamp,
    new: &NewCollection<'_>,
    id_for: &dyn Fn(u64) -> CollectionId,
) -> Result<Started, Failure> {
    let task = locks::batches(tx, new.task, Hold::Alone)?.key;
    let digest: [u8; 32] = Sha256::digest(new.request).into();
    if let Some(found) = find_by_request(tx, task, &digest)? {
        let failed = matches!(found.state, CollectionState::Failed(_));
        if !failed || closed_range(tx, task, found.id)?.is_some() {
            return Ok(Started::Existing(found.id, found.state));
        }
        check_room(tx, task)?;
        restart(tx, now, task, found.id)?;
        return Ok(Started::New(found.id));
    }
    let sql = "SELECT count(*) FROM collections WHERE task = $1 AND digest = $2 AND state = 4";
    let row = tx.row(sql, &[&task, &&digest[..]])?;
    let generation = row.map_or(Ok(0), |row| get(&row, 0))?;
    let id = id_for(from_stored(generation));
    if find(tx, task, id)?.is_some() {
        return Err(StoreError::CollectionIdTaken.into());
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
fn check_room(tx: &mut Tx<'_>, task: i32) -> Result<(), Failure> {
    let sql = "SELECT count(*) FROM collections WHERE task = $1 AND state = 0";
    let pending = tx.row(sql, &[&task])?.map_or(Ok(0), |row| get::<i64>(&row, 0))?;
    if from_stored(pending) < MOST_PENDING {
        Ok(())
    } else {
        Err(StoreError::TooManyCollections.into())
    }
}

/// The cut is the task's last segment: a pending collection waits for those up to it. One that is
/// just being added by others counts as later, whatever its key.
fn insert(
    tx: &mut Tx<'_>,
    task: i32,
    id: CollectionId,
    request: &[u8],
    digest: &[u8; 32],
    range: Option<&BucketRange>,
    now: Timestamp,
) -> Result<(), Failure> {
    tx.execute(
        "INSERT INTO collections
             (task, id, digest, state, due, asked, cut, low, high, request, blob)
         VALUES ($1, $2, $3, 0, $4, $4,
             (SELECT coalesce(max(key), 0) FROM segments WHERE task = $1), $5, $6, $7, '')",
        &[
            &task,
            &&id.0[..],
            &&digest[..],
            &stored(now.0),
            &range.map(|range| range.low().as_bytes()),
            &range.map(|range| range.high().as_bytes()),
            &request,
        ],
    )?;
    Ok(())
}

fn restart(tx: &mut Tx<'_>, now: Timestamp, task: i32, id: CollectionId) -> Result<(), Failure> {
    tx.execute(
        "UPDATE collections SET state = 0, due = $3, asked = $3, attempt = 0, blob = '',
             cut = (SELECT coalesce(max(key), 0) FROM segments WHERE task = $1)
         WHERE task = $1 AND id = $2",
        &[&task, &&id.0[..], &stored(now.0)],
    )?;
    Ok(())
}

/// What another replica is just taking or changing is passed over: it is due again.
pub(super) fn pending(
    tx: &mut Tx<'_>,
    now: Timestamp,
    retry_at: Timestamp,
    limit: usize,
) -> Result<Vec<PendingCollection>, Failure> {
    let rows = tx.rows(
        "WITH found AS MATERIALIZED (
             SELECT task, id, due, key FROM collections WHERE state < 2 AND (due <= $1 OR due > $4)
             ORDER BY due, key LIMIT $2 FOR UPDATE SKIP LOCKED),
         taken AS (
             UPDATE collections c SET due = $3, attempt = attempt + 1 FROM found
             WHERE c.task = found.task AND c.id = found.id
             RETURNING c.task, c.id, c.state, c.blob, c.request, c.attempt, found.due, found.key)
         SELECT taken.id, state, blob, t.id, request, attempt
         FROM taken JOIN tasks t ON t.key = taken.task ORDER BY taken.due, taken.key",
        &[
            &stored(now.0),
            &stored(limit as u64),
            &stored(retry_at.0),
            &stored(last_wait(retry_at, Duration::ZERO).0),
        ],
    )?;
    let collection = |row| {
        Ok(PendingCollection {
            id: CollectionId(bytes(row, 0)?),
            state: state(row, 1, 2)?,
            task: TaskId::new(bytes(row, 3)?),
            request: blob(row, 4)?,
            attempt: u32::try_from(get::<i32>(row, 5)?).unwrap_or(u32::MAX),
        })
    };
    rows.iter().map(collection).collect()
}

pub(super) fn next_batch(pool: &Pool, task: &TaskId) -> Result<Option<BatchId>, Failure> {
    let rows = pool.read(
        "SELECT (
             SELECT id FROM (
                 SELECT key, id FROM batches WHERE task = t.key AND state = 1
                 UNION ALL
                 -- Of any time, or of a replica of an earlier version, which does not mark it as full.
                 SELECT key, id FROM batches f WHERE task = t.key AND state = 0 AND time IS NULL
                 AND abs(t.target) <=
                     (SELECT sum(reports) FROM shards WHERE task = t.key AND bucket = f.id)) b
             WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE task = t.key AND batch = b.id)
             AND (t.target < 0 OR 1 = (
                 SELECT count(DISTINCT time) FROM shards s CROSS JOIN LATERAL
                     (VALUES (s.first), (s.last)) AS of (time)
                 WHERE s.task = t.key AND s.bucket = b.id))
             ORDER BY key LIMIT 1)
         FROM tasks t WHERE t.id = $1",
        &[&&task.as_bytes()[..]],
    )?;
    let row = rows.first().ok_or(StoreError::UnknownTask(*task))?;
    let there = get::<Option<&[u8]>>(row, 0)?.is_some();
    if there { Ok(Some(BatchId::new(bytes(row, 0)?))) } else { Ok(None) }
}

pub(super) fn close(
    tx: &mut Tx<'_>,
    now: Timestamp,
    closing: &Closing<'_>,
    decide: &mut Decide<'_>,
) -> Result<End<Closed>, Failure> {
    let task = locks::batches(tx, closing.task, Hold::Alone)?;
    let found = find(tx, task.key, closing.id)?;
    let cut = found.as_ref().map_or(i64::MAX, |found| found.cut);
    match (found.as_ref().map(|found| &found.state), closing.then) {
        (None | Some(CollectionState::Pending), _) => {}
        (Some(CollectionState::Closed(kept)), _)
        | (Some(CollectionState::Finished(kept)), Then::Finish) => {
            return Ok(End::Undo(Closed::Kept(kept.clone())));
        }
        (Some(over), _) => return Ok(End::Undo(Closed::Over(over.clone()))),
    }
    if ranges::overlaps_collected(tx, task.key, closing.range)? {
        return Ok(End::Undo(Closed::Overlap));
    }
    if is_busy(tx, task, closing.range, cut)? {
        return Ok(End::Undo(Closed::Busy));
    }
    let Some(kept) = judge(tx, task.key, closing.range, decide)? else {
        // Lets in what arrived since, or a batch that was too small would never grow.
        tx.execute(
            "UPDATE collections SET
                 cut = (SELECT coalesce(max(key), 0) FROM segments WHERE task = $1)
             WHERE task = $1 AND id = $2",
            &[&task.key, &&closing.id.0[..]],
        )?;
        return Ok(End::Keep(Closed::Refused));
    };
    // Uploads went on while the shards were read, which may take long. Now they stand still, so
    // that each comes before the batch is closed, and counts here, or after, and is refused.
    locks::stop_uploads(tx, task.key)?;
    if is_busy(tx, task, closing.range, cut)? {
        return Ok(End::Undo(Closed::Busy));
    }
    keep(tx, now, task.key, closing, found.is_some(), &kept.blob)?;
    record::log(tx, kept.entry.as_slice())?;
    Ok(End::Keep(Closed::Kept(kept.blob)))
}

/// Whether the batch may still grow by what is in flight or waited at the cut.
fn is_busy(tx: &mut Tx<'_>, task: TaskRow, range: &BucketRange, cut: i64) -> Result<bool, Failure> {
    let (low, high) = (range.low().as_bytes(), range.high().as_bytes());
    let row = match task.mode {
        BatchingMode::TimeInterval => tx.row(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE task = $1 AND first < $3 AND last >= $2)
             OR EXISTS (SELECT 1 FROM segments WHERE task = $1 AND job IS NULL AND NOT stuck
                        AND coalesce(place, key) <= $4 AND first < $3 AND last >= $2)",
            &[&task.key, &low, &high, &cut],
        )?,
        // Waiting reports of a leader-selected task have no batch yet.
        _ => tx.row(
            "SELECT EXISTS (SELECT 1 FROM jobs WHERE task = $1 AND batch < $3 AND batch >= $2)",
            &[&task.key, &low, &high],
        )?,
    };
    row.map_or(Ok(false), |row| get(&row, 0))
}

/// Lets `decide` see the shards one at a time: all of a large batch might not fit in memory.
fn judge(
    tx: &mut Tx<'_>,
    task: i32,
    range: &BucketRange,
    decide: &mut Decide<'_>,
) -> Result<Option<Kept>, Failure> {
    let mut rows = tx.stream(
        "SELECT bucket, reports, checksum, first, last, share FROM shards
         WHERE task = $1 AND bucket >= $2 AND bucket < $3 ORDER BY bucket, key",
        &[&task, &range.low().as_bytes(), &range.high().as_bytes()],
    )?;
    let mut failure = None;
    let mut next = || rows.next()?.as_ref().map(shard).transpose();
    let kept = decide(&mut std::iter::from_fn(|| {
        // The first failure ends the shards and, below, the transaction: what `decide` made of
        // half a batch is never kept.
        if failure.is_some() {
            return None;
        }
        next().unwrap_or_else(|error| {
            failure = Some(error);
            None
        })
    }));
    failure.map_or(Ok(kept), Err)
}

fn shard(row: &Row) -> Result<BucketShard, Failure> {
    Ok(BucketShard {
        key: BucketKey::from_stored(get(row, 0)?),
        reports: from_stored(get(row, 1)?),
        checksum: bytes(row, 2)?,
        first: time_from_stored(bytes(row, 3)?),
        last: time_from_stored(bytes(row, 4)?),
        share: blob(row, 5)?,
    })
}

/// Marks the batch collected and keeps the blob.
fn keep(
    tx: &mut Tx<'_>,
    now: Timestamp,
    task: i32,
    closing: &Closing<'_>,
    started: bool,
    kept: &Blob,
) -> Result<(), Failure> {
    let (low, high) = (closing.range.low().as_bytes(), closing.range.high().as_bytes());
    if !started {
        let digest = Sha256::digest(closing.request).into();
        let range = Some(closing.range);
        insert(tx, task, closing.id, closing.request, &digest, range, now)?;
    }
    tx.execute(
        "INSERT INTO collected VALUES ($1, $2, $3, $4, $5)",
        &[&task, &low, &high, &&closing.id.0[..], &stored(now.0)],
    )?;
    let code = match closing.then {
        Then::AwaitPeer => CLOSED,
        Then::Finish => FINISHED,
    };
    set_state(tx, task, closing.id, code, kept)?;
    let sql = "UPDATE batches SET state = 2 WHERE task = $1 AND id >= $2 AND id < $3";
    tx.execute(sql, &[&task, &low, &high])?;
    if closing.then == Then::Finish { delete_shards(tx, task, low, high) } else { Ok(()) }
}

pub(super) fn finish(
    tx: &mut Tx<'_>,
    task: &TaskId,
    id: CollectionId,
    outcome: &Outcome,
) -> Result<CollectionState, Failure> {
    let task = locks::batches(tx, task, Hold::Alone)?.key;
    let found = find(tx, task, id)?.ok_or(StoreError::UnknownCollection)?;
    match found.state {
        CollectionState::Pending | CollectionState::Closed(_) => {}
        over => return Ok(over),
    }
    let range = closed_range(tx, task, id)?;
    match (outcome, range) {
        (Outcome::Finished { .. }, None) => return Err(StoreError::NotClosed.into()),
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
    set_state(tx, task, id, code, blob)?;
    Ok(match outcome {
        Outcome::Finished { .. } => CollectionState::Finished(blob.clone()),
        _ => CollectionState::Failed(blob.clone()),
    })
}

/// Keeps a leader-selected batch from being the next one.
fn set_aside(tx: &mut Tx<'_>, task: i32, low: &[u8], high: &[u8]) -> Result<(), Failure> {
    let sql = "UPDATE batches SET state = 3 WHERE task = $1 AND id >= $2 AND id < $3";
    tx.execute(sql, &[&task, &low, &high])?;
    Ok(())
}

/// Opens a batch again. Its shards are all still there: only an end that stands deletes them.
fn reopen(
    tx: &mut Tx<'_>,
    task: i32,
    id: CollectionId,
    low: &[u8],
    high: &[u8],
) -> Result<(), Failure> {
    let sql = "DELETE FROM collected WHERE task = $1 AND collection = $2";
    tx.execute(sql, &[&task, &&id.0[..]])?;
    tx.execute(
        "UPDATE batches b SET state = CASE WHEN
             (SELECT sum(reports) FROM shards WHERE task = $1 AND bucket = b.id) >=
             (SELECT abs(target) FROM tasks WHERE key = $1) THEN 1 ELSE 0 END
         WHERE task = $1 AND id >= $2 AND id < $3",
        &[&task, &low, &high],
    )?;
    Ok(())
}

pub(super) fn delete(tx: &mut Tx<'_>, task: &TaskId, id: CollectionId) -> Result<(), Failure> {
    let task = locks::batches(tx, task, Hold::Alone)?.key;
    if let Some((low, high)) = closed_range(tx, task, id)? {
        delete_shards(tx, task, &low, &high)?;
    }
    tx.execute(
        "UPDATE collections SET state = $3, request = '', blob = '' WHERE task = $1 AND id = $2",
        &[&task, &&id.0[..], &DELETED],
    )?;
    Ok(())
}

pub(super) fn collection(
    pool: &Pool,
    task: &TaskId,
    id: CollectionId,
) -> Result<Option<CollectionState>, Failure> {
    let rows = pool.read(
        "SELECT c.task, c.state, c.blob FROM tasks t
         LEFT JOIN collections c ON c.task = t.key AND c.id = $2 WHERE t.id = $1",
        &[&&task.as_bytes()[..], &&id.0[..]],
    )?;
    let row = rows.first().ok_or(StoreError::UnknownTask(*task))?;
    let there = get::<Option<i32>>(row, 0)?.is_some();
    if there { state(row, 1, 2).map(Some) } else { Ok(None) }
}

fn find(tx: &mut Tx<'_>, task: i32, id: CollectionId) -> Result<Option<Found>, Failure> {
    let sql = "SELECT id, state, blob, cut FROM collections WHERE task = $1 AND id = $2";
    tx.row(sql, &[&task, &&id.0[..]])?.as_ref().map(found).transpose()
}

/// The collection of a request that was not deleted; there is at most one.
fn find_by_request(
    tx: &mut Tx<'_>,
    task: i32,
    digest: &[u8; 32],
) -> Result<Option<Found>, Failure> {
    let sql = "SELECT id, state, blob, cut FROM collections
               WHERE task = $1 AND digest = $2 AND state < 4";
    tx.row(sql, &[&task, &&digest[..]])?.as_ref().map(found).transpose()
}

/// The range that a collection has closed, if it has.
#[allow(clippy::type_complexity, reason = "two keys of the database, nothing more")]
fn closed_range(
    tx: &mut Tx<'_>,
    task: i32,
    id: CollectionId,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, Failure> {
    let sql = "SELECT low, high FROM collected WHERE task = $1 AND collection = $2";
    let row = tx.row(sql, &[&task, &&id.0[..]])?;
    row.map(|row| Ok((get(&row, 0)?, get(&row, 1)?))).transpose()
}

fn set_state(
    tx: &mut Tx<'_>,
    task: i32,
    id: CollectionId,
    code: i16,
    blob: &Blob,
) -> Result<(), Failure> {
    let sql = "UPDATE collections SET state = $3, blob = $4 WHERE task = $1 AND id = $2";
    tx.execute(sql, &[&task, &&id.0[..], &code, &&**blob])?;
    Ok(())
}

fn delete_shards(tx: &mut Tx<'_>, task: i32, low: &[u8], high: &[u8]) -> Result<(), Failure> {
    let sql = "DELETE FROM shards WHERE task = $1 AND bucket >= $2 AND bucket < $3";
    tx.execute(sql, &[&task, &low, &high])?;
    Ok(())
}

fn found(row: &Row) -> Result<Found, Failure> {
    Ok(Found { id: CollectionId(bytes(row, 0)?), state: state(row, 1, 2)?, cut: get(row, 3)? })
}

fn state(row: &Row, code: usize, kept: usize) -> Result<CollectionState, Failure> {
    Ok(match get::<i16>(row, code)? {
        PENDING => CollectionState::Pending,
        CLOSED => CollectionState::Closed(blob(row, kept)?),
        FINISHED => CollectionState::Finished(blob(row, kept)?),
        FAILED => CollectionState::Failed(blob(row, kept)?),
        DELETED => CollectionState::Deleted,
        other => return Err(Failure::corrupt(format!("a collection in state {other}"))),
    })
}
