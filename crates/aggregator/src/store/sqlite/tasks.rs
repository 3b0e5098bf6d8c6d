//! Tasks, HPKE keys and figures.

use super::{from_stored, stored, task_row};
use crate::store::{
    BatchingMode, Blob, Counts, KeyRecord, KeyUse, LostReports, Put, StoreError, TaskRecord,
    Timestamp,
};
use rusqlite::{OptionalExtension, Row, Transaction};
use sottovoce_dap::ids::TaskId;

pub(super) fn put_task(tx: &Transaction<'_>, task: &TaskRecord) -> Result<Put, StoreError> {
    if let Some(found) = self::task(tx, &task.id)? {
        let same = found.public == task.public && found.mode == task.mode;
        return if same { Ok(Put::AlreadyThere) } else { Err(StoreError::TaskConflict(task.id)) };
    }
    tx.execute(
        "INSERT INTO tasks (id, target, public, sealed) VALUES (?1, ?2, ?3, ?4)",
        (task.id.as_bytes(), task.mode.stored(), &*task.public, &*task.sealed),
    )?;
    Ok(Put::Added)
}

pub(super) fn change_task(
    tx: &Transaction<'_>,
    from: &TaskRecord,
    to: &TaskRecord,
) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE tasks SET target = ?4, public = ?5 WHERE id = ?1 AND target IS ?2 AND public = ?3",
        (from.id.as_bytes(), from.mode.stored(), &*from.public, to.mode.stored(), &*to.public),
    )?;
    if changed == 1 && to.mode.is_of_one_time() {
        find_times(tx, &to.id)?;
    }
    Ok(changed == 1)
}

/// From when times could be mixed, open batches say none; from now on they are found by it. One whose
/// reports are of one time is filled up with others of that.
fn find_times(tx: &Transaction<'_>, task: &TaskId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE batches SET time = (
             SELECT CASE WHEN min(first) = max(last) THEN min(first) END FROM (
                 SELECT first, last FROM shards WHERE task = batches.task AND bucket = batches.id
                 UNION ALL
                 SELECT first, last FROM jobs WHERE task = batches.task AND batch = batches.id))
         WHERE state = 0 AND time IS NULL AND task = (SELECT key FROM tasks WHERE id = ?1)",
        [task.as_bytes()],
    )?;
    Ok(())
}

pub(super) fn task(tx: &Transaction<'_>, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let sql = "SELECT id, target, public, sealed FROM tasks WHERE id = ?1";
    Ok(tx.prepare_cached(sql)?.query_row([id.as_bytes()], task_record).optional()?)
}

pub(super) fn tasks(tx: &Transaction<'_>) -> Result<Vec<TaskRecord>, StoreError> {
    let sql = "SELECT id, target, public, sealed FROM tasks ORDER BY key";
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([], task_record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The table of the keys of a use; all are alike.
pub(super) fn table(of: KeyUse) -> &'static str {
    match of {
        KeyUse::Hpke => "hpke_keys",
        KeyUse::Log => "log_keys",
    }
}

pub(super) fn put_key(
    tx: &Transaction<'_>,
    of: KeyUse,
    key: &KeyRecord,
) -> Result<Put, StoreError> {
    let table = table(of);
    let sql = format!("SELECT public FROM {table} WHERE id = ?1");
    let found = tx.query_row(&sql, [key.id], |row| row.get::<_, Vec<u8>>(0)).optional()?;
    match found {
        Some(public) if public == *key.public => Ok(Put::AlreadyThere),
        Some(_) => Err(StoreError::KeyConflict(key.id)),
        None => {
            let sql = format!("INSERT INTO {table} VALUES (?1, ?2, ?3, ?4)");
            tx.execute(&sql, (key.id, stored(key.offered.0), &*key.public, &*key.sealed))?;
            Ok(Put::Added)
        }
    }
}

pub(super) fn keys(tx: &Transaction<'_>, of: KeyUse) -> Result<Vec<KeyRecord>, StoreError> {
    let table = table(of);
    let sql = format!("SELECT id, offered, public, sealed FROM {table} ORDER BY offered, id");
    let mut statement = tx.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| {
        Ok(KeyRecord {
            id: row.get(0)?,
            offered: Timestamp(from_stored(row.get(1)?)),
            public: blob(row, 2)?,
            sealed: blob(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn counts(tx: &Transaction<'_>, task: &TaskId) -> Result<Counts, StoreError> {
    let key = task_row(tx, task)?.key;
    let count = |sql| Ok::<_, StoreError>(from_stored(tx.query_row(sql, [key], |row| row.get(0))?));
    Ok(Counts {
        waiting_reports: count(
            "SELECT coalesce(sum(reports), 0) FROM segments
             WHERE task = ?1 AND job IS NULL AND stuck = 0",
        )?,
        in_flight_reports: count("SELECT coalesce(sum(reports), 0) FROM jobs WHERE task = ?1")?,
        in_flight_jobs: count("SELECT count(*) FROM jobs WHERE task = ?1")?,
        oldest: oldest(tx, key)?,
        stuck_reports: count(
            "SELECT coalesce(sum(reports), 0) FROM segments WHERE task = ?1 AND stuck = 1",
        )?,
        dropped_reports: count("SELECT dropped FROM tasks WHERE key = ?1")?,
        verified_reports: count("SELECT coalesce(sum(reports), 0) FROM shards WHERE task = ?1")?,
        buckets: count("SELECT count(DISTINCT bucket) FROM shards WHERE task = ?1")?,
        collected_batches: count("SELECT count(*) FROM collected WHERE task = ?1")?,
        set_aside_batches: count("SELECT count(*) FROM batches WHERE task = ?1 AND state = 3")?,
    })
}

/// The reports that were lost, by their reason.
pub(super) fn lost(tx: &Transaction<'_>, task: &TaskId) -> Result<Vec<LostReports>, StoreError> {
    let key = task_row(tx, task)?.key;
    let sql = "SELECT reason, reports FROM lost WHERE task = ?1 ORDER BY reason";
    let mut statement = tx.prepare_cached(sql)?;
    let rows = statement.query_map([key], |row| {
        Ok(LostReports { reason: row.get(0)?, reports: from_stored(row.get(1)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the oldest report arrived that waits or is on its way.
fn oldest(tx: &Transaction<'_>, task: i64) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(coalesce(since, arrived)) FROM segments WHERE task = ?1 AND stuck = 0";
    let found = tx.prepare_cached(sql)?.query_row([task], |row| row.get::<_, Option<i64>>(0));
    Ok(found.optional()?.flatten().map(|arrived| Timestamp(from_stored(arrived))))
}

fn task_record(row: &Row<'_>) -> rusqlite::Result<TaskRecord> {
    Ok(TaskRecord {
        id: TaskId::new(row.get(0)?),
        mode: BatchingMode::from_stored(row.get(1)?),
        public: blob(row, 2)?,
        sealed: blob(row, 3)?,
    })
}

pub(super) fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Blob> {
    Ok(Blob::from(row.get::<_, Vec<u8>>(column)?))
}
