//! The backend for more than one machine: any number of replicas over one PostgreSQL database.
//!
//! Nothing but the pool of connections, and filters of report IDs that are checked against the
//! database each time, is kept in memory. A verb is one transaction of a few
//! statements, each over all rows concerned at once, since what counts over a network is how often
//! one waits for an answer.
//!
//! # Verbs at the same time
//!
//! Transactions run at PostgreSQL's `READ COMMITTED`: each statement sees what was committed when
//! it began. What must not change between a verb's statements is held by three locks of its task:
//!
//! | verb | leasing | batches | uploads |
//! |---|---|---|---|
//! | `accept_reports` | | | shared |
//! | `lease_jobs` | alone | shared | |
//! | the ends of jobs, the helper's jobs | | shared | |
//! | `start`, `finish`, `delete_collection`, `repair_batch` | | alone | |
//! | `close_batch` | | alone | alone, at its end |
//! | `change_task` | | alone | |
//!
//! So whatever adds to a batch goes on side by side, and what decides over a batch sees it stand
//! still. Uploads and leasing need nothing of each other: an upload reads only which ranges are
//! collected and adds rows that nobody has seen. They stop only for the moment in which a batch is
//! marked as collected, not while its shards are read. Below these locks stand the rows that one
//! verb at a time may end or lease (a job, a due collection), and a leader-selected batch, whose row is
//! taken last by who ends a job of it, and shared by who puts one in it; and a fourth lock of the task for its
//! report IDs, which whoever looks for some has alone until it has added them. Of a task whose batches
//! are of one time, a helper's job has its batch alone before that, from its look at what is there.
//!
//! These are advisory locks, which live in PostgreSQL's memory until the transaction ends. Locks
//! of the task's row would do the same, but each would be written to the row, and they are not
//! fair: as long as some transaction shares a row's lock, others may join it past one that waits
//! to have it alone, so that under steady uploads a batch would never be closed. Advisory locks
//! queue. The price: an engine that speaks PostgreSQL's protocol without keeping them is refused,
//! and so is a connection pooler's mode that mixes sessions ([`session`]: `SET` and prepared statements
//! want one of their own).
//!
//! A verb that loses to another one all the same (a deadlock, a serialization failure) is run
//! again. What the caller sees as unavailable is everything of which it is not known whether it
//! happened.

mod collections;
mod commit;
mod error;
mod failure;
mod lease;
mod locks;
mod migrations;
mod operator;
mod pool;
mod ranges;
mod record;
mod repair;
mod replay;
mod schema;
mod session;
mod tasks;
mod upkeep;
mod upload;
mod url;

pub use error::OpenError;
pub use schema::Migrated;

use super::{
    Acceptance, BatchSummary, BatchingMode, Blob, BucketKey, Closed, Closing, CollectionId,
    CollectionState, CollectionSummary, Connections, Counts, Datastore, Decide, Durable, Expiry,
    Forgotten, HelperJob, HelperOutcome, Holding, JobId, KeyRecord, KeyUse, LeaderCommit,
    LeasePolicy, LeaseToken, LeasedJob, LogEntry, LogHead, LogPage, LostReports, NewCollection,
    OperatorCommand, Outcome, PendingCollection, Publish, Published, Put, Repair, Repaired, Secret,
    Started, StoreError, StoredJob, TaskRecord, Timestamp, UploadBatch, replay::Known,
};
use failure::Failure;
use pool::{End, Pool, Tx};
use postgres::{Row, types::FromSql};
use sottovoce_dap::{
    ids::{AggregationJobId, BatchId, TaskId},
    time::Time,
};
use url::Target;

/// A store in a PostgreSQL database (version 13 or later), shared with any number of others.
pub struct PostgresStore {
    pool: Pool,
    /// What is known of report IDs without reading them.
    known: Known,
}

impl PostgresStore {
    /// Makes the tables in a new database, for `party` from then on, or brings older ones up to
    /// date. Idempotent, and safe to do twice at once. Needs the right to create a schema;
    /// [`open`](Self::open) only needs to read and write what is in it.
    pub fn migrate(url: &str, party: &str) -> Result<Migrated, OpenError> {
        let target = Target::parse(url, party)?;
        tokio::task::block_in_place(|| schema::migrate(&target, party))
    }

    /// Opens a database that was migrated, with at most this many connections (at least 1), each
    /// made when it is needed.
    ///
    /// Refuses a database of another party, version or program, and leaves it as it is. The URL is
    /// `postgres://user:password@host:port/name?parameters`. Of the parameters, `sslmode` says
    /// whether TLS is required (`require`, also `verify-full`), done without (`disable`) or used
    /// if the server offers it (`prefer`, the default); a server's certificate is always verified,
    /// by the system's or by those in `sslrootcert`, a PEM file.
    ///
    /// Like each verb, blocks: not to be called from a task of a single-threaded runtime.
    pub fn open(url: &str, party: &str, connections: usize) -> Result<Self, OpenError> {
        let target = Target::parse(url, party)?;
        tokio::task::block_in_place(|| schema::check(&target, party))?;
        Ok(Self { pool: Pool::new(target, connections), known: Known::default() })
    }

    /// Runs `work` in a transaction that commits if it succeeds.
    fn write<T>(
        &self,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        Ok(self.pool.transact(|tx| work(tx).map(End::Keep))?.0)
    }
}

/// Cuts up what one statement could send or ask for, so that each takes about [`AT_ONCE`] bytes.
///
/// A connection keeps the room that its longest message took, on its way in and out, and so would every
/// one of a pool in the end.
fn in_slices<T>(items: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let mut taken = 0;
        let fits = rest.iter().take_while(|item| {
            let before = taken;
            taken += bytes(item);
            before == 0 || taken <= AT_ONCE
        });
        let (slice, others) = rest.split_at(fits.count());
        rest = others;
        (!slice.is_empty()).then_some(slice)
    })
}

/// Bytes of one statement's values, or of the rows that it gives; more only for a single large one.
const AT_ONCE: usize = 256 << 10;

/// What the verbs need of a task.
#[derive(Clone, Copy)]
struct TaskRow {
    key: i32,
    mode: BatchingMode,
}

/// Reads a task's `key, target`.
fn task_row(row: &Row) -> Result<TaskRow, Failure> {
    Ok(TaskRow { key: get(row, 0)?, mode: BatchingMode::from_stored(get(row, 1)?) })
}

/// A column's value. The statement is ours, so what cannot be read was not written by us.
fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Failure> {
    row.try_get(column).map_err(|error| Failure::corrupt(failure::describe(&error)))
}

/// A column of so many bytes.
fn bytes<const N: usize>(row: &Row, column: usize) -> Result<[u8; N], Failure> {
    let found = get::<&[u8]>(row, column)?;
    found.try_into().map_err(|_| {
        let name = row.columns()[column].name();
        Failure::corrupt(format!("{} bytes instead of {N} as {name}", found.len()))
    })
}

fn blob(row: &Row, column: usize) -> Result<Blob, Failure> {
    Ok(Blob::from(get::<Vec<u8>>(row, column)?))
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

impl Datastore for PostgresStore {
    fn put_task(&self, task: &TaskRecord) -> Result<Put, StoreError> {
        Ok(self.pool.transact(|tx| tasks::put_task(tx, task))?.0)
    }

    fn change_task(&self, from: &TaskRecord, to: &TaskRecord) -> Result<bool, StoreError> {
        self.write(|tx| tasks::change_task(tx, from, to))
    }

    fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        Ok(tasks::task(&self.pool, id)?)
    }

    fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        Ok(tasks::tasks(&self.pool)?)
    }

    fn put_key(&self, of: KeyUse, key: &KeyRecord) -> Result<Put, StoreError> {
        Ok(self.pool.transact(|tx| tasks::put_key(tx, of, key))?.0)
    }

    fn keys(&self, of: KeyUse) -> Result<Vec<KeyRecord>, StoreError> {
        Ok(tasks::keys(&self.pool, of)?)
    }

    fn accept_reports(
        &self,
        now: Timestamp,
        uploads: &[UploadBatch],
    ) -> Result<Vec<Vec<Acceptance>>, StoreError> {
        let work = |tx: &mut Tx<'_>| {
            let mut session = self.known.session();
            let rulings = upload::accept_reports(tx, &mut session, now, uploads)?;
            Ok(End::Keep((rulings, session)))
        };
        let ((rulings, session), durable) = self.pool.transact(work)?;
        // Only a commit gives the proof that an acceptance needs.
        let Some(durable) = durable else { return Err(undone()) };
        session.committed();
        let acknowledge = |ruling: Result<(), _>| ruling.map(|()| durable);
        Ok(rulings.into_iter().map(|r| r.into_iter().map(acknowledge).collect()).collect())
    }

    fn lease_jobs(
        &self,
        now: Timestamp,
        policy: &LeasePolicy,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        self.write(|tx| lease::lease_jobs(tx, now, policy))
    }

    fn commit_leader_job(&self, commit: &LeaderCommit<'_>) -> Result<(), StoreError> {
        self.write(|tx| commit::commit_leader_job(tx, commit))
    }

    fn release_job(
        &self,
        job: JobId,
        lease: LeaseToken,
        retry_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|tx| commit::release_job(tx, job, lease, retry_at))
    }

    fn split_job(&self, job: JobId, lease: LeaseToken) -> Result<bool, StoreError> {
        self.write(|tx| commit::split_job(tx, job, lease))
    }

    fn abandon_job(&self, job: JobId, lease: LeaseToken) -> Result<(), StoreError> {
        self.write(|tx| commit::abandon_job(tx, job, lease))
    }

    fn commit_helper_job(
        &self,
        now: Timestamp,
        job: &HelperJob<'_>,
    ) -> Result<HelperOutcome, StoreError> {
        let work = |tx: &mut Tx<'_>| {
            let mut session = self.known.session();
            Ok(match commit::insert_helper_job(tx, &mut session, now, job)? {
                End::Keep(outcome) => End::Keep((outcome, session)),
                End::Undo(outcome) => End::Undo((outcome, session)),
            })
        };
        let ((outcome, session), durable) = self.pool.transact(work)?;
        // Whether or not it was committed: nothing is added before it is known that it will be.
        session.committed();
        match (outcome, durable) {
            (Some(outcome), _) => Ok(outcome),
            (None, Some(durable)) => Ok(HelperOutcome::Committed(durable)),
            (None, None) => Err(undone()),
        }
    }

    fn replay_job(
        &self,
        task: &TaskId,
        id: &AggregationJobId,
    ) -> Result<Option<StoredJob>, StoreError> {
        Ok(commit::replay_job(&self.pool, task, id)?)
    }

    fn delete_job(&self, task: &TaskId, id: &AggregationJobId) -> Result<(), StoreError> {
        self.write(|tx| commit::delete_job(tx, task, id))
    }

    fn start_collection(
        &self,
        now: Timestamp,
        new: &NewCollection<'_>,
        id_for: &dyn Fn(u64) -> CollectionId,
    ) -> Result<Started, StoreError> {
        self.write(|tx| collections::start(tx, now, new, id_for))
    }

    fn pending_collections(
        &self,
        now: Timestamp,
        retry_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingCollection>, StoreError> {
        self.write(|tx| collections::pending(tx, now, retry_at, limit))
    }

    fn next_batch(&self, task: &TaskId) -> Result<Option<BatchId>, StoreError> {
        Ok(collections::next_batch(&self.pool, task)?)
    }

    fn close_batch(
        &self,
        now: Timestamp,
        closing: &Closing<'_>,
        decide: &mut Decide<'_>,
    ) -> Result<Closed, StoreError> {
        Ok(self.pool.transact(|tx| collections::close(tx, now, closing, decide))?.0)
    }

    fn finish_collection(
        &self,
        task: &TaskId,
        id: CollectionId,
        outcome: &Outcome,
    ) -> Result<CollectionState, StoreError> {
        self.write(|tx| collections::finish(tx, task, id, outcome))
    }

    fn collection(
        &self,
        task: &TaskId,
        id: CollectionId,
    ) -> Result<Option<CollectionState>, StoreError> {
        Ok(collections::collection(&self.pool, task, id)?)
    }

    fn delete_collection(&self, task: &TaskId, id: CollectionId) -> Result<(), StoreError> {
        self.write(|tx| collections::delete(tx, task, id))
    }

    fn counts(&self, task: &TaskId) -> Result<Counts, StoreError> {
        Ok(tasks::counts(&self.pool, task)?)
    }

    fn lost(&self, task: &TaskId) -> Result<Vec<LostReports>, StoreError> {
        Ok(tasks::lost(&self.pool, task)?)
    }

    fn connections(&self) -> Connections {
        self.pool.connections()
    }

    fn batches(&self, task: &TaskId) -> Result<Vec<BatchSummary>, StoreError> {
        Ok(upkeep::batches(&self.pool, task)?)
    }

    fn report_ids(
        &self,
        task: &TaskId,
        time: Option<Time>,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(upkeep::report_ids(&self.pool, task, time, limit)?)
    }

    fn holding(&self, task: &TaskId, bucket: &BucketKey) -> Result<Holding, StoreError> {
        self.write(|tx| repair::holding(tx, task, bucket))
    }

    fn repair_batch(&self, repair: &Repair<'_>) -> Result<Repaired, StoreError> {
        self.write(|tx| repair::repair(tx, repair))
    }

    fn collections(&self, task: &TaskId) -> Result<Vec<CollectionSummary>, StoreError> {
        Ok(upkeep::collections(&self.pool, task)?)
    }

    fn delete_key(&self, of: KeyUse, id: u8) -> Result<(), StoreError> {
        self.write(|tx| upkeep::delete_key(tx, of, id))
    }

    fn replace_sealed(
        &self,
        secret: Secret<'_>,
        from: &[u8],
        to: &[u8],
    ) -> Result<bool, StoreError> {
        self.write(|tx| upkeep::replace_sealed(tx, secret, from, to))
    }

    fn retry_stuck(&self, task: &TaskId) -> Result<u64, StoreError> {
        self.write(|tx| upkeep::retry_stuck(tx, task))
    }

    fn forget(&self, expiry: &Expiry) -> Result<Forgotten, StoreError> {
        self.write(|tx| upkeep::forget(tx, expiry))
    }

    fn reserve(&self) {
        self.known.reserve();
    }

    fn compact(&self) -> Result<bool, StoreError> {
        self.write(replay::compact_one)
    }

    /// PostgreSQL's own vacuum does that.
    fn give_back(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn log(&self, entries: &[LogEntry]) -> Result<u64, StoreError> {
        self.write(|tx| record::log(tx, entries))
    }

    fn publish(&self, build: &mut Publish<'_>) -> Result<Published, StoreError> {
        Ok(self.pool.transact(|tx| record::publish(tx, build))?.0)
    }

    fn log_head(&self) -> Result<LogHead, StoreError> {
        Ok(record::head(&self.pool)?)
    }

    fn log_page(&self, page: LogPage) -> Result<Option<Blob>, StoreError> {
        Ok(record::page(&self.pool, page)?)
    }

    fn log_index(&self, key: &[u8; 32]) -> Result<Option<u64>, StoreError> {
        Ok(record::index(&self.pool, key)?)
    }

    fn replace_checkpoint(&self, from: &[u8], to: &[u8]) -> Result<bool, StoreError> {
        self.write(|tx| record::replace_checkpoint(tx, from, to))
    }

    fn write_operator_command(&self, command: &OperatorCommand) -> Result<(), StoreError> {
        self.write(|tx| operator::write(tx, command))
    }

    fn operator_commands(&self, limit: usize) -> Result<Vec<OperatorCommand>, StoreError> {
        Ok(operator::newest(&self.pool, limit)?)
    }

    fn ping(&self) -> Result<(), StoreError> {
        self.pool.read("SELECT 1", &[]).map(drop)
    }
}

/// Never happens: a verb that keeps its work is committed or fails.
fn undone() -> StoreError {
    StoreError::Unavailable { what: "the transaction was not committed".to_owned() }
}

// The suite falls back on SQLite where PostgreSQL is not installed.
#[cfg(all(test, unix, feature = "sqlite"))]
mod tests;
