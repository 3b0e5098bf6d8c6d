//! Tasks, HPKE keys and figures: what changes rarely.

use super::Blob;
use sottovoce_dap::ids::TaskId;
use std::time::Duration;

/// A moment, in milliseconds since the Epoch. The caller's clock: the store has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment `duration` later, or the last one there is.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }
}

/// How a task's reports are grouped (§5), as far as the store must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchingMode {
    /// By the reports' times.
    TimeInterval,
    /// By the leader, each batch of reports of one time.
    LeaderSelected {
        /// Verified reports at which a batch is full, at least 1. Ours: the draft leaves it to
        /// the leader. Not used by a helper.
        target: u64,
    },
    /// By the leader, whatever the reports' times.
    LeaderSelectedAnyTime {
        /// As above.
        target: u64,
    },
}

impl BatchingMode {
    /// Whether each batch holds reports of one time only.
    pub(super) fn is_of_one_time(self) -> bool {
        matches!(self, Self::LeaderSelected { .. })
    }

    /// As backends keep it: a leader-selected batch's target, negated where times may be mixed;
    /// nothing for intervals.
    pub(super) fn stored(self) -> Option<i64> {
        let stored = |target: u64| i64::try_from(target).unwrap_or(i64::MAX);
        match self {
            Self::TimeInterval => None,
            Self::LeaderSelected { target } => Some(stored(target)),
            Self::LeaderSelectedAnyTime { target } => Some(-stored(target)),
        }
    }

    /// From what [`stored`](Self::stored) made.
    pub(super) fn from_stored(stored: Option<i64>) -> Self {
        match stored {
            None => Self::TimeInterval,
            Some(target) if target < 0 => {
                Self::LeaderSelectedAnyTime { target: target.unsigned_abs() }
            }
            Some(target) => Self::LeaderSelected { target: target.unsigned_abs() },
        }
    }
}

/// A task as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its ID.
    pub id: TaskId,
    /// How its reports are grouped.
    pub mode: BatchingMode,
    /// Encoded configuration and whatever else may be read by anyone.
    pub public: Blob,
    /// Verification key, tokens: sealed by the caller with [`sealed`](super::sealed).
    pub sealed: Blob,
}

/// What a key pair is for. Each use has IDs of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Devices seal to it.
    Hpke,
    /// It signs the log.
    Log,
}

/// A key pair as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its ID, unique among the keys of its use.
    pub id: u8,
    /// From when on it is used: an HPKE key is offered, a log is signed.
    pub offered: Timestamp,
    /// The encoded public key.
    pub public: Blob,
    /// Private key: sealed by the caller with [`sealed`](super::sealed).
    pub sealed: Blob,
}

/// What became of something that may have been there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is new.
    Added,
    /// It was there, the same to the byte in its public part.
    AlreadyThere,
    /// It was there, and what its holder may change of it has changed.
    Changed,
}

/// Figures about one task, for operators and tests. Taken in one look, so they fit together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reports that wait for an aggregation job.
    pub waiting_reports: u64,
    /// Reports in aggregation jobs that have not ended.
    pub in_flight_reports: u64,
    /// Aggregation jobs that have not ended.
    pub in_flight_jobs: u64,
    /// Reports that the helper refuses alone: no job will take them again.
    pub stuck_reports: u64,
    /// Reports accepted, then dropped because their batch was closed while they waited.
    pub dropped_reports: u64,
    /// When the oldest report arrived that waits or is in a job.
    pub oldest: Option<Timestamp>,
    /// Verified reports in buckets whose shards are still kept.
    pub verified_reports: u64,
    /// Buckets whose shards are still kept.
    pub buckets: u64,
    /// Batches that count as collected.
    pub collected_batches: u64,
    /// Leader-selected batches that are set aside until they are repaired.
    pub set_aside_batches: u64,
}
