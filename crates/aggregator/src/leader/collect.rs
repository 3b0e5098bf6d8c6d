//! Collection jobs (§4.6): from the collector's request to both encrypted aggregate shares.
//!
//! A job waits until everything that was uploaded for its batch is aggregated. Then its batch is
//! closed: in one transaction our total is frozen, together with the request for the helper's
//! share, and the batch takes no more reports. Killed here: the frozen request is sent again,
//! byte for byte, and the helper finds the share that it gave out. Only when that share is here
//! is our own sealed, and the job is done.

use super::{Leader, pending_collections::Reason};
use crate::{
    blocking, clock,
    collection::{
        FullBatch, NotReleased, ShareError, check_request, full_batch, noisy_share, not_over,
        seal_aggregate_share, until_over,
    },
    http::Failure,
    log::{Covered, LogError, entries},
    store::{
        Blob, BucketRange, BucketShard, Closed, Closing, CollectionId, CollectionState,
        NewCollection, Outcome, PendingCollection, Started, StoreError, Then, Timestamp, Wanted,
    },
    task::{LeaderTask, Task},
};
use sottovoce_dap::{
    codec::{Decode, DecodeError, Encode, Opaque, Reader, U32},
    collect::{
        AggregateShare, AggregateShareReq, BatchSelector, CollectionJobReq, CollectionJobResp,
        Query,
    },
    exchange::{Create, ExchangeError},
    ids::{CollectionJobId, TaskId, content_derived},
    problem::{ProblemDocument, ProblemType},
    role::Role,
    time::Interval,
};
use sottovoce_log::entry::EntryTooLong;
use sottovoce_transport::{
    error::TransportError,
    exchange::{IncompleteError, Patience, complete},
    peers::origin,
    retry::Backoff,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What a collector sees of its job.
#[derive(Debug)]
pub enum Progress {
    /// It is not over.
    Pending,
    /// Both aggregators' shares, encoded, once our log has the release.
    Done(Covered<Vec<u8>>),
}

/// Takes on a collection job, or finds it again (§4.6.1).
pub(super) fn create(
    leader: &Leader,
    task: &LeaderTask,
    body: &[u8],
    now: Timestamp,
) -> Result<(CollectionJobId, Progress), Failure> {
    let task = &task.task;
    let request =
        CollectionJobReq::from_bytes(body).map_err(|e| Failure::malformed(&task.id, &e))?;
    check_request(task, &request)?;
    let wanted = match &request.query {
        Query::TimeInterval(interval) => {
            let interval = interval.interval().ok_or_else(|| not_an_interval(task))?;
            if let Some(left) = until_over(task, &interval, now) {
                return Err(Failure::Refused(Box::new(not_over(task, &interval, left))));
            }
            Wanted::Range(BucketRange::interval(&interval))
        }
        Query::LeaderSelected => Wanted::NextBatch,
    };
    // A leader-selected query is the same bytes each time, and asks for another batch once the
    // last one was deleted: hence the generation.
    let id_for = |generation: u64| {
        let content = [&generation.to_be_bytes(), body].concat();
        CollectionJobId::new(content_derived("collection job", &task.id, &content)).into()
    };
    let new = NewCollection { task: &task.id, request: body, wanted: &wanted };
    let started = leader.store.start_collection(now, &new, &id_for).map_err(Failure::from)?;
    let (id, progress) = match started {
        Started::New(id) => (id, Progress::Pending),
        Started::Existing(id, state) => (id, progress(leader, state)?.unwrap_or(Progress::Pending)),
    };
    Ok((CollectionJobId::new(*id.as_bytes()), progress))
}

fn not_an_interval(task: &Task) -> Failure {
    let detail = "the query's interval must be at least one time precision long, and its end must not overflow";
    Failure::problem(ProblemType::BatchInvalid, Some(&task.id), detail)
}

/// How a collection job stands.
pub(super) fn poll(
    leader: &Leader,
    task: &LeaderTask,
    id: CollectionJobId,
) -> Result<Progress, Failure> {
    let state = leader.store.collection(&task.task.id, id.into()).map_err(Failure::from)?;
    state.map_or(Ok(None), |state| progress(leader, state))?.ok_or(Failure::NotFound)
}

/// Abandons a job; what was collected stays collected (§4.6.3).
pub(super) fn delete(
    leader: &Leader,
    task: &LeaderTask,
    id: CollectionJobId,
) -> Result<(), Failure> {
    leader.store.delete_collection(&task.task.id, id.into()).map_err(Failure::from)
}

fn progress(leader: &Leader, state: CollectionState) -> Result<Option<Progress>, Failure> {
    match state {
        CollectionState::Pending | CollectionState::Closed(_) => Ok(Some(Progress::Pending)),
        // Killed after the end was committed and before it was published: it is published now.
        CollectionState::Finished(response) => {
            Ok(Some(Progress::Done(leader.log.cover(response.into_bytes())?)))
        }
        CollectionState::Failed(problem) => {
            let problem = serde_json::from_slice(&problem).map_err(Failure::fault)?;
            Err(Failure::Refused(Box::new(problem)))
        }
        CollectionState::Deleted => Ok(None),
    }
}

/// The collections that somebody works on, each by itself, so that none waits for another one's helper.
#[derive(Default)]
pub(super) struct InProgress {
    pub(super) work: JoinSet<()>,
    claims: Arc<Mutex<Claims>>,
}

type Name = (TaskId, CollectionId);

#[derive(Default)]
struct Claims {
    claimed: HashSet<Name>,
    cool_downs: HashMap<Name, CoolDown>,
}

/// That a collection failed, and is in backoff, ever longer.
#[derive(Clone, Copy)]
struct CoolDown {
    failures: u32,
    until: Instant,
}

/// That a collection is worked on, until this is dropped.
struct Claim {
    name: Name,
    claims: Arc<Mutex<Claims>>,
}

impl InProgress {
    fn claim(&self, name: Name, now: Instant) -> Option<Claim> {
        let mut claims = lock(&self.claims);
        if claims.cool_downs.get(&name).is_some_and(|cool_down| cool_down.until > now) {
            return None;
        }
        claims.claimed.insert(name).then(|| Claim { name, claims: Arc::clone(&self.claims) })
    }
}

impl Claim {
    /// The collection is in backoff, no shorter than the helper's Retry-After.
    fn failed(&self, asked: Option<Duration>, now: Instant) {
        let mut claims = lock(&self.claims);
        // Those that were deleted meanwhile are not asked for again.
        claims.cool_downs.retain(|_, cool_down| cool_down.until + LONGEST_RETRY > now);
        let failures = claims.cool_downs.get(&self.name).map_or(0, |cool_down| cool_down.failures);
        let asked = asked.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        let until = now + Backoff::at_attempt(FIRST_RETRY, LONGEST_RETRY, failures).max(asked);
        claims
            .cool_downs
            .insert(self.name, CoolDown { failures: failures.saturating_add(1), until });
    }

    fn progressed(&self) {
        lock(&self.claims).cool_downs.remove(&self.name);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.claims).claimed.remove(&self.name);
    }
}

fn lock(claims: &Mutex<Claims>) -> MutexGuard<'_, Claims> {
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The backoff of a collection that failed: the first, and the longest.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(10);
/// The longest that a helper may ask for: its clock may be put right before.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Begins to bring each open collection job as far as it gets now; says whether there are any. They are
/// due again after `pause`.
pub(super) async fn advance(
    leader: &Arc<Leader>,
    in_progress: &mut InProgress,
    pause: Duration,
) -> bool {
    let pending = {
        let leader = Arc::clone(leader);
        blocking::spawn(move || {
            let now = clock::now();
            leader.store.pending_collections(now, now.after(pause), AT_ONCE)
        })
    };
    let pending = match pending.await {
        Ok(Ok(pending)) => pending,
        Ok(Err(error)) => {
            tracing::error!(%error, "cannot read collection jobs from the database");
            return false;
        }
        Err(error) => {
            tracing::error!(%error, "the reader of collection jobs failed");
            return false;
        }
    };
    let any = !pending.is_empty() || !in_progress.work.is_empty();
    for collection in pending {
        let name = (collection.task, collection.id);
        let Some(claim) = in_progress.claim(name, clock::instant()) else { continue };
        let leader = Arc::clone(leader);
        in_progress.work.spawn(async move { work_on(&leader, collection, claim).await });
    }
    any
}

async fn work_on(leader: &Arc<Leader>, collection: PendingCollection, claim: Claim) {
    let waits = match advance_one(leader, collection).await {
        Ok(Step::Over) => {
            claim.progressed();
            leader.pending_collections.ended(&claim.name);
            leader.ended.notify_waiters();
            return;
        }
        Ok(Step::Waits(reason)) => {
            claim.progressed();
            (reason, None)
        }
        Err(error) => {
            claim.failed(error.retry_after(), clock::instant());
            (error.reason(), Some(error.to_string()))
        }
    };
    let (reason, error) = waits;
    leader.pending_collections.still_waits(claim.name, reason, error, clock::instant());
}

/// How far a collection got.
enum Step {
    /// To its end.
    Over,
    /// Not further, for this reason.
    Waits(Reason),
}

const AT_ONCE: usize = 64;

#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("the database refers to task {0} and does not have it; restore it from a backup")]
    NoTask(sottovoce_dap::ids::TaskId),
    #[error(transparent)]
    Tasks(#[from] crate::tasks::TasksError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Helper(#[from] IncompleteError),
    #[error("the stored collection job does not decode: {0}")]
    Stored(#[from] DecodeError),
    #[error("our aggregate share cannot be encrypted: {0}")]
    Seal(#[from] sottovoce_dap::hpke::HpkeError),
    #[error(transparent)]
    Share(#[from] ShareError),
    #[error(transparent)]
    Entry(#[from] EntryTooLong),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the worker of the collection failed: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

impl CollectError {
    /// The helper's Retry-After.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Helper(
                IncompleteError::Transport(error) | IncompleteError::Failing { last: error, .. },
            ) => error.retry_after(),
            _ => None,
        }
    }

    fn reason(&self) -> Reason {
        match self {
            Self::Helper(_) => Reason::HelperFails,
            _ => Reason::OurFault,
        }
    }
}

async fn advance_one(
    leader: &Arc<Leader>,
    collection: PendingCollection,
) -> Result<Step, CollectError> {
    let prepared = {
        let leader = Arc::clone(leader);
        blocking::spawn(move || prepare(&leader, collection)).await??
    };
    let Prepared { task, collection, frozen } = match prepared {
        Ok(prepared) => prepared,
        Err(step) => return Ok(step),
    };
    let helper = origin(task.task.configuration.helper_aggregator_endpoint.as_str());
    let Some(permit) = leader.quotas.collections.acquire(helper, clock::instant()) else {
        let backed_off = leader.quotas.collections.is_backed_off(helper);
        return Ok(Step::Waits(if backed_off { Reason::HelperFails } else { Reason::HelperBusy }));
    };
    let asked = ask_helper(leader, &task, &frozen).await;
    leader.record_answer(&permit, &task.task.id, asked.as_ref().err());
    drop(permit);
    let outcome = match asked {
        Ok(helper_encrypted_agg_share) => {
            let request = CollectionJobReq::from_bytes(&collection.request)?;
            let ours = seal_aggregate_share(&task.task, Role::Leader, &request, &frozen.share)?;
            let entry = entries::release(&task.task, &frozen.batch()?, &ours, clock::now())?;
            let response = CollectionJobResp {
                report_count: frozen.report_count,
                interval: frozen.interval,
                leader_encrypted_agg_share: ours,
                helper_encrypted_agg_share,
            };
            Outcome::Finished { response: response.to_bytes().into(), entry }
        }
        Err(error) => refused_by_helper(&task.task, error)?,
    };
    let leader = Arc::clone(leader);
    blocking::spawn(move || {
        if let Outcome::Failed(problem)
        | Outcome::FailedReopened(problem)
        | Outcome::FailedAside(problem) = &outcome
        {
            let problem = serde_json::from_slice(problem).unwrap_or_else(|_| unnamed_problem());
            let batch = Some(frozen.batch()?.selector);
            leader.log.refuse(&task.task, batch, &problem, clock::now())?;
        }
        let ended = leader.store.finish_collection(&collection.task, collection.id, &outcome)?;
        if matches!(ended, CollectionState::Finished(_)) {
            leader.metrics.released(&task.task);
        }
        Ok::<_, CollectError>(())
    })
    .await??;
    Ok(Step::Over)
}

/// A refusal that asking again does not change ends the job with the helper's own words. Nothing
/// of the batch was released, so it may be collected later, unless the helper says that it was. One
/// that is about this batch does not block those behind it.
fn refused_by_helper(task: &Task, error: IncompleteError) -> Result<Outcome, CollectError> {
    let IncompleteError::Transport(refusal) = &error else { return Err(error.into()) };
    if refusal.is_retryable() {
        return Err(error.into());
    }
    let TransportError::Exchange { source: ExchangeError::Problem { problem, .. }, .. } = refusal
    else {
        return Err(error.into());
    };
    let Some(kind) = problem.kind() else { return Err(error.into()) };
    tracing::warn!(
        task = %task.id, %error,
        "the helper refused its aggregate share; `batches compare` lists the reports that differ"
    );
    // Not in the helper's words: they are for our operator, and may say more than others may know.
    let detail = format!("the helper refused its share of the batch: {}", kind.token());
    let ours = encode_problem(&ProblemDocument::new(kind, Some(&task.id), &detail));
    Ok(match kind {
        ProblemType::BatchOverlap => Outcome::Failed(ours.into()),
        ProblemType::BatchMismatch | ProblemType::InvalidBatchSize | ProblemType::BatchInvalid => {
            Outcome::FailedAside(ours.into())
        }
        _ => Outcome::FailedReopened(ours.into()),
    })
}

fn unnamed_problem() -> ProblemDocument {
    ProblemDocument::untyped(500, "the collection failed")
}

fn encode_problem(problem: &ProblemDocument) -> Vec<u8> {
    serde_json::to_vec(problem).unwrap_or_default()
}

/// A job whose batch is closed.
struct Prepared {
    task: Arc<LeaderTask>,
    collection: PendingCollection,
    frozen: Frozen,
}

/// What is kept of a closed batch until the helper's share is here.
#[derive(Debug, PartialEq, Eq)]
struct Frozen {
    report_count: u64,
    interval: Interval,
    share: Vec<u8>,
    /// The encoded [`AggregateShareReq`].
    request: Vec<u8>,
}

impl Frozen {
    fn batch(&self) -> Result<entries::Batch, DecodeError> {
        let request = AggregateShareReq::from_bytes(&self.request)?;
        Ok(entries::Batch {
            selector: request.batch_selector,
            report_count: self.report_count,
            checksum: request.checksum,
            interval: self.interval,
        })
    }
}

/// The first byte of a batch that was closed because each of its windows was full and over. Before there was
/// that rule it was the first of the number of reports, which is 0.
const WINDOWS_CHECKED: u8 = 1;

impl Encode for Frozen {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(WINDOWS_CHECKED);
        self.report_count.encode(out);
        self.interval.encode(out);
        for bytes in [&self.share, &self.request] {
            sottovoce_dap::codec::encode_vector(out, U32, |out| out.extend_from_slice(bytes));
        }
    }
}

impl Decode for Frozen {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let judged = reader.u8("mark of a closed batch")?;
        if judged != WINDOWS_CHECKED {
            let field = "mark of a closed batch";
            return Err(DecodeError::Unknown { field, value: judged.into() });
        }
        Ok(Self {
            report_count: reader.u64("report count")?,
            interval: Interval::decode(reader)?,
            share: Opaque::<0, U32>::decode(reader)?.into_bytes(),
            request: Opaque::<0, U32>::decode(reader)?.into_bytes(),
        })
    }
}

/// Closes the batch of a job if it is ready, or ends the job if it never will be.
fn prepare(
    leader: &Leader,
    collection: PendingCollection,
) -> Result<Result<Prepared, Step>, CollectError> {
    let task = leader.tasks.find(&collection.task)?.ok_or(CollectError::NoTask(collection.task))?;
    if let CollectionState::Closed(blob) = &collection.state {
        if blob.first() != Some(&WINDOWS_CHECKED) {
            return reopen(leader, &task.task, &collection, blob).map(|()| Err(Step::Over));
        }
        let frozen = Frozen::from_bytes(blob)?;
        return Ok(Ok(Prepared { task, collection, frozen }));
    }
    let request = CollectionJobReq::from_bytes(&collection.request)?;
    let Some((selector, range)) = select(leader, &task.task, &request)? else {
        return Ok(Err(Step::Waits(Reason::NoFullBatch)));
    };
    // Taken on by an earlier version, or before our clock was put back.
    if let Some(problem) = early(&task.task, &selector, clock::now()) {
        fail(leader, &task.task, &collection, selector, &problem)?;
        return Ok(Err(Step::Over));
    }
    let mut refusal = None;
    let mut decide = |shards: &mut dyn Iterator<Item = BucketShard>| {
        let frozen = freeze(&task.task, &request, selector, shards);
        frozen.map(|frozen| Blob::from(frozen).into()).map_err(|reason| refusal = Some(reason)).ok()
    };
    let closing = Closing {
        task: &collection.task,
        id: collection.id,
        request: &collection.request,
        range: &range,
        then: Then::AwaitPeer,
    };
    match leader.store.close_batch(clock::now(), &closing, &mut decide)? {
        Closed::Kept(blob) => {
            let frozen = Frozen::from_bytes(&blob)?;
            Ok(Ok(Prepared { task, collection, frozen }))
        }
        Closed::Busy => Ok(Err(Step::Waits(Reason::NotAggregated))),
        Closed::Over(_) => Ok(Err(Step::Over)),
        Closed::Refused => {
            match refusal {
                // An identical request tries again (§4.6.1).
                Some(NotFrozen::Refused(problem)) => {
                    fail(leader, &task.task, &collection, selector, &problem)?;
                    Ok(Err(Step::Over))
                }
                Some(NotFrozen::Broken(error)) => Err(error.into()),
                _ => Ok(Err(Step::Waits(Reason::NoFullBatch))),
            }
        }
        Closed::Overlap => {
            let detail =
                "reports of this batch were already collected; a batch can be collected only once";
            let id = Some(&task.task.id);
            let problem = ProblemDocument::new(ProblemType::BatchOverlap, id, detail);
            fail(leader, &task.task, &collection, selector, &problem)?;
            Ok(Err(Step::Over))
        }
    }
}

/// Opens a batch again that an earlier version closed without a look at its windows. Our share of it has not
/// left; an identical request closes it anew, if it may.
fn reopen(
    leader: &Leader,
    task: &Task,
    collection: &PendingCollection,
    unjudged: &[u8],
) -> Result<(), CollectError> {
    let frozen = Frozen::from_bytes(&[&[WINDOWS_CHECKED], unjudged].concat())?;
    let detail = "the batch was closed by an earlier version, which did not require that each of its windows is full and over; it is open again: collect it once more";
    let problem = ProblemDocument::new(ProblemType::BatchInvalid, Some(&task.id), detail);
    fail(leader, task, collection, frozen.batch()?.selector, &problem)
}

/// Ends a job that has closed no batch; an identical request tries again.
fn fail(
    leader: &Leader,
    task: &Task,
    collection: &PendingCollection,
    batch: BatchSelector,
    problem: &ProblemDocument,
) -> Result<(), CollectError> {
    leader.log.refuse(task, Some(batch), problem, clock::now())?;
    let outcome = Outcome::FailedReopened(encode_problem(problem).into());
    leader.store.finish_collection(&collection.task, collection.id, &outcome)?;
    Ok(())
}

/// The batch that a query asks for; `None` if the leader has none to select yet.
fn select(
    leader: &Leader,
    task: &Task,
    request: &CollectionJobReq,
) -> Result<Option<(BatchSelector, BucketRange)>, StoreError> {
    Ok(match request.query {
        Query::TimeInterval(batch) => batch
            .interval()
            .map(|interval| (BatchSelector::TimeInterval(batch), BucketRange::interval(&interval))),
        Query::LeaderSelected => {
            let batch = leader.store.next_batch(&task.id)?;
            batch.map(|id| (BatchSelector::LeaderSelected(id), BucketRange::batch(&id)))
        }
    })
}

/// Why a batch is not closed.
enum NotFrozen {
    /// A leader-selected batch that may still grow.
    Unfinished,
    Refused(Box<ProblemDocument>),
    Broken(ShareError),
}

impl NotFrozen {
    fn of(selector: &BatchSelector, reason: NotReleased) -> Self {
        match (reason, selector) {
            (NotReleased::TooFew(_), BatchSelector::LeaderSelected(_)) => Self::Unfinished,
            (NotReleased::TooFew(problem) | NotReleased::Mixed(problem), _) => {
                Self::Refused(problem)
            }
            (NotReleased::Broken(error), _) => Self::Broken(error.into()),
        }
    }
}

/// Adds the batch up, and writes down what the helper will be asked.
fn freeze(
    task: &Task,
    request: &CollectionJobReq,
    batch_selector: BatchSelector,
    shards: &mut dyn Iterator<Item = BucketShard>,
) -> Result<Vec<u8>, NotFrozen> {
    let FullBatch { total, interval } =
        full_batch(task, shards).map_err(|reason| NotFrozen::of(&batch_selector, reason))?;
    let request = AggregateShareReq {
        collection_job_req: request.clone(),
        batch_selector,
        report_count: total.count,
        checksum: total.checksum,
    };
    let request = request.to_bytes();
    let share = noisy_share(task, total.share, total.windows).map_err(NotFrozen::Broken)?;
    Ok(Frozen { report_count: total.count, interval, share, request }.to_bytes())
}

/// Why a batch that is an interval is not collected yet, if it is not over.
fn early(task: &Task, selector: &BatchSelector, now: Timestamp) -> Option<ProblemDocument> {
    let BatchSelector::TimeInterval(batch) = selector else { return None };
    let interval = batch.interval()?;
    let left = until_over(task, &interval, now)?;
    Some(not_over(task, &interval, left))
}

/// Obtains the helper's aggregate share (§4.6.4).
async fn ask_helper(
    leader: &Leader,
    task: &LeaderTask,
    frozen: &Frozen,
) -> Result<sottovoce_dap::hpke::HpkeCiphertext, IncompleteError> {
    let endpoint = &task.task.configuration.helper_aggregator_endpoint;
    let create = Create::<AggregateShare>::new(endpoint, &task.task.id, frozen.request.clone());
    let token = Some(&task.helper_token);
    let share = complete(&leader.http, &create, token, &PATIENCE, |_, _| ()).await?;
    Ok(share.value.encrypted_aggregate_share)
}

const PATIENCE: Patience = Patience {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(10),
    total: Duration::from_secs(60),
    // The collection stays in the database and is asked for again.
    through_failures: false,
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sottovoce_dap::time::Time;

    #[test]
    fn a_batch_that_was_closed_before_windows_were_looked_at_is_told_from_others() {
        let interval = Interval::new(Time(7), 2).unwrap();
        let frozen = Frozen { report_count: 300, interval, share: vec![1, 2], request: vec![3] };
        let bytes = frozen.to_bytes();
        assert_eq!(Frozen::from_bytes(&bytes).unwrap(), frozen);
        let unjudged = &bytes[1..];
        assert!(bytes[0] == WINDOWS_CHECKED && unjudged[0] != WINDOWS_CHECKED);
        assert!(Frozen::from_bytes(unjudged).is_err());
    }

    proptest! {
        #[test]
        fn what_is_kept_of_a_closed_batch_is_read_as_it_was_written_or_refused(
            start in any::<u64>(), duration in 1_u64.., share in prop::collection::vec(any::<u8>(), 0..40),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3), end in 0_usize..90,
        ) {
            let Ok(interval) = Interval::new(Time(start), duration) else { return Ok(()) };
            let mut bytes = Frozen { report_count: 3, interval, share, request: vec![7; 9] }.to_bytes();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(end);
            if let Ok(frozen) = Frozen::from_bytes(&bytes) {
                prop_assert_eq!(frozen.to_bytes(), bytes);
                let _ = frozen.batch();
            }
        }
    }
}
