//! Aggregation jobs (§4.5): what the leader leases and commits, what the helper commits and
//! replays.

use super::{Blob, BucketKey, BucketShard, Durable, Segment, Timestamp, UploadBatch};
use rand::{TryRng, rngs::SysRng};
use sottovoce_dap::{
    ids::{AggregationJobId, BatchId, NoRandomness, ReportId, TaskId},
    time::Time,
};
use std::{collections::HashMap, time::Duration};

/// How jobs are made and for how long they are lent.
#[derive(Clone, Debug)]
pub struct LeasePolicy {
    /// How long a job is the caller's; after that another may take it.
    pub lease_for: Duration,
    /// Reports at which a job is full. A single segment may be larger.
    pub max_reports: u64,
    /// Bytes at which a job is full. A single segment may be larger.
    pub max_bytes: u64,
    /// How long a report may wait for company before a job leaves without being full.
    pub linger: Duration,
    /// Most jobs to lease in one call.
    pub limit: usize,
    /// Whether new jobs come before those that are leased again. Whoever leases often takes turns, so that
    /// neither keeps the other waiting.
    pub new_first: bool,
    /// Tasks that share what room there is for them. Others have all of `limit`.
    pub quotas: Vec<Quota>,
}

/// Tasks that have one peer, and how many jobs that peer has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The tasks.
    pub tasks: Vec<TaskId>,
    /// Most jobs of all of them to lease in one call.
    pub room: usize,
}

/// What is left of a policy's room while jobs are leased.
pub(super) struct QuotaLeft {
    left: usize,
    quotas: HashMap<TaskId, usize>,
    rooms: Vec<usize>,
}

impl QuotaLeft {
    pub(super) fn of(policy: &LeasePolicy) -> Self {
        let quotas = policy.quotas.iter().enumerate();
        let quotas = quotas.flat_map(|(at, quota)| quota.tasks.iter().map(move |task| (*task, at)));
        Self {
            left: policy.limit,
            quotas: quotas.collect(),
            rooms: policy.quotas.iter().map(|quota| quota.room).collect(),
        }
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Whether another job of a task may be leased.
    pub(super) fn has_for(&self, task: &TaskId) -> bool {
        self.left > 0 && self.quotas.get(task).is_none_or(|at| self.rooms[*at] > 0)
    }

    /// A job of a task is leased.
    pub(super) fn take(&mut self, task: &TaskId) {
        self.left = self.left.saturating_sub(1);
        if let Some(at) = self.quotas.get(task) {
            self.rooms[*at] = self.rooms[*at].saturating_sub(1);
        }
    }

    /// Tasks for which there is no room.
    #[cfg(feature = "postgres")]
    pub(super) fn full(&self) -> Vec<&[u8]> {
        let full = self.quotas.iter().filter(|(_, at)| self.rooms[**at] == 0);
        full.map(|(task, _)| &task.as_bytes()[..]).collect()
    }
}

/// The last moment that anybody waits for who waits for so long at most. What waits for a later one
/// was put off by a clock that was ahead and has been put back.
pub(super) fn last_wait(now: Timestamp, longest: Duration) -> Timestamp {
    now.after(longest.saturating_add(SKEW))
}

/// How far the clocks of replicas may be apart.
const SKEW: Duration = Duration::from_secs(60);
/// Longer than a report or a job is put off by whoever has it.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Names one of the leader's jobs in this store. The peer never learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId(pub(super) i64);

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Fences off those who held the job before: each lease has another random token, and only the
/// current one may end the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub(super) [u8; 16]);

impl LeaseToken {
    pub(super) fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 16];
        SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }
}

/// A job of the leader, lent to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedJob {
    /// Its task.
    pub task: TaskId,
    /// Names the job in later calls.
    pub job: JobId,
    /// Proves in later calls that the job is still the caller's.
    pub lease: LeaseToken,
    /// 1 at first, one more each time it is leased again.
    pub attempt: u32,
    /// The batch that its reports go in, if the task is leader-selected.
    pub batch: Option<BatchId>,
    /// How often jobs with its reports were cut up before.
    pub cuts: u32,
    /// The reports. The same at every attempt, in the same order.
    pub segments: Vec<Segment>,
}

impl LeasedJob {
    /// The reports of all segments, each with its time.
    pub fn reports(&self) -> impl Iterator<Item = (Time, &[u8])> {
        self.segments.iter().flat_map(Segment::reports)
    }
}

/// The end of a leader's job.
#[derive(Clone, Copy, Debug)]
pub struct LeaderCommit<'a> {
    /// The job.
    pub job: JobId,
    /// The caller's lease of it.
    pub lease: LeaseToken,
    /// What its verified reports add to their buckets.
    pub shards: &'a [BucketShard],
    /// Reports that are to wait for another job.
    pub again: Option<Again<'a>>,
    /// Reports that will never count, to be added to those of earlier jobs. No reason twice.
    pub lost: &'a [LostReports],
}

/// Reports that were accepted and failed verification for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostReports {
    /// Why: the caller's code.
    pub reason: u8,
    /// How many.
    pub reports: u64,
}

/// Reports of a job that the helper refused only for now (`report_too_early`): accepted is
/// accepted, so they go back to their place among those that wait: a collection that was asked for
/// since waits for them.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// The reports; their IDs are those of the job.
    pub reports: &'a UploadBatch,
    /// From when on they may be leased.
    pub from: Timestamp,
}

/// The whole of a helper's job.
#[derive(Clone, Copy, Debug)]
pub struct HelperJob<'a> {
    /// Its task.
    pub task: &'a TaskId,
    /// Its ID, derived from the request.
    pub id: &'a AggregationJobId,
    /// SHA-256 of the request.
    pub request_digest: &'a [u8; 32],
    /// Each report that is committed, with its time. No ID twice.
    pub reports: &'a [(ReportId, Time)],
    /// What those reports add to their buckets.
    pub shards: &'a [BucketShard],
    /// Encoded response, to be given again if the request comes again.
    pub response: &'a [u8],
    /// Reports that will never count, to be added to those of earlier jobs. No reason twice.
    pub lost: &'a [LostReports],
}

/// What became of a helper's job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum HelperOutcome {
    /// Committed: the response may be sent.
    Committed(Durable),
    /// A job of this ID was committed before: send its response instead.
    AlreadyDone(StoredJob),
    /// Nothing was committed. Reject the reports named (`report_replayed`, `batch_collected`)
    /// and commit the rest; another replica may cause a new conflict, so do so in a loop.
    Conflict {
        /// Reports that were committed before, or stand twice in this job.
        replayed: Vec<ReportId>,
        /// Buckets that have been collected.
        collected: Vec<BucketKey>,
    },
    /// Nothing was committed, nor ever will be: the task's batches are of one time, and this batch
    /// would hold reports of another one too.
    OtherTime(BucketKey),
}

/// A helper's job that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    /// SHA-256 of the request that made it.
    pub request_digest: [u8; 32],
    /// Encoded response.
    pub response: Blob,
}
