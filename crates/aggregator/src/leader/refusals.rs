//! What to do about a job that the helper refuses.
//!
//! A job may be refused for one report in it, whatever that is: so it is cut in halves, and those
//! again, until the one report is alone. All others go on. A report that is refused alone is given up
//! only if the helper takes others of its task meanwhile: a helper that refuses everything has trouble
//! of its own, and its reports wait until that is over. Where there are no others to tell by, patience
//! decides.

use crate::{clock, store::LeasedJob};
use sottovoce_dap::{
    codec::Decode,
    ids::{ReportId, TaskId},
    upload::Report,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Why a helper refuses a job for what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is too large.
    TooLarge,
    /// Something in it is not what it should be.
    Content,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same job again, after a while.
    Later,
    /// Its halves, each in a job of its own.
    Split,
    /// Its report is kept, and not tried again.
    GiveUp,
}

/// What counts of a job here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) reports: usize,
    /// The report, if it is alone.
    pub(super) one: Option<ReportId>,
    /// Whether it is a piece of another job.
    pub(super) is_piece: bool,
}

impl Size {
    pub(super) fn of(job: &LeasedJob) -> Self {
        let reports = job.segments.iter().map(crate::store::Segment::len).sum();
        let only = if reports == 1 { job.reports().next() } else { None };
        let one = only.and_then(|(_, report)| Report::from_bytes(report).ok());
        let one = one.map(|report| report.report_metadata.report_id);
        Self { reports, one, is_piece: job.cuts > 0 }
    }
}

/// What the helper lately said about jobs, by task. A memory of this process: without it, reports
/// are given up later.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<TaskId, Seen>>);

#[derive(Clone, Copy)]
struct Seen {
    /// When the refusals began that go on.
    since: Instant,
    last: Instant,
    /// When the helper last took a job.
    taken: Option<Instant>,
}

/// Refusals further apart are about different things.
const APART: Duration = Duration::from_secs(600);
/// A helper that took nothing for so long may refuse everything.
const FRESH: Duration = Duration::from_secs(60);
/// Attempts before a job is cut up: what it is refused for may be an operator's change that is being put right.
const PATIENT_ATTEMPTS: u32 = 4;
/// The same of a piece of such a job, which is only looked through.
const PIECE_ATTEMPTS: u32 = 2;
/// Attempts before a report that is refused alone is given up while others are taken.
const ALONE_ATTEMPTS: u32 = 3;
/// The same if no others are: about forty minutes.
const LAST_ATTEMPT: u32 = 16;

impl Refusals {
    /// The helper took a job.
    pub(super) fn record_accepted(&self, task: &TaskId) {
        // Nothing to note of a task without refusals.
        if let Some(seen) = self.lock().get_mut(task) {
            seen.taken = Some(clock::instant());
        }
    }

    /// What follows for a job that failed, if it was refused for what is in it.
    pub(super) fn decide(
        &self,
        task: &TaskId,
        refusal: Option<Refusal>,
        attempt: u32,
        size: &Size,
    ) -> Next {
        let Some(refusal) = refusal else { return Next::Later };
        let others_are_taken = self.record_refused(task, clock::instant());
        if size.reports > 1 {
            let patience = match refusal {
                Refusal::TooLarge => 1,
                Refusal::Content if size.is_piece => PIECE_ATTEMPTS,
                Refusal::Content => PATIENT_ATTEMPTS,
            };
            return if attempt >= patience { Next::Split } else { Next::Later };
        }
        let patience = if others_are_taken { ALONE_ATTEMPTS } else { LAST_ATTEMPT };
        if attempt >= patience { Next::GiveUp } else { Next::Later }
    }

    /// Notes a refusal; says whether the helper takes other jobs of the task, since refusals began.
    fn record_refused(&self, task: &TaskId, now: Instant) -> bool {
        let mut all = self.lock();
        all.retain(|_, seen| now.saturating_duration_since(seen.last) < APART);
        let seen = all.entry(*task).or_insert(Seen { since: now, last: now, taken: None });
        seen.last = now;
        let is_fresh =
            |taken: Instant| taken >= seen.since && now.saturating_duration_since(taken) < FRESH;
        seen.taken.is_some_and(is_fresh)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: TaskId = TaskId::new([1; 32]);

    fn size(reports: usize, is_piece: bool) -> Size {
        Size { reports, one: None, is_piece }
    }

    #[test]
    fn a_job_is_cut_up_after_a_while_and_its_pieces_soon() {
        let refusals = Refusals::default();
        let next = |refusal, attempt, size| refusals.decide(&TASK, refusal, attempt, &size);
        let content = Some(Refusal::Content);
        assert_eq!(next(None, 1000, size(2, false)), Next::Later);
        assert_eq!(next(content, 3, size(2, false)), Next::Later);
        assert_eq!(next(content, 4, size(2, false)), Next::Split);
        assert_eq!(next(content, 1, size(2, true)), Next::Later);
        assert_eq!(next(content, 2, size(2, true)), Next::Split);
        assert_eq!(next(Some(Refusal::TooLarge), 1, size(2, false)), Next::Split);
    }

    #[test]
    fn a_single_report_is_given_up_soon_if_others_are_taken_and_late_if_none_are() {
        let refusals = Refusals::default();
        let next =
            |attempt| refusals.decide(&TASK, Some(Refusal::Content), attempt, &size(1, true));
        // Taken before anything was refused: that says nothing.
        refusals.record_accepted(&TASK);
        assert_eq!(next(3), Next::Later);
        assert_eq!(next(15), Next::Later);
        assert_eq!(next(16), Next::GiveUp);
        refusals.record_accepted(&TaskId::new([2; 32]));
        assert_eq!(next(3), Next::Later);
        refusals.record_accepted(&TASK);
        assert_eq!(next(2), Next::Later);
        assert_eq!(next(3), Next::GiveUp);
    }
}
