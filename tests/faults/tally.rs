//! What a run was hit by, and what was under way when it was.

use crate::{reports::Reports, stage::UnderWay};
use std::{env, fmt, time::Instant};

/// Adds up over rounds.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    pub(crate) reports: usize,
    pub(crate) leader_kills: u32,
    pub(crate) helper_kills: u32,
    pub(crate) database_kills: u32,
    /// Uploads that were on their way at a kill.
    pub(crate) uploads_hit: usize,
    /// Acknowledged reports that were yet to be aggregated at a kill of the leader.
    pub(crate) waiting_hit: u64,
    /// Jobs that were under way at a kill.
    pub(crate) jobs_hit: u64,
    /// Uploads that got no answer.
    unanswered: usize,
    /// Reports that had been committed when a kill took their acknowledgement away.
    pub(crate) kept_unanswered: usize,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            reports: 0,
            leader_kills: 0,
            helper_kills: 0,
            database_kills: 0,
            uploads_hit: 0,
            waiting_hit: 0,
            jobs_hit: 0,
            unanswered: 0,
            kept_unanswered: 0,
        }
    }

    pub(crate) fn kills(&self) -> u32 {
        self.leader_kills + self.helper_kills + self.database_kills
    }

    /// What was under way at a kill.
    pub(crate) fn hit(&mut self, reports: &Reports, under_way: Option<UnderWay>, leader: bool) {
        self.uploads_hit += reports.on_the_way();
        let under_way = under_way.unwrap_or_default();
        self.jobs_hit += under_way.jobs;
        if leader {
            self.waiting_hit += under_way.reports;
        }
    }

    /// A round is over.
    pub(crate) fn round(&mut self, reports: &Reports) {
        self.reports += reports.count();
        self.unanswered += reports.unanswered();
        self.kept_unanswered += reports.kept_unanswered();
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} reports, {} kills (leader {}, helper {}, database {}) in {:.0?}; at a kill: {} \
             uploads on their way, {} jobs under way, {} acknowledged reports in the leader's \
             hands; {} uploads without an answer, {} reports of them kept",
            self.reports,
            self.kills(),
            self.leader_kills,
            self.helper_kills,
            self.database_kills,
            self.started.elapsed(),
            self.uploads_hit,
            self.jobs_hit,
            self.waiting_hit,
            self.unanswered,
            self.kept_unanswered,
        )
    }
}

/// The first seed: the environment's, or always the same one.
pub(crate) fn first_seed(otherwise: u64) -> u64 {
    number("SOTTOVOCE_FAULT_SEED").unwrap_or(otherwise)
}

/// How often a kind of fault is drawn anew.
pub(crate) fn rounds(otherwise: u64) -> u64 {
    number("SOTTOVOCE_FAULT_ROUNDS").unwrap_or(otherwise)
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} must be a number")))
}
