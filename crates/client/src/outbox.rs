//! The outbox: reports that are drawn and sealed, and sent until the leader has responded.

use super::report::{Drawn, SealedReport};
use serde::{Deserialize, Serialize};
use sottovoce_dap::ids::{ReportId, TaskId};
use sottovoce_privacy::rng::DeviceRng;
use std::time::Duration;

/// All reports that were drawn and have no fate yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Outbox {
    pub(super) entries: Vec<Entry>,
}

/// One report on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) metric: String,
    /// The task, by the name it has in the program.
    pub(super) task: String,
    pub(super) task_id: TaskId,
    /// The window it is for.
    pub(super) window: u64,
    /// What is sealed, and sealed afresh. Nothing if a version of this library sealed it that did not keep
    /// the shares: then its bytes are all that is ever sent.
    pub(super) drawn: Option<Drawn>,
    pub(super) sealed: Option<SealedReport>,
    /// When to send it next, in seconds since the Epoch.
    pub(super) due: u64,
    /// When its batch may be over, in seconds since the Epoch.
    pub(super) expires: u64,
    pub(super) attempts: u32,
    /// It was handed out, and no answer has said that the leader does not have it.
    pub(super) in_doubt: bool,
    /// It was sealed afresh once.
    pub(super) resealed: bool,
}

impl Entry {
    /// Whether it is the report with this ID, which it keeps for life.
    pub(super) fn is(&self, id: ReportId) -> bool {
        self.drawn.as_ref().map(Drawn::id).or(self.sealed.as_ref().map(SealedReport::id))
            == Some(id)
    }

    /// Puts it off after an attempt that came to nothing: twice as long each time, by up to half
    /// more or less, so that devices that failed together do not return together; never beyond a
    /// quarter of the time that is left, and never sooner than the server asked for.
    pub(super) fn put_off(&mut self, now: u64, asked: Option<Duration>, rng: &mut DeviceRng) {
        let doubled = FIRST_WAIT.saturating_mul(1 << self.attempts.min(20));
        let left = self.expires.saturating_sub(now) / 4;
        let wait = doubled.min(LONGEST_WAIT).min(left.max(FIRST_WAIT));
        let spread = rng.below(u32::try_from(wait).unwrap_or(u32::MAX)) as u64;
        let asked = asked.map_or(0, |asked| asked.as_secs().min(LONGEST_ASKED));
        self.due = now.saturating_add((wait / 2 + spread).max(asked));
    }
}

/// Seconds before the second attempt.
const FIRST_WAIT: u64 = 30;
/// Seconds between attempts at most.
const LONGEST_WAIT: u64 = 6 * 3600;
/// Seconds of patience that a server may ask for.
const LONGEST_ASKED: u64 = 24 * 3600;

impl Outbox {
    /// Nothing waits longer than it ever would: what was put off by a clock that was ahead is due
    /// when the clock is right again.
    pub(super) fn reschedule(&mut self, now: u64, jitter: u64) {
        let latest = now.saturating_add(LONGEST_ASKED.max(jitter));
        for entry in self.entries.iter_mut().filter(|entry| entry.due > latest) {
            entry.due = now;
        }
    }

    /// Those of a task that are due, and sealed.
    pub(super) fn sealed(&self, task: TaskId, now: u64) -> impl Iterator<Item = &Entry> {
        let is_due = move |entry: &&Entry| entry.task_id == task && entry.due <= now;
        self.entries.iter().filter(is_due).filter(|entry| entry.sealed.is_some())
    }

    /// The one that has been due for the longest.
    pub(super) fn next_due(&self, now: u64) -> Option<&Entry> {
        let due = self.entries.iter().filter(|entry| entry.due <= now);
        due.min_by_key(|entry| entry.due)
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<u64> {
        self.entries.iter().map(|entry| entry.due).min()
    }
}
