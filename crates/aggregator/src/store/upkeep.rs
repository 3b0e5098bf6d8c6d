//! Status for operators, and deletion of what has expired.

use super::{BucketKey, CollectionId, KeyUse, Timestamp};
use sottovoce_dap::{ids::TaskId, time::Time};
use std::fmt;

/// The span of times that a time is in. Report IDs are forgotten by spans: a run of them once all of
/// its reports' spans are too old.
pub(super) fn span(time: Time) -> i64 {
    i64::try_from(time.0 >> SPAN_BITS).unwrap_or(i64::MAX)
}

/// 64 times: about two and a half days of hours, two months of days.
const SPAN_BITS: u32 = 6;

/// A secret in the database, sealed by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret<'a> {
    /// That of a task.
    Task(&'a TaskId),
    /// A private key, by its ID.
    Key(KeyUse, u8),
}

/// What may be forgotten.
#[derive(Clone, Debug, Default)]
pub struct Expiry {
    /// For each task: report IDs of earlier times. The caller refuses such reports from then on.
    pub reports: Vec<(TaskId, Time)>,
    /// Answers to collections that ended, and to a helper's jobs that were added, before.
    pub responses: Timestamp,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Report IDs.
    pub reports: u64,
    /// Answers.
    pub responses: u64,
    /// Whether a bound was reached, so that another call would find more.
    pub more: bool,
}

/// A bucket, or a leader-selected batch, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSummary {
    /// Its key: a time, or a batch ID.
    pub key: BucketKey,
    /// Verified reports in it.
    pub reports: u64,
    /// XOR of the SHA-256 of their IDs.
    pub checksum: [u8; 32],
    /// Whether it waits for a repair, while others are collected.
    pub set_aside: bool,
}

impl BatchSummary {
    /// Counts in what another job added to the same batch.
    pub(super) fn add(&mut self, other: &Self) {
        self.reports = self.reports.saturating_add(other.reports);
        for (sum, byte) in self.checksum.iter_mut().zip(other.checksum) {
            *sum ^= byte;
        }
    }
}

/// A collection as operators see it: what happened, without what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionSummary {
    /// Its ID.
    pub id: CollectionId,
    /// How far it is.
    pub stage: Stage,
    /// The batch, if it is known: first bucket, and the one after the last.
    pub range: Option<(BucketKey, BucketKey)>,
    /// When it was asked for, if that was noted.
    pub asked_at: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    /// When the batch was closed.
    pub closed_at: Option<Timestamp>,
}

/// How far a collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waits for its batch.
    Pending,
    /// The batch is closed, the peer is asked.
    Closed,
    /// Answered.
    Finished,
    /// Refused.
    Failed,
    /// Forgotten by whoever asked, or in time.
    Deleted,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Closed => "closed",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        })
    }
}
