//! Tasks, HPKE keys and figures.

use super::{
    End, Failure, Pool, Tx, blob, bytes, from_stored, get,
    locks::{self, Hold},
    stored,
};
use crate::store::{
    BatchingMode, Counts, KeyRecord, KeyUse, LostReports, Put, StoreError, TaskRecord, Timestamp,
};
use postgres::Row;
use sottovoce_dap::ids::TaskId;

pub(super) fn put_task(tx: &mut Tx<'_>, task: &TaskRecord) -> Result<End<Put>, Failure> {
    // Looked for first: an insertion that is refused uses up a key, and servers put their tasks
    // each time they start.
    if find(tx, &task.id)?.is_none() {
        let added = tx.execute(
            "INSERT INTO tasks (id, target, public, sealed) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            &[&&task.id.as_bytes()[..], &task.mode.stored(), &&*task.public, &&*task.sealed],
        )?;
        if added == 1 {
            return Ok(End::Keep(Put::Added));
        }
    }
    let found = find(tx, &task.id)?.ok_or_else(|| Failure::corrupt("a task that is not found"))?;
    let same = found.public == task.public && found.mode == task.mode;
    let conflict = || StoreError::TaskConflict(task.id).into();
    if same { Ok(End::Undo(Put::AlreadyThere)) } else { Err(conflict()) }
}

pub(super) fn change_task(
    tx: &mut Tx<'_>,
    from: &TaskRecord,
    to: &TaskRecord,
) -> Result<bool, Failure> {
    // What groups its reports must not change under those who do.
    let key = locks::batches(tx, &from.id, Hold::Alone)?.key;
    let changed = tx.execute(
        "UPDATE tasks SET target = $4, public = $5
         WHERE key = $1 AND target IS NOT DISTINCT FROM $2 AND public = $3",
        &[&key, &from.mode.stored(), &&*from.public, &to.mode.stored(), &&*to.public],
    )?;
    Ok(changed == 1)
}

fn find(tx: &mut Tx<'_>, id: &TaskId) -> Result<Option<TaskRecord>, Failure> {
    tx.row(TASK, &[&&id.as_bytes()[..]])?.as_ref().map(task_record).transpose()
}

pub(super) fn task(pool: &Pool, id: &TaskId) -> Result<Option<TaskRecord>, Failure> {
    pool.read(TASK, &[&&id.as_bytes()[..]])?.first().map(task_record).transpose()
}

pub(super) fn tasks(pool: &Pool) -> Result<Vec<TaskRecord>, Failure> {
    let sql = "SELECT id, target, public, sealed FROM tasks ORDER BY key";
    pool.read(sql, &[])?.iter().map(task_record).collect()
}

pub(super) fn put_key(tx: &mut Tx<'_>, of: KeyUse, key: &KeyRecord) -> Result<End<Put>, Failure> {
    let (insert, find) = match of {
        KeyUse::Hpke => (
            "INSERT INTO hpke_keys VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            "SELECT public FROM hpke_keys WHERE id = $1",
        ),
        KeyUse::Log => (
            "INSERT INTO log_keys VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            "SELECT public FROM log_keys WHERE id = $1",
        ),
    };
    let added = tx.execute(
        insert,
        &[&i16::from(key.id), &stored(key.offered.0), &&*key.public, &&*key.sealed],
    )?;
    if added == 1 {
        return Ok(End::Keep(Put::Added));
    }
    let found = tx.row(find, &[&i16::from(key.id)])?;
    match found.as_ref().map(|row| blob(row, 0)).transpose()? {
        Some(public) if public == key.public => Ok(End::Undo(Put::AlreadyThere)),
        _ => Err(StoreError::KeyConflict(key.id).into()),
    }
}

pub(super) fn keys(pool: &Pool, of: KeyUse) -> Result<Vec<KeyRecord>, Failure> {
    let sql = match of {
        KeyUse::Hpke => "SELECT id, offered, public, sealed FROM hpke_keys ORDER BY offered, id",
        KeyUse::Log => "SELECT id, offered, public, sealed FROM log_keys ORDER BY offered, id",
    };
    let rows = pool.read(sql, &[])?;
    let key = |row| {
        let id = u8::try_from(get::<i16>(row, 0)?).map_err(|_| Failure::corrupt("a key ID"));
        Ok(KeyRecord {
            id: id?,
            offered: Timestamp(from_stored(get(row, 1)?)),
            public: blob(row, 2)?,
            sealed: blob(row, 3)?,
        })
    };
    rows.iter().map(key).collect()
}

pub(super) fn counts(pool: &Pool, task: &TaskId) -> Result<Counts, Failure> {
    // One statement is one look. Sums are numerics, hence the casts.
    let rows = pool.read(
        "SELECT
            (SELECT coalesce(sum(reports), 0) FROM segments
             WHERE task = t.key AND job IS NULL AND NOT stuck)::bigint,
            (SELECT coalesce(sum(reports), 0) FROM jobs WHERE task = t.key)::bigint,
            (SELECT count(*) FROM jobs WHERE task = t.key),
            (SELECT coalesce(sum(reports), 0) FROM segments WHERE task = t.key AND stuck)::bigint,
            (SELECT coalesce(sum(reports), 0) FROM dropped WHERE task = t.key)::bigint,
            (SELECT coalesce(sum(reports), 0) FROM shards WHERE task = t.key)::bigint,
            (SELECT count(DISTINCT bucket) FROM shards WHERE task = t.key),
            (SELECT count(*) FROM collected WHERE task = t.key),
            (SELECT min(coalesce(since, arrived)) FROM segments WHERE task = t.key AND NOT stuck),
            (SELECT count(*) FROM batches WHERE task = t.key AND state = 3)
         FROM tasks t WHERE id = $1",
        &[&&task.as_bytes()[..]],
    )?;
    let row = rows.first().ok_or(StoreError::UnknownTask(*task))?;
    let count = |column| Ok::<_, Failure>(from_stored(get(row, column)?));
    Ok(Counts {
        waiting_reports: count(0)?,
        in_flight_reports: count(1)?,
        in_flight_jobs: count(2)?,
        stuck_reports: count(3)?,
        dropped_reports: count(4)?,
        verified_reports: count(5)?,
        buckets: count(6)?,
        collected_batches: count(7)?,
        set_aside_batches: count(9)?,
        oldest: get::<Option<i64>>(row, 8)?.map(|arrived| Timestamp(from_stored(arrived))),
    })
}

/// The reports that were lost, by their reason.
pub(super) fn lost(pool: &Pool, task: &TaskId) -> Result<Vec<LostReports>, Failure> {
    let rows = pool.read(
        "SELECT l.reason, l.reports FROM tasks t LEFT JOIN lost l ON l.task = t.key
         WHERE t.id = $1 ORDER BY l.reason",
        &[&&task.as_bytes()[..]],
    )?;
    if rows.is_empty() {
        return Err(StoreError::UnknownTask(*task).into());
    }
    let mut lost = Vec::new();
    for row in &rows {
        let Some(reason) = get::<Option<i16>>(row, 0)? else { continue };
        let reason = u8::try_from(reason).map_err(|_| Failure::corrupt("a reason's code"))?;
        lost.push(LostReports { reason, reports: from_stored(get(row, 1)?) });
    }
    Ok(lost)
}

fn task_record(row: &Row) -> Result<TaskRecord, Failure> {
    Ok(TaskRecord {
        id: TaskId::new(bytes(row, 0)?),
        mode: BatchingMode::from_stored(get(row, 1)?),
        public: blob(row, 2)?,
        sealed: blob(row, 3)?,
    })
}

const TASK: &str = "SELECT id, target, public, sealed FROM tasks WHERE id = $1";
