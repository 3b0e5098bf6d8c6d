//! Durable storage: few transactions, which are called verbs here, over opaque blobs.
//!
//! Each verb of [`Datastore`] is a whole transaction: a caller never holds one open, so no
//! invariant is spread over call sites. The store knows tasks, report IDs, ranges of buckets and
//! leases; of shares, requests and responses it sees bytes. It has no clock (`now` is an
//! argument), no VDAF and no policy, and keeps nothing in memory that another replica over the
//! same database would miss.
//!
//! A report's life in here: [`accept_reports`](Datastore::accept_reports) packs it into a
//! [`Segment`]; [`lease_jobs`](Datastore::lease_jobs) puts segments into a job;
//! [`commit_leader_job`](Datastore::commit_leader_job) replaces the segments by what they add to
//! their buckets; [`close_batch`](Datastore::close_batch) merges the buckets, once. A helper
//! enters at [`commit_helper_job`](Datastore::commit_helper_job).
//!
//! [`sqlite`] is the embedded backend and [`postgres`] the one for many replicas; [`sealed`]
//! encrypts secrets before they come here, `faulty` fails verbs on purpose.

#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    allow(dead_code, reason = "backends are features")
)]

mod blob;
mod bucket;
mod collection;
#[cfg(all(test, feature = "sqlite"))]
pub(crate) mod faulty;
mod job;
mod operator;
mod plan;
#[cfg(feature = "postgres")]
pub mod postgres;
mod record;
mod repair;
mod replay;
pub mod sealed;
mod segment;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(test)]
mod suite;
mod task;
mod upkeep;

pub use blob::Blob;
pub use bucket::{BucketKey, BucketRange, BucketShard};
pub use collection::{
    Closed, Closing, CollectionId, CollectionState, Decide, NewCollection, Outcome,
    PendingCollection, Started, Then, Wanted,
};
pub use job::{
    Again, HelperJob, HelperOutcome, JobId, LeaderCommit, LeasePolicy, LeaseToken, LeasedJob,
    LostReports, Quota, StoredJob,
};
pub use operator::OperatorCommand;
pub use record::{
    Edition, Kept, LogEntry, LogHead, LogPage, LogState, PUBLISH_AT_ONCE, Publish, Published,
};
pub use repair::{Holding, Repair, Repaired, ShardName};
pub use segment::{Segment, UploadBatch};
pub use task::{BatchingMode, Counts, KeyRecord, KeyUse, Put, TaskRecord, Timestamp};
use upkeep::span;
pub use upkeep::{BatchSummary, CollectionSummary, Expiry, Forgotten, Secret, Stage};

use sottovoce_dap::{
    ids::{AggregationJobId, BatchId, NoRandomness, TaskId},
    time::Time,
};
use thiserror::Error;

/// The aggregators' memory.
///
/// Every verb is atomic, and isolated as if verbs ran one after another. When a verb returns
/// `Ok`, what it changed survives a crash of the process and of the machine. When it returns
/// [`StoreError::Unavailable`], nobody knows whether it happened: call it again, which each verb
/// allows as it says. After any other error nothing has changed.
///
/// Verbs block (on the disk, on each other): call them from threads that may. Any number of
/// threads may share a store, and any number of processes a database.
///
/// Verbs that name a task fail with [`StoreError::UnknownTask`] if it was never put.
pub trait Datastore: Send + Sync {
    /// Adds a task. Idempotent for the same mode and public part (the sealed part kept is the
    /// first one); the same ID with others is [`StoreError::TaskConflict`].
    fn put_task(&self, task: &TaskRecord) -> Result<Put, StoreError>;

    /// Gives a task the mode and the public part of another record of its ID, if it still has those of
    /// `from`; says whether it had. Its secrets stay.
    fn change_task(&self, from: &TaskRecord, to: &TaskRecord) -> Result<bool, StoreError>;

    /// A task by its ID.
    fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError>;

    /// All tasks, in the order in which they were added.
    fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError>;

    /// Adds a key pair. Idempotent for the same public part (the sealed part kept is the first
    /// one); the same ID with another is [`StoreError::KeyConflict`].
    fn put_key(&self, of: KeyUse, key: &KeyRecord) -> Result<Put, StoreError>;

    /// All key pairs of a use, oldest first.
    fn keys(&self, of: KeyUse) -> Result<Vec<KeyRecord>, StoreError>;

    /// Takes in uploads of any tasks, all in one transaction: callers gather many (§4.4.2.2).
    ///
    /// Answers for each report in its place. A report whose ID was ever accepted for the task,
    /// in this call too, is [`Refusal::Replayed`]; one whose batch has been collected is
    /// [`Refusal::BatchCollected`]. The others wait for a job. Idempotent: what was accepted is
    /// `Replayed` when it comes again.
    fn accept_reports(
        &self,
        now: Timestamp,
        uploads: &[UploadBatch],
    ) -> Result<Vec<Vec<Acceptance>>, StoreError>;

    /// Lends the leader's jobs: those whose lease ran out (of a worker that died, or that
    /// released it), then new ones, or the other way round, as the policy says. No more of any
    /// [`Quota`] than it has room for: what is left out stays as it is.
    ///
    /// A job is leased again with the same reports in the same order and the same batch, since
    /// the helper may have committed it already and recognises it by its request, byte for byte.
    /// So what the leader sends must depend on nothing else that may change.
    ///
    /// A new job is one or more whole segments of a task. It is made when it is full, when its
    /// oldest report has waited for `linger`, or when a pending collection waits for one of its
    /// reports. Reports that arrived for a batch after its collection was asked for wait until
    /// the collection is over, or is refused once: otherwise one device that keeps sending could
    /// keep a batch from ever being closed. If it was closed, they are dropped and counted.
    /// A piece of a job that was cut up travels alone, so that it cannot fail others.
    ///
    /// Jobs of a leader-selected task go in the oldest batch that would not reach its target
    /// with what is in flight, else in a new one. If its batches are of one time, so are its jobs,
    /// each in a batch of its reports' time. Tasks take turns. Not idempotent: a caller
    /// that loses the answer gets the jobs again when their leases end.
    fn lease_jobs(
        &self,
        now: Timestamp,
        policy: &LeasePolicy,
    ) -> Result<Vec<LeasedJob>, StoreError>;

    /// Ends a job: its shards are added to their buckets, its reports are gone but for those that
    /// wait [`Again`], its IDs stay, and they have waited since they arrived.
    ///
    /// Fails with [`StoreError::StaleLease`] if the lease is not the job's current one, also if
    /// the job is over (a retry of a commit that happened); with [`StoreError::Collected`] if a
    /// bucket has been collected, which leasing and closing rule out. An expired lease that
    /// nobody took over is still current.
    fn commit_leader_job(&self, commit: &LeaderCommit<'_>) -> Result<(), StoreError>;

    /// Gives a job back, to be leased again with the same reports, but not before `retry_at`:
    /// the peer did not answer, or it is not known what it did. `StaleLease` as for a commit.
    fn release_job(
        &self,
        job: JobId,
        lease: LeaseToken,
        retry_at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Cuts up a job that the helper refuses (§4.5.5): its reports wait again, in two halves that
    /// travel alone. A collection that waits for one of them waits for both. `false`, and nothing is
    /// changed, if the job has one report, or if [`MOST_PIECES`] pieces of the task wait already, so
    /// that a helper that refuses everything does not make a job of each report. `StaleLease` as for
    /// a commit.
    ///
    /// Only for a job that the helper has definitely not committed. Reports of a job that it has
    /// would be replays in any other, and the two shares of their batch would differ for good.
    fn split_job(&self, job: JobId, lease: LeaseToken) -> Result<bool, StoreError>;

    /// Gives a job up: its reports are stuck, kept and counted, but left out of jobs and waited for
    /// by no collection. `StaleLease` as for a commit; only for a job that the helper has definitely
    /// not committed.
    fn abandon_job(&self, job: JobId, lease: LeaseToken) -> Result<(), StoreError>;

    /// Commits a helper's job: report IDs, shards and response, all or nothing (§4.5.4.3). A job that
    /// would mix times in a batch of one time is [`HelperOutcome::OtherTime`], whatever else commits
    /// at the same time.
    /// Idempotent: a job of the same ID is [`HelperOutcome::AlreadyDone`].
    fn commit_helper_job(
        &self,
        now: Timestamp,
        job: &HelperJob<'_>,
    ) -> Result<HelperOutcome, StoreError>;

    /// What was answered to a job of the helper, to be answered again.
    fn replay_job(
        &self,
        task: &TaskId,
        id: &AggregationJobId,
    ) -> Result<Option<StoredJob>, StoreError>;

    /// Forgets a helper's response (§4.5.5). The report IDs and shards stay. Idempotent.
    fn delete_job(&self, task: &TaskId, id: &AggregationJobId) -> Result<(), StoreError>;

    /// Asks for a collection (leader). Idempotent by the request's bytes, until the collection
    /// is deleted: then an identical request is a new one, as a leader-selected query must be.
    ///
    /// `id_for` derives the ID from how many identical requests were deleted before; another
    /// number must give another ID, else [`StoreError::CollectionIdTaken`]. A collection that
    /// failed without closing a batch, or reopened it, becomes pending again.
    /// [`StoreError::TooManyCollections`] if [`MOST_PENDING`] of the task are pending: each is looked at
    /// for each segment that waits.
    fn start_collection(
        &self,
        now: Timestamp,
        new: &NewCollection<'_>,
        id_for: &dyn Fn(u64) -> CollectionId,
    ) -> Result<Started, StoreError>;

    /// Collections that are pending or closed, longest due first, at most `limit`. Those
    /// returned are not due again before `retry_at`: a soft lease that spares replicas work.
    /// Two that work on one collection do no harm, since closing and finishing are idempotent.
    fn pending_collections(
        &self,
        now: Timestamp,
        retry_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingCollection>, StoreError>;

    /// The oldest leader-selected batch that is full, still open and without jobs in flight; none that
    /// is set aside. If batches are of one time, a batch of several, which only earlier versions made, is
    /// never next.
    /// Claims nothing: of two collections that close it, one is told `Overlap` and asks again.
    fn next_batch(&self, task: &TaskId) -> Result<Option<BatchId>, StoreError>;

    /// Closes a batch: from then on its buckets count as collected and take no report. `decide`
    /// sees every shard of the batch in the same transaction, so nothing can come in between.
    ///
    /// Waits for nothing: [`Closed::Busy`] as long as a job in flight or a report that waited
    /// when the collection was asked for may belong to the batch. Idempotent: the same
    /// collection gets the blob that was kept, and `decide` is not called. What `decide` says for
    /// the log is written in the same transaction.
    fn close_batch(
        &self,
        now: Timestamp,
        closing: &Closing<'_>,
        decide: &mut Decide<'_>,
    ) -> Result<Closed, StoreError>;

    /// Ends a collection (leader) and returns its state; a result's log entry is written in the same
    /// transaction. The first end stands: a later call changes nothing and returns what it finds. Fails with [`StoreError::UnknownCollection`],
    /// or [`StoreError::NotClosed`] for a result without a closed batch.
    fn finish_collection(
        &self,
        task: &TaskId,
        id: CollectionId,
        outcome: &Outcome,
    ) -> Result<CollectionState, StoreError>;

    /// How far a collection is.
    fn collection(
        &self,
        task: &TaskId,
        id: CollectionId,
    ) -> Result<Option<CollectionState>, StoreError>;

    /// Forgets a collection's request, blobs and shards (§4.6.3, §4.6.5), never that its batch
    /// was closed. Idempotent; nothing for one that does not exist.
    fn delete_collection(&self, task: &TaskId, id: CollectionId) -> Result<(), StoreError>;

    /// Figures about a task.
    fn counts(&self, task: &TaskId) -> Result<Counts, StoreError>;

    /// The reports of a task that were lost in committed jobs, by their reason.
    fn lost(&self, task: &TaskId) -> Result<Vec<LostReports>, StoreError>;

    /// The batches of a task that hold verified reports and were not collected, in their order.
    fn batches(&self, task: &TaskId) -> Result<Vec<BatchSummary>, StoreError>;

    /// The IDs of the reports of a task that are remembered, end to end: those that were accepted
    /// (leader) or aggregated (helper), of times around `time` or of all. `None` if they are more
    /// than `limit`.
    fn report_ids(
        &self,
        task: &TaskId,
        time: Option<Time>,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// What is held of a bucket, for comparing it with what the other aggregator holds.
    fn holding(&self, task: &TaskId, bucket: &BucketKey) -> Result<Holding, StoreError>;

    /// Drops the shards of a bucket that the other aggregator lacks, as agreed with it: if the bucket
    /// still holds exactly what it held then, is not collected, and no job in flight may add to it.
    /// The IDs of their reports stay. A batch that was set aside is put back. The log's entry is
    /// written in the same transaction, if anything is dropped. Idempotent.
    fn repair_batch(&self, repair: &Repair<'_>) -> Result<Repaired, StoreError>;

    /// The collections of a task, oldest first.
    fn collections(&self, task: &TaskId) -> Result<Vec<CollectionSummary>, StoreError>;

    /// Forgets a key pair: what was sealed to it can be opened no more. Idempotent.
    fn delete_key(&self, of: KeyUse, id: u8) -> Result<(), StoreError>;

    /// Replaces a sealed secret that is still `from`; says whether it was.
    fn replace_sealed(
        &self,
        secret: Secret<'_>,
        from: &[u8],
        to: &[u8],
    ) -> Result<bool, StoreError>;

    /// Lets stuck reports wait again, as if their jobs had never been refused; gives their number.
    fn retry_stuck(&self, task: &TaskId) -> Result<u64, StoreError>;

    /// Forgets a bounded part of what may be forgotten. Never that a batch was collected. Reports
    /// whose IDs may be forgotten are replays from then on, whatever the caller's clock says.
    fn forget(&self, expiry: &Expiry) -> Result<Forgotten, StoreError>;

    /// Takes the memory that the store may come to need for what it remembers, in full: a server's memory is
    /// then the same from its first minute on. Without it, memory is taken when it is needed.
    fn reserve(&self);

    /// Packs a bounded part of what is remembered more tightly; says whether there may be more.
    fn compact(&self) -> Result<bool, StoreError>;

    /// Gives room that is free back to the file system, if the backend does that by itself.
    fn give_back(&self) -> Result<(), StoreError>;

    /// Writes entries for the log, but those whose keys are known; gives the number of new ones.
    /// They wait until they are published.
    fn log(&self, entries: &[LogEntry]) -> Result<u64, StoreError>;

    /// Publishes the oldest entries that wait, at most [`PUBLISH_AT_ONCE`]: `build` makes a
    /// checkpoint and pages of them, which are kept and replace older ones of the same names, and
    /// the entries get their indices for good. All in one transaction, one at a time, whatever
    /// other replicas do.
    ///
    /// Every entry of a verb that returned before this call is either published or among those
    /// that wait. Without any that wait, `build` is called only if there is no checkpoint yet.
    fn publish(&self, build: &mut Publish<'_>) -> Result<Published, StoreError>;

    /// How far the log is.
    fn log_head(&self) -> Result<LogHead, StoreError>;

    /// A page of the log, as wide as it is now.
    fn log_page(&self, page: LogPage) -> Result<Option<Blob>, StoreError>;

    /// The index of a published entry, by its key.
    fn log_index(&self, key: &[u8; 32]) -> Result<Option<u64>, StoreError>;

    /// Replaces the checkpoint if it is still `from`, by the same with more signatures; says
    /// whether it was.
    fn replace_checkpoint(&self, from: &[u8], to: &[u8]) -> Result<bool, StoreError>;

    /// Writes down what an operator does, before it is done. Called again, it may be there twice.
    fn write_operator_command(&self, command: &OperatorCommand) -> Result<(), StoreError>;

    /// The newest commands of operators, at most `limit`, in the order in which they were written.
    fn operator_commands(&self, limit: usize) -> Result<Vec<OperatorCommand>, StoreError>;

    /// Proves that the database answers.
    fn ping(&self) -> Result<(), StoreError>;

    /// The connections of this process to the database. Asks the database nothing.
    fn connections(&self) -> Connections;
}

/// Connections of a process to its database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// At most so many.
    pub most: usize,
    /// In use by a verb.
    pub in_use: usize,
    /// Open and free.
    pub idle: usize,
}

/// Proof that a store call has committed. Only the store makes one, so an upload or a job can
/// only be acknowledged once it survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable(());

impl Durable {
    /// For the line after a commit, in a backend.
    fn committed() -> Self {
        Self(())
    }
}

/// Whether an uploaded report is kept, and if not, why.
pub type Acceptance = Result<Durable, Refusal>;

/// Why an uploaded report is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A report of this ID was accepted before.
    Replayed,
    /// The report's batch has been collected.
    BatchCollected,
}

/// Why a verb did not do its work. Safe to log: no variant holds a share or a key.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// The task was never put.
    #[error("the store has no task {0}; add it first")]
    UnknownTask(TaskId),
    /// Another task has the ID.
    #[error("task {0} already exists with another configuration; a changed task needs a new ID")]
    TaskConflict(TaskId),
    /// Another key has the ID.
    #[error("key {0} already exists with another public key; choose a free ID")]
    KeyConflict(u8),
    /// The job has been leased again since, or is over.
    #[error("the lease of job {0} has expired; drop the job and lease again")]
    StaleLease(JobId),
    /// Reports of a leader's job belong to a collected batch.
    #[error("buckets {0:?} were collected while the job was in flight; nothing was committed")]
    Collected(Vec<BucketKey>),
    /// There is no such collection.
    #[error("the task has no such collection; start it first")]
    UnknownCollection,
    /// A collection cannot have a result before its batch is closed.
    #[error("the collection's batch is not closed; close it before giving a result")]
    NotClosed,
    /// The caller's ID for a new collection names an older one.
    #[error("the ID of the new collection is in use; derive it from the generation too")]
    CollectionIdTaken,
    /// As many collections of the task are pending as may be.
    #[error(
        "{MOST_PENDING} collections of the task are pending, the maximum; wait for one, or delete some"
    )]
    TooManyCollections,
    /// No random bytes for a lease or a batch ID.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// What is stored cannot be what was written.
    #[error("the database is damaged: {what}; restore it from a backup")]
    Corrupt {
        /// What was found wrong.
        what: String,
    },
    /// The database did not answer, or the disk is full or failing.
    #[error(
        "the database failed: {what}; check its disk and which other processes use it, then retry"
    )]
    Unavailable {
        /// What it said.
        what: String,
    },
}

/// Most collections of one task that are pending at the same time.
pub const MOST_PENDING: u64 = 64;
/// Pieces of refused jobs of one task at which no other job is cut up.
pub const MOST_PIECES: u64 = 1024;
