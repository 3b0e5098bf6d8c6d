//! The embedded backend: one `SQLite` file, enough for one machine.
//!
//! One connection writes, behind a mutex: `SQLite` allows a single writer anyway, and a queue in
//! here wakes sooner than its polling. Another reads beside it, in a snapshot of its own. Other
//! processes may use the file at the same time; writers then wait for each other.

pub mod backup;
mod checkpoint;
mod collections;
mod commit;
mod lease;
mod operator;
mod record;
mod repair;
mod replay;
mod schema;
mod tasks;
mod upkeep;
mod upload;

pub use schema::OpenError;

use super::{
    Acceptance, BatchSummary, BatchingMode, Blob, BucketKey, Closed, Closing, CollectionId,
    CollectionState, CollectionSummary, Connections, Counts, Datastore, Decide, Durable, Expiry,
    Forgotten, HelperJob, HelperOutcome, Holding, JobId, KeyRecord, KeyUse, LeaderCommit,
    LeasePolicy, LeaseToken, LeasedJob, LogEntry, LogHead, LogPage, LostReports, NewCollection,
    OperatorCommand, Outcome, PendingCollection, Publish, Published, Put, Repair, Repaired, Secret,
    Started, StoreError, StoredJob, TaskRecord, Timestamp, UploadBatch, replay::Known,
};
use checkpoint::Checkpointer;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior};
use sottovoce_dap::{
    ids::{AggregationJobId, BatchId, TaskId},
    time::Time,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
    time::Duration,
};

/// A store in a `SQLite` file.
pub struct SqliteStore {
    writer: Mutex<Connection>,
    /// None for a database in memory, which only one connection can see.
    reader: Option<Mutex<Connection>>,
    /// None likewise.
    checkpointer: Option<Checkpointer>,
    /// What is known of report IDs without reading them.
    known: Known,
}

impl SqliteStore {
    /// Opens the database, makes it if there is none, and migrates it if it is older.
    ///
    /// A new file can be read by its owner only, and belongs to `party` from then on. A file of
    /// another program, another party or a later version is refused and left as it is.
    pub fn open(path: impl AsRef<Path>, party: &str) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        create(&path).map_err(|cause| OpenError::File { path: path.clone(), cause })?;
        let sqlite = |cause| schema::classify(&path, cause);
        let mut writer = Connection::open(&path).map_err(sqlite)?;
        configure(&writer, WRITER_CACHE).map_err(sqlite)?;
        schema::prepare(&mut writer, &path, party)?;
        let reader = Connection::open(&path).map_err(sqlite)?;
        configure(&reader, READER_CACHE).map_err(sqlite)?;
        reader.pragma_update(None, "query_only", true).map_err(sqlite)?;
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Some(Mutex::new(reader)),
            checkpointer: Some(Checkpointer::open(&path).map_err(sqlite)?),
            known: Known::default(),
        })
    }

    /// A database in memory, for tests and demonstrations: gone when dropped.
    pub fn in_memory() -> Result<Self, OpenError> {
        let path = PathBuf::from(":memory:");
        let sqlite = |cause| schema::classify(&path, cause);
        let mut writer = Connection::open_in_memory().map_err(sqlite)?;
        configure(&writer, WRITER_CACHE).map_err(sqlite)?;
        schema::prepare(&mut writer, &path, "")?;
        let (writer, known) = (Mutex::new(writer), Known::default());
        Ok(Self { writer, reader: None, checkpointer: None, known })
    }

    /// Ends the leases of a server that is no more, so that its jobs need not run out of time.
    ///
    /// For the one server over an embedded database, when it starts. Should there be another
    /// after all, its lease tokens are void and nothing is counted twice.
    pub fn end_leases(&self) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute("UPDATE jobs SET lease = randomblob(16), leased_until = 0", [])?;
            tx.execute("UPDATE collections SET due = 0 WHERE state IN (0, 1)", [])?;
            Ok(())
        })
    }

    /// Runs `work` in a transaction that commits if it succeeds.
    fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<(T, Durable), StoreError> {
        let mut connection = lock(&self.writer);
        // At once, not at the first write: a transaction that begins by reading could find that
        // another process wrote in between, and would have to start over.
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&tx)?;
        tx.commit()?;
        Ok((value, Durable::committed()))
    }

    /// Like `write`, for verbs whose success is the answer.
    fn change(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.write(work).map(|((), _)| ())
    }

    /// Gives free pages at the end of the file back, if there are more than are worth keeping. The
    /// file is shorter once the log is copied back.
    fn cut_free_pages(&self) -> Result<bool, StoreError> {
        let connection = lock(&self.writer);
        let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free <= SPARE_PAGES {
            return Ok(false);
        }
        let mut statement = connection.prepare("PRAGMA incremental_vacuum(2000)")?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }

    /// Runs `work` on a snapshot.
    fn read<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = lock(self.reader.as_ref().unwrap_or(&self.writer));
        work(&connection.transaction()?)
    }
}

/// Makes the file before `SQLite` does, to give it its mode; its log and index take that over.
fn create(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn configure(connection: &Connection, cache_kibibytes: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // An acknowledged upload must survive a power loss: wait for the disk at each commit.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Deleted shares do not linger, as far as that costs no further writing: what they tell is
    // finer than a batch. Secrets proper are sealed.
    connection.pragma_update(None, "secure_delete", "FAST")?;
    connection.pragma_update(None, "cache_size", -cache_kibibytes)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic under the lock rolled its transaction back, so the connection is sound.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the verbs need of a task.
#[derive(Clone, Copy)]
struct TaskRow {
    key: i64,
    mode: BatchingMode,
    /// The first window whose report IDs are all still known.
    horizon: i64,
}

/// Finds a task that must be there.
fn task_row(tx: &Transaction<'_>, id: &TaskId) -> Result<TaskRow, StoreError> {
    let mut statement =
        tx.prepare_cached("SELECT key, target, horizon FROM tasks WHERE id = ?1")?;
    let row = statement.query_row([id.as_bytes()], |row| {
        Ok(TaskRow {
            key: row.get(0)?,
            mode: BatchingMode::from_stored(row.get(1)?),
            horizon: row.get(2)?,
        })
    });
    row.optional()?.ok_or(StoreError::UnknownTask(*id))
}

/// Whether any key from `low` to `last`, both inside, has been collected.
///
/// Ranges of a task never overlap, so the last one that starts before the end reaches furthest.
fn is_collected(
    tx: &Transaction<'_>,
    task: i64,
    low: &[u8],
    last: &[u8],
) -> rusqlite::Result<bool> {
    let mut statement = tx.prepare_cached(
        "SELECT high > ?2 FROM collected WHERE task = ?1 AND low <= ?3 ORDER BY low DESC LIMIT 1",
    )?;
    Ok(statement.query_row((task, low, last), |row| row.get(0)).optional()?.unwrap_or(false))
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn from_stored(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn time_from_stored(bytes: [u8; 8]) -> Time {
    Time(u64::from_be_bytes(bytes))
}

/// `SQLite`'s messages name tables and statements, never values: safe to pass on.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let what = error.to_string();
        match (error.sqlite_error_code(), error) {
            (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _)
            | (
                _,
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..),
            ) => Self::Corrupt { what },
            _ => Self::Unavailable { what },
        }
    }
}

/// Whether somebody works with a connection.
fn is_locked(connection: &Mutex<Connection>) -> bool {
    matches!(connection.try_lock(), Err(TryLockError::WouldBlock))
}

impl Datastore for SqliteStore {
    fn put_task(&self, task: &TaskRecord) -> Result<Put, StoreError> {
        Ok(self.write(|tx| tasks::put_task(tx, task))?.0)
    }

    fn change_task(&self, from: &TaskRecord, to: &TaskRecord) -> Result<bool, StoreError> {
        Ok(self.write(|tx| tasks::change_task(tx, from, to))?.0)
    }

    fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.read(|tx| tasks::task(tx, id))
    }

    fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.read(tasks::tasks)
    }

    fn put_key(&self, of: KeyUse, key: &KeyRecord) -> Result<Put, StoreError> {
        Ok(self.write(|tx| tasks::put_key(tx, of, key))?.0)
    }

    fn keys(&self, of: KeyUse) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(|tx| tasks::keys(tx, of))
    }

    fn accept_reports(
        &self,
        now: Timestamp,
        uploads: &[UploadBatch],
    ) -> Result<Vec<Vec<Acceptance>>, StoreError> {
        let mut session = self.known.session();
        let (rulings, durable) =
            self.write(|tx| upload::accept_reports(tx, &mut session, now, uploads))?;
        session.committed();
        let acknowledge = |ruling: Result<(), _>| ruling.map(|()| durable);
        Ok(rulings.into_iter().map(|r| r.into_iter().map(acknowledge).collect()).collect())
    }

    fn lease_jobs(
        &self,
        now: Timestamp,
        policy: &LeasePolicy,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        Ok(self.write(|tx| lease::lease_jobs(tx, now, policy))?.0)
    }

    fn commit_leader_job(&self, commit: &LeaderCommit<'_>) -> Result<(), StoreError> {
        self.change(|tx| commit::commit_leader_job(tx, commit))
    }

    fn release_job(
        &self,
        job: JobId,
        lease: LeaseToken,
        retry_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(|tx| commit::release_job(tx, job, lease, retry_at))
    }

    fn split_job(&self, job: JobId, lease: LeaseToken) -> Result<bool, StoreError> {
        Ok(self.write(|tx| commit::split_job(tx, job, lease))?.0)
    }

    fn abandon_job(&self, job: JobId, lease: LeaseToken) -> Result<(), StoreError> {
        self.change(|tx| commit::abandon_job(tx, job, lease))
    }

    fn commit_helper_job(
        &self,
        now: Timestamp,
        job: &HelperJob<'_>,
    ) -> Result<HelperOutcome, StoreError> {
        let mut connection = lock(&self.writer);
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut session = self.known.session();
        let conflict = commit::insert_helper_job(&tx, &mut session, now, job)?;
        if let Some(outcome) = conflict {
            // Nothing was added yet.
            session.committed();
            return Ok(outcome);
        }
        tx.commit()?;
        session.committed();
        Ok(HelperOutcome::Committed(Durable::committed()))
    }

    fn replay_job(
        &self,
        task: &TaskId,
        id: &AggregationJobId,
    ) -> Result<Option<StoredJob>, StoreError> {
        self.read(|tx| commit::replay_job(tx, task_row(tx, task)?.key, id))
    }

    fn delete_job(&self, task: &TaskId, id: &AggregationJobId) -> Result<(), StoreError> {
        self.change(|tx| commit::delete_job(tx, task, id))
    }

    fn start_collection(
        &self,
        now: Timestamp,
        new: &NewCollection<'_>,
        id_for: &dyn Fn(u64) -> CollectionId,
    ) -> Result<Started, StoreError> {
        Ok(self.write(|tx| collections::start(tx, now, new, id_for))?.0)
    }

    fn pending_collections(
        &self,
        now: Timestamp,
        retry_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingCollection>, StoreError> {
        Ok(self.write(|tx| collections::pending(tx, now, retry_at, limit))?.0)
    }

    fn next_batch(&self, task: &TaskId) -> Result<Option<BatchId>, StoreError> {
        self.read(|tx| collections::next_batch(tx, task))
    }

    fn close_batch(
        &self,
        now: Timestamp,
        closing: &Closing<'_>,
        decide: &mut Decide<'_>,
    ) -> Result<Closed, StoreError> {
        Ok(self.write(|tx| collections::close(tx, now, closing, decide))?.0)
    }

    fn finish_collection(
        &self,
        task: &TaskId,
        id: CollectionId,
        outcome: &Outcome,
    ) -> Result<CollectionState, StoreError> {
        Ok(self.write(|tx| collections::finish(tx, task, id, outcome))?.0)
    }

    fn collection(
        &self,
        task: &TaskId,
        id: CollectionId,
    ) -> Result<Option<CollectionState>, StoreError> {
        self.read(|tx| {
            Ok(collections::find(tx, task_row(tx, task)?.key, id)?.map(|found| found.state))
        })
    }

    fn delete_collection(&self, task: &TaskId, id: CollectionId) -> Result<(), StoreError> {
        self.change(|tx| collections::delete(tx, task, id))
    }

    fn counts(&self, task: &TaskId) -> Result<Counts, StoreError> {
        self.read(|tx| tasks::counts(tx, task))
    }

    fn lost(&self, task: &TaskId) -> Result<Vec<LostReports>, StoreError> {
        self.read(|tx| tasks::lost(tx, task))
    }

    fn batches(&self, task: &TaskId) -> Result<Vec<BatchSummary>, StoreError> {
        self.read(|tx| upkeep::batches(tx, task))
    }

    fn report_ids(
        &self,
        task: &TaskId,
        time: Option<Time>,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|tx| upkeep::report_ids(tx, task, time, limit))
    }

    fn holding(&self, task: &TaskId, bucket: &BucketKey) -> Result<Holding, StoreError> {
        self.read(|tx| repair::holding(tx, task, bucket))
    }

    fn repair_batch(&self, repair: &Repair<'_>) -> Result<Repaired, StoreError> {
        Ok(self.write(|tx| repair::repair(tx, repair))?.0)
    }

    fn collections(&self, task: &TaskId) -> Result<Vec<CollectionSummary>, StoreError> {
        self.read(|tx| upkeep::collections(tx, task))
    }

    fn delete_key(&self, of: KeyUse, id: u8) -> Result<(), StoreError> {
        self.change(|tx| upkeep::delete_key(tx, of, id))
    }

    fn replace_sealed(
        &self,
        secret: Secret<'_>,
        from: &[u8],
        to: &[u8],
    ) -> Result<bool, StoreError> {
        Ok(self.write(|tx| upkeep::replace_sealed(tx, secret, from, to))?.0)
    }

    fn retry_stuck(&self, task: &TaskId) -> Result<u64, StoreError> {
        Ok(self.write(|tx| upkeep::retry_stuck(tx, task))?.0)
    }

    fn forget(&self, expiry: &Expiry) -> Result<Forgotten, StoreError> {
        Ok(self.write(|tx| upkeep::forget(tx, expiry))?.0)
    }

    fn reserve(&self) {
        self.known.reserve();
    }

    fn compact(&self) -> Result<bool, StoreError> {
        Ok(self.write(replay::compact_one)?.0)
    }

    /// Cuts free pages off the end of the file, a few at a time, and empties the log.
    fn give_back(&self) -> Result<(), StoreError> {
        let cut = self.cut_free_pages()?;
        if let Some(checkpointer) = &self.checkpointer {
            checkpointer.copy_back(&self.writer, cut)?;
        }
        Ok(())
    }

    fn log(&self, entries: &[LogEntry]) -> Result<u64, StoreError> {
        Ok(self.write(|tx| record::log(tx, entries))?.0)
    }

    fn publish(&self, build: &mut Publish<'_>) -> Result<Published, StoreError> {
        Ok(self.write(|tx| record::publish(tx, build))?.0)
    }

    fn log_head(&self) -> Result<LogHead, StoreError> {
        self.read(record::head)
    }

    fn log_page(&self, page: LogPage) -> Result<Option<Blob>, StoreError> {
        self.read(|tx| record::page(tx, page))
    }

    fn log_index(&self, key: &[u8; 32]) -> Result<Option<u64>, StoreError> {
        self.read(|tx| record::index(tx, key))
    }

    fn replace_checkpoint(&self, from: &[u8], to: &[u8]) -> Result<bool, StoreError> {
        Ok(self.write(|tx| record::replace_checkpoint(tx, from, to))?.0)
    }

    fn write_operator_command(&self, command: &OperatorCommand) -> Result<(), StoreError> {
        self.change(|tx| operator::write(tx, command))
    }

    fn operator_commands(&self, limit: usize) -> Result<Vec<OperatorCommand>, StoreError> {
        self.read(|tx| operator::newest(tx, limit))
    }

    fn ping(&self) -> Result<(), StoreError> {
        self.read(|tx| Ok(tx.query_row("SELECT 1", [], |_| Ok(()))?))
    }

    fn connections(&self) -> Connections {
        // One writes and one reads: what is locked is in use.
        let both = [Some(&self.writer), self.reader.as_ref()];
        let open = both.into_iter().flatten().count();
        let in_use = both.into_iter().flatten().filter(|one| is_locked(one)).count();
        Connections { most: open, in_use, idle: open - in_use }
    }
}

/// Page caches, in KiB. What a larger one would hold is in the system's own cache, and one that fills up
/// over a day is memory that grows.
const WRITER_CACHE: i64 = 2 << 10;
const READER_CACHE: i64 = 1 << 10;
/// Free pages that are kept for use rather than given back: 16 MiB.
const SPARE_PAGES: i64 = 4096;
/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Pages in the log (16 MiB) before it is copied back: each time the disk must be waited for.
const CHECKPOINT_PAGES: i64 = 4096;
/// Length that the log is cut to after it was copied back.
const LOG_BYTES: i64 = 32 << 20;

#[cfg(test)]
pub(super) mod tests;
