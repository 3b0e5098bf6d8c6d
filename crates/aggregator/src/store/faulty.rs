//! A store that fails on purpose, before or after its commit: for tests of the crash cases.
//!
//! *Before* is a database that is away: nothing happened. *After* is the harder one, a crash
//! between the commit and the answer: it happened, and the caller does not know. A caller is
//! right if it recovers from both, at each verb it uses.

use super::{
    Acceptance, BatchSummary, Blob, BucketKey, Closed, Closing, CollectionId, CollectionState,
    CollectionSummary, Connections, Counts, Datastore, Decide, Expiry, Forgotten, HelperJob,
    HelperOutcome, Holding, JobId, KeyRecord, KeyUse, LeaderCommit, LeasePolicy, LeaseToken,
    LeasedJob, LogEntry, LogHead, LogPage, LostReports, NewCollection, OperatorCommand, Outcome,
    PendingCollection, Publish, Published, Put, Repair, Repaired, Secret, Started, StoreError,
    StoredJob, TaskRecord, Timestamp, UploadBatch,
};
use sottovoce_dap::{
    ids::{AggregationJobId, BatchId, TaskId},
    time::Time,
};
use std::sync::{Arc, Mutex, PoisonError};

/// One verb of [`Datastore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    PutTask,
    ChangeTask,
    Task,
    Tasks,
    PutKey,
    Keys,
    AcceptReports,
    LeaseJobs,
    CommitLeaderJob,
    ReleaseJob,
    SplitJob,
    AbandonJob,
    CommitHelperJob,
    ReplayJob,
    DeleteJob,
    StartCollection,
    PendingCollections,
    NextBatch,
    CloseBatch,
    FinishCollection,
    Collection,
    DeleteCollection,
    Counts,
    Batches,
    /// [`Datastore::report_ids`].
    ReportIds,
    Holding,
    RepairBatch,
    Collections,
    DeleteKey,
    ReplaceSealed,
    RetryStuck,
    Forget,
    Compact,
    GiveBack,
    Log,
    Publish,
    LogHead,
    LogPage,
    LogIndex,
    ReplaceCheckpoint,
    WriteOperatorCommand,
    OperatorCommands,
    Ping,
}

/// On which side of the commit a verb fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Nothing happened.
    BeforeCommit,
    /// It happened, but the caller gets an error.
    AfterCommit,
}

/// Wraps a store and fails the verbs that it is told to, once for each time it is told.
pub(crate) struct FaultyStore {
    inner: Arc<dyn Datastore>,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    faults: Vec<(Verb, When)>,
    /// After so many more calls there is nobody any more who could make one.
    ends_after: Option<usize>,
}

impl FaultyStore {
    /// A store that works, until told otherwise.
    pub(crate) fn new(inner: Arc<dyn Datastore>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// Fails the next call of `verb` that is not yet planned to fail.
    pub(crate) fn fail(&self, verb: Verb, when: When) {
        self.plan().faults.push((verb, when));
    }

    /// After `calls` more calls all fail before their commit: the process that makes them is gone.
    pub(crate) fn end_after(&self, calls: usize) {
        self.plan().ends_after = Some(calls);
    }

    /// Forgets what was planned and has not happened.
    pub(crate) fn mend(&self) {
        *self.plan() = Plan::default();
    }

    /// How many planned faults have not happened yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.plan().faults.len()
    }

    fn run<T>(
        &self,
        verb: Verb,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.next_fault(verb) {
            None => work(),
            Some(When::BeforeCommit) => Err(injected(verb)),
            Some(When::AfterCommit) => work().and(Err(injected(verb))),
        }
    }

    fn next_fault(&self, verb: Verb) -> Option<When> {
        let mut plan = self.plan();
        match &mut plan.ends_after {
            Some(0) => return Some(When::BeforeCommit),
            Some(left) => *left -= 1,
            None => {}
        }
        let at = plan.faults.iter().position(|(planned, _)| *planned == verb)?;
        Some(plan.faults.remove(at).1)
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected(verb: Verb) -> StoreError {
    StoreError::Unavailable { what: format!("{verb:?} was made to fail") }
}

impl Datastore for FaultyStore {
    fn put_task(&self, task: &TaskRecord) -> Result<Put, StoreError> {
        self.run(Verb::PutTask, || self.inner.put_task(task))
    }

    fn change_task(&self, from: &TaskRecord, to: &TaskRecord) -> Result<bool, StoreError> {
        self.run(Verb::ChangeTask, || self.inner.change_task(from, to))
    }

    fn task(&self, id: &TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.run(Verb::Task, || self.inner.task(id))
    }

    fn tasks(&self) -> Result<Vec<TaskRecord>, StoreError> {
        self.run(Verb::Tasks, || self.inner.tasks())
    }

    fn put_key(&self, of: KeyUse, key: &KeyRecord) -> Result<Put, StoreError> {
        self.run(Verb::PutKey, || self.inner.put_key(of, key))
    }

    fn keys(&self, of: KeyUse) -> Result<Vec<KeyRecord>, StoreError> {
        self.run(Verb::Keys, || self.inner.keys(of))
    }

    fn accept_reports(
        &self,
        now: Timestamp,
        uploads: &[UploadBatch],
    ) -> Result<Vec<Vec<Acceptance>>, StoreError> {
        self.run(Verb::AcceptReports, || self.inner.accept_reports(now, uploads))
    }

    fn lease_jobs(
        &self,
        now: Timestamp,
        policy: &LeasePolicy,
    ) -> Result<Vec<LeasedJob>, StoreError> {
        self.run(Verb::LeaseJobs, || self.inner.lease_jobs(now, policy))
    }

    fn commit_leader_job(&self, commit: &LeaderCommit<'_>) -> Result<(), StoreError> {
        self.run(Verb::CommitLeaderJob, || self.inner.commit_leader_job(commit))
    }

    fn release_job(
        &self,
        job: JobId,
        lease: LeaseToken,
        retry_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.run(Verb::ReleaseJob, || self.inner.release_job(job, lease, retry_at))
    }

    fn split_job(&self, job: JobId, lease: LeaseToken) -> Result<bool, StoreError> {
        self.run(Verb::SplitJob, || self.inner.split_job(job, lease))
    }

    fn abandon_job(&self, job: JobId, lease: LeaseToken) -> Result<(), StoreError> {
        self.run(Verb::AbandonJob, || self.inner.abandon_job(job, lease))
    }

    fn commit_helper_job(
        &self,
        now: Timestamp,
        job: &HelperJob<'_>,
    ) -> Result<HelperOutcome, StoreError> {
        self.run(Verb::CommitHelperJob, || self.inner.commit_helper_job(now, job))
    }

    fn replay_job(
        &self,
        task: &TaskId,
        id: &AggregationJobId,
    ) -> Result<Option<StoredJob>, StoreError> {
        self.run(Verb::ReplayJob, || self.inner.replay_job(task, id))
    }

    fn delete_job(&self, task: &TaskId, id: &AggregationJobId) -> Result<(), StoreError> {
        self.run(Verb::DeleteJob, || self.inner.delete_job(task, id))
    }

    fn start_collection(
        &self,
        now: Timestamp,
        new: &NewCollection<'_>,
        id_for: &dyn Fn(u64) -> CollectionId,
    ) -> Result<Started, StoreError> {
        self.run(Verb::StartCollection, || self.inner.start_collection(now, new, id_for))
    }

    fn pending_collections(
        &self,
        now: Timestamp,
        retry_at: Timestamp,
        limit: usize,
    ) -> Result<Vec<PendingCollection>, StoreError> {
        self.run(Verb::PendingCollections, || self.inner.pending_collections(now, retry_at, limit))
    }

    fn next_batch(&self, task: &TaskId) -> Result<Option<BatchId>, StoreError> {
        self.run(Verb::NextBatch, || self.inner.next_batch(task))
    }

    fn close_batch(
        &self,
        now: Timestamp,
        closing: &Closing<'_>,
        decide: &mut Decide<'_>,
    ) -> Result<Closed, StoreError> {
        self.run(Verb::CloseBatch, || self.inner.close_batch(now, closing, decide))
    }

    fn finish_collection(
        &self,
        task: &TaskId,
        id: CollectionId,
        outcome: &Outcome,
    ) -> Result<CollectionState, StoreError> {
        self.run(Verb::FinishCollection, || self.inner.finish_collection(task, id, outcome))
    }

    fn collection(
        &self,
        task: &TaskId,
        id: CollectionId,
    ) -> Result<Option<CollectionState>, StoreError> {
        self.run(Verb::Collection, || self.inner.collection(task, id))
    }

    fn delete_collection(&self, task: &TaskId, id: CollectionId) -> Result<(), StoreError> {
        self.run(Verb::DeleteCollection, || self.inner.delete_collection(task, id))
    }

    fn counts(&self, task: &TaskId) -> Result<Counts, StoreError> {
        self.run(Verb::Counts, || self.inner.counts(task))
    }

    fn lost(&self, task: &TaskId) -> Result<Vec<LostReports>, StoreError> {
        self.run(Verb::Counts, || self.inner.lost(task))
    }

    fn connections(&self) -> Connections {
        self.inner.connections()
    }

    fn batches(&self, task: &TaskId) -> Result<Vec<BatchSummary>, StoreError> {
        self.run(Verb::Batches, || self.inner.batches(task))
    }

    fn report_ids(
        &self,
        task: &TaskId,
        time: Option<Time>,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(Verb::ReportIds, || self.inner.report_ids(task, time, limit))
    }

    fn holding(&self, task: &TaskId, bucket: &BucketKey) -> Result<Holding, StoreError> {
        self.run(Verb::Holding, || self.inner.holding(task, bucket))
    }

    fn repair_batch(&self, repair: &Repair<'_>) -> Result<Repaired, StoreError> {
        self.run(Verb::RepairBatch, || self.inner.repair_batch(repair))
    }

    fn collections(&self, task: &TaskId) -> Result<Vec<CollectionSummary>, StoreError> {
        self.run(Verb::Collections, || self.inner.collections(task))
    }

    fn delete_key(&self, of: KeyUse, id: u8) -> Result<(), StoreError> {
        self.run(Verb::DeleteKey, || self.inner.delete_key(of, id))
    }

    fn replace_sealed(
        &self,
        secret: Secret<'_>,
        from: &[u8],
        to: &[u8],
    ) -> Result<bool, StoreError> {
        self.run(Verb::ReplaceSealed, || self.inner.replace_sealed(secret, from, to))
    }

    fn retry_stuck(&self, task: &TaskId) -> Result<u64, StoreError> {
        self.run(Verb::RetryStuck, || self.inner.retry_stuck(task))
    }

    fn forget(&self, expiry: &Expiry) -> Result<Forgotten, StoreError> {
        self.run(Verb::Forget, || self.inner.forget(expiry))
    }

    fn reserve(&self) {
        self.inner.reserve();
    }

    fn compact(&self) -> Result<bool, StoreError> {
        self.run(Verb::Compact, || self.inner.compact())
    }

    fn give_back(&self) -> Result<(), StoreError> {
        self.run(Verb::GiveBack, || self.inner.give_back())
    }

    fn log(&self, entries: &[LogEntry]) -> Result<u64, StoreError> {
        self.run(Verb::Log, || self.inner.log(entries))
    }

    fn publish(&self, build: &mut Publish<'_>) -> Result<Published, StoreError> {
        self.run(Verb::Publish, || self.inner.publish(build))
    }

    fn log_head(&self) -> Result<LogHead, StoreError> {
        self.run(Verb::LogHead, || self.inner.log_head())
    }

    fn log_page(&self, page: LogPage) -> Result<Option<Blob>, StoreError> {
        self.run(Verb::LogPage, || self.inner.log_page(page))
    }

    fn log_index(&self, key: &[u8; 32]) -> Result<Option<u64>, StoreError> {
        self.run(Verb::LogIndex, || self.inner.log_index(key))
    }

    fn replace_checkpoint(&self, from: &[u8], to: &[u8]) -> Result<bool, StoreError> {
        self.run(Verb::ReplaceCheckpoint, || self.inner.replace_checkpoint(from, to))
    }

    fn write_operator_command(&self, command: &OperatorCommand) -> Result<(), StoreError> {
        self.run(Verb::WriteOperatorCommand, || self.inner.write_operator_command(command))
    }

    fn operator_commands(&self, limit: usize) -> Result<Vec<OperatorCommand>, StoreError> {
        self.run(Verb::OperatorCommands, || self.inner.operator_commands(limit))
    }

    fn ping(&self) -> Result<(), StoreError> {
        self.run(Verb::Ping, || self.inner.ping())
    }
}

mod tests {
    use super::*;
    use crate::store::{
        BatchingMode, Refusal,
        sqlite::{SqliteStore, tests::bench},
        suite::Bench,
    };
    use sottovoce_dap::{ids::ReportId, time::Time};

    /// The suite's database behind a wrapper that is told nothing.
    struct Wrapped<B>(B);

    impl<B: Bench> Bench for Wrapped<B> {
        fn open(&self) -> Arc<dyn Datastore> {
            Arc::new(FaultyStore::new(self.0.open()))
        }
    }

    fn wrapped() -> impl Bench {
        Wrapped(bench())
    }

    mod without_faults {
        use super::super::super::suite;
        suite::conformance!(crate::store::faulty::tests::wrapped);
    }

    fn store() -> (FaultyStore, TaskId) {
        let store = FaultyStore::new(Arc::new(SqliteStore::in_memory().unwrap()));
        let id = TaskId::new([1; 32]);
        let mode = BatchingMode::TimeInterval;
        let task = TaskRecord { id, mode, public: vec![].into(), sealed: vec![].into() };
        store.put_task(&task).unwrap();
        (store, id)
    }

    #[test]
    fn a_fault_before_the_commit_did_nothing_and_one_after_it_did_all() {
        for (when, then) in
            [(When::BeforeCommit, None), (When::AfterCommit, Some(Refusal::Replayed))]
        {
            let (store, task) = store();
            let mut upload = UploadBatch::new(task);
            upload.push(ReportId::new([1; 16]), Time(1), b"report").unwrap();
            store.fail(Verb::AcceptReports, when);
            let uploads = [upload];
            let error = store.accept_reports(Timestamp(0), &uploads).unwrap_err();
            assert!(matches!(error, StoreError::Unavailable { .. }));
            assert_eq!(store.faults_left(), 0);
            let again = store.accept_reports(Timestamp(0), &uploads).unwrap();
            assert_eq!(again[0][0].err(), then, "{when:?}");
        }
    }

    #[test]
    fn only_the_chosen_verb_fails_and_as_often_as_it_was_told() {
        let (store, task) = store();
        store.fail(Verb::Counts, When::BeforeCommit);
        store.fail(Verb::Counts, When::AfterCommit);
        assert!(store.task(&task).is_ok());
        assert_eq!([(); 3].map(|()| store.counts(&task).is_ok()), [false, false, true]);
        assert_eq!(store.faults_left(), 0);
    }
}
