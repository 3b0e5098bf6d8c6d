//! Verifies both aggregators' logs from nothing but what is public: the logs and the program.
//!
//! [`follow()`] reads what is new in a log and makes sure that it is one, [`state`] remembers how far,
//! the rules of [`super::rules`] judge what the entries say, and [`present`] tells people and machines.

pub mod command;
pub mod follow;
pub mod present;
pub mod state;

use super::{
    finding::{At, Finding, Findings, Severity},
    rules::{
        Judge, Known, LogFacts, TOLERANCE, agreement,
        budget::{self, Spent},
        release::{Mark, OpenRelease},
    },
    source::Reader,
};
use crate::{dap::role::Role, log::checkpoint::Trust, program::Program};
use follow::{FollowError, follow};
use serde::Serialize;
use state::{Kept, State};
use std::collections::BTreeMap;
use thiserror::Error;

/// A log, and whom to believe about it.
pub struct Audited {
    /// Whose it is.
    pub role: Role,
    /// Where it is.
    pub reader: Reader,
    /// Its keys, and witnesses.
    pub trust: Trust,
}

/// What was read of a log.
#[derive(Clone, Debug, Serialize)]
pub struct Read {
    /// Whose it is.
    pub log: Role,
    /// Its name.
    pub origin: String,
    /// Entries in it.
    pub size: u64,
    /// Entries that were new.
    pub new: u64,
    /// Releases in it, since its beginning.
    pub releases: u64,
    /// Which trusted witnesses have cosigned the checkpoint.
    pub witnesses: Vec<String>,
}

/// What an audit comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Whether all promises hold, as far as can be seen from outside.
    pub holds: bool,
    /// What was read.
    pub logs: Vec<Read>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub left_out: u64,
    /// What the releases of each period come to.
    pub spent: Vec<Spent>,
}

/// A log of which nothing can be said: not "ok", and no proof of a wrong either.
#[derive(Debug, Error)]
#[error("the {role}'s log at {place} could not be verified: {source}")]
pub struct Unverified {
    role: Role,
    place: String,
    source: FollowError,
}

/// Reads what is new in the logs, judges it, and remembers it in `state` if all holds.
///
/// A log that is proved to be altered, rolled back or forked is a violation; one that cannot be read is
/// an error, and then nothing is remembered.
pub fn verify(
    logs: &[Audited],
    programs: &[Program],
    now: u64,
    state: &mut State,
    progress: &mut dyn FnMut(Role, u64),
) -> Result<Outcome, Unverified> {
    let known = Known { programs, now };
    let paired = logs.len() == 2;
    let (mut findings, mut read) = (Findings::default(), Vec::new());
    let mut next = if state.fits(logs) { state.clone() } else { State::default() };
    for audited in logs {
        let (kept, other) = next.sides(audited.role);
        let others = other.as_mut().map(|other| &mut other.facts.open);
        // The first of two logs to be read ever has nothing to be compared with yet.
        let mut none = BTreeMap::new();
        let others = if paired { others.or(Some(&mut none)) } else { None };
        match one(audited, known, kept, others, &mut findings, progress) {
            Ok(one) => read.push(one),
            Err(source) if source.is_proof() => {
                let message = format!("{}: {source}", audited.reader.source());
                findings.add(Severity::Violation, "log", At::log(audited.role), message);
            }
            Err(source) => {
                let place = audited.reader.source().to_string();
                return Err(Unverified { role: audited.role, place, source });
            }
        }
    }
    let spent = together(logs, known, &next, &mut findings);
    let (findings, left_out) = findings.sorted();
    let holds = findings.iter().all(|finding| finding.severity < Severity::Violation);
    if holds && read.len() == logs.len() {
        *state = next;
    }
    Ok(Outcome { holds, logs: read, findings, left_out, spent })
}

impl State {
    /// Whether it is of these logs, read in the same company.
    fn fits(&self, logs: &[Audited]) -> bool {
        let kept = |role| if role == Role::Helper { &self.helper } else { &self.leader };
        let same = |audited: &Audited| {
            kept(audited.role).as_ref().is_some_and(|kept| {
                kept.origin == audited.trust.origin() && kept.paired == (logs.len() == 2)
            })
        };
        logs.iter().all(same)
    }

    /// What is kept of a log, and of the other.
    fn sides(&mut self, role: Role) -> (&mut Option<Kept>, &mut Option<Kept>) {
        match role {
            Role::Helper => (&mut self.helper, &mut self.leader),
            _ => (&mut self.leader, &mut self.helper),
        }
    }
}

/// Reads one log.
fn one(
    audited: &Audited,
    known: Known<'_>,
    kept: &mut Option<Kept>,
    others: Option<&mut BTreeMap<Mark, OpenRelease>>,
    findings: &mut Findings,
    progress: &mut dyn FnMut(Role, u64),
) -> Result<Read, FollowError> {
    let (role, origin, paired) = (audited.role, audited.trust.origin(), others.is_some());
    let (from, mut facts) = match kept.take() {
        Some(kept) => (kept.tree().unwrap_or_default(), kept.facts),
        None => Default::default(),
    };
    let trust = believed(&audited.trust, &facts);
    let mut judge = Judge::new(role, known, &mut facts, others, findings);
    let (opened, tree) = follow(&audited.reader, &trust, &from, &mut |index, entry| {
        judge.entry(index, entry);
        progress(role, index);
    })?;
    gaps(role, known, &facts, findings);
    let read = Read {
        log: role,
        origin: origin.to_owned(),
        size: tree.size(),
        new: tree.size() - from.size(),
        releases: facts.releases,
        witnesses: opened.witnessed().iter().map(|(name, _)| name.clone()).collect(),
    };
    *kept = Some(Kept::new(origin, &tree, paired, facts));
    Ok(read)
}

/// Keys that the log itself said are its own, under a key that was believed then.
fn believed(trust: &Trust, facts: &LogFacts) -> Trust {
    let mut trust = trust.clone();
    for key in facts.keys.iter().filter_map(|key| key.parse().ok()) {
        trust.and_key(key);
    }
    trust
}

/// A server that runs logs something more often than that: a key, at least.
const MONTH: u64 = 30 * 86_400;

/// What a log should have and does not.
fn gaps(role: Role, known: Known<'_>, facts: &LogFacts, findings: &mut Findings) {
    if facts.settings.is_empty() {
        let message = "the log never says with which settings its server runs".to_owned();
        findings.add(Severity::Warning, "gap", At::log(role), message);
    }
    if facts.latest > 0 && facts.latest.saturating_add(MONTH + TOLERANCE) < known.now {
        let days = (known.now - facts.latest) / 86_400;
        let message = format!("nothing was logged for {days} days: is the server still running?");
        findings.add(Severity::Warning, "gap", At::log(role), message);
    }
}

/// Judges both logs together, if both were read.
fn together(
    logs: &[Audited],
    known: Known<'_>,
    state: &State,
    findings: &mut Findings,
) -> Vec<Spent> {
    match (&state.leader, &state.helper) {
        (Some(leader), Some(helper)) if logs.len() == 2 => {
            agreement::compare(known, &leader.facts, &helper.facts, findings);
            budget::judge(known, &[&leader.facts, &helper.facts], findings)
        }
        (leader, helper) => {
            let message =
                "only one log was read: one honest aggregator's log has every release, but \
                           which of the two is honest nobody knows"
                    .to_owned();
            findings.add(Severity::Warning, "one-log", At::BOTH, message);
            let facts: Vec<_> =
                [leader, helper].into_iter().flatten().map(|kept| &kept.facts).collect();
            budget::judge(known, &facts, findings)
        }
    }
}

#[cfg(test)]
mod tests;
