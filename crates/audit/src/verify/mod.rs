//! Verifies both aggregators' logs from nothing but what is public: the logs and the program.
//!
//! [`follow()`] reads what is new in a log and makes sure that it is one, [`state`] remembers how far,
//! the rules of [`super::rules`] judge what the entries say, and [`present`] tells people and machines.

pub mod error;
pub mod follow;
pub mod present;
mod reread;
mod sampled;
pub mod state;

use super::{
    finding::{At, Finding, Findings, Severity},
    rules::{
        Judge, Known, LogFacts, TOLERANCE, agreement,
        budget::{self, Spent},
        task::Releases,
    },
    source::Reader,
};
use error::FollowError;
use follow::{Bounds, follow};
use reread::turn;
use sampled::Tiles;
use serde::Serialize;
use sottovoce_dap::role::Role;
use sottovoce_log::checkpoint::{Opened, Trust};
use sottovoce_log::tree::Frontier;
use sottovoce_program::{Program, format_moment};
use state::{Beginning, State};
use std::{collections::BTreeMap, time::Instant};
use thiserror::Error;

/// A log, and the keys that are trusted for it.
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
    /// The root hash over them, in Base64, as the log's checkpoint signs it.
    pub root: String,
    /// Entries that were new.
    pub new: u64,
    /// Entries of earlier audits that were read again.
    pub reread: u64,
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
    /// The releases of each program, by its name, in the log that has more of them.
    pub released: BTreeMap<String, Releases>,
}

/// A log of which nothing can be said: not "ok", and no proof of a wrong either.
#[derive(Debug, Error)]
#[error("the {role}'s log at {place} could not be verified: {source}")]
pub struct Unverified {
    role: Role,
    place: String,
    source: FollowError,
}

impl Unverified {
    #[cfg(test)]
    pub(crate) fn new(role: Role, place: &str, source: FollowError) -> Self {
        Self { role, place: place.to_owned(), source }
    }
}

/// What is judged, and how.
pub struct Audit<'a> {
    /// The logs: one, or both.
    pub logs: &'a [Audited],
    /// The programs that the aggregators serve.
    pub programs: &'a [Program],
    /// The auditor's clock, in seconds since the Epoch.
    pub now: u64,
    /// Whether to judge all entries, those of earlier audits too.
    pub whole: bool,
    /// What is read of each log at most.
    pub bounds: Bounds,
}

/// What an audit comes to, also if it is incomplete.
#[derive(Debug)]
pub struct Inspected {
    /// What could be said.
    pub outcome: Outcome,
    /// The logs of which nothing can be said.
    pub unverified: Vec<Unverified>,
}

/// Reads what is new in the logs, judges it, and remembers it in `state` if all holds.
///
/// A log that is proved to be altered, rolled back or forked is a violation. One that cannot be read is
/// an error, unless the other log shows a violation: then that is the outcome, with a warning.
pub fn verify(
    audit: &Audit<'_>,
    state: &mut State,
    progress: &mut dyn FnMut(Role, u64),
) -> Result<Outcome, Unverified> {
    let Inspected { outcome, unverified } = inspect(audit, state, progress);
    match unverified.into_iter().next() {
        Some(error) if outcome.holds => Err(error),
        _ => Ok(outcome),
    }
}

/// Likewise; what could not be verified does not hide what could.
pub fn inspect(
    audit: &Audit<'_>,
    state: &mut State,
    progress: &mut dyn FnMut(Role, u64),
) -> Inspected {
    let Audit { logs, programs, now, whole, bounds } = *audit;
    let known = Known { programs, now };
    let (mut findings, mut read, mut unverified) = (Findings::default(), Vec::new(), Vec::new());
    for audited in logs {
        of_another(audited, state, &mut findings);
    }
    let (mut next, mut sides) = state.clone().begin(logs, programs, whole);
    for audited in logs {
        let reading = Reading { known, paired: logs.len() == 2, bounds };
        match one(audited, reading, &mut sides, &mut findings, progress) {
            Ok(one) => read.push(one),
            Err(source) if source.is_proof() => {
                let message = format!("{}: {source}", audited.reader.source());
                findings.add(Severity::Violation, "log", At::log(audited.role), message);
            }
            Err(source) => {
                let place = audited.reader.source().to_string();
                unverified.push(Unverified { role: audited.role, place, source });
            }
        }
    }
    let spent = together(logs, known, &sides, &mut findings);
    let released = released(programs, &sides);
    let holds = !findings.broken();
    if holds && unverified.is_empty() {
        next.keep(logs, sides);
        *state = next;
    }
    if !holds {
        for error in &unverified {
            findings.add(Severity::Warning, "unverified", At::log(error.role), error.to_string());
        }
    }
    let (findings, left_out) = findings.sorted();
    Inspected {
        outcome: Outcome { holds, logs: read, findings, left_out, spent, released },
        unverified,
    }
}

/// The releases of each program, by the log that has more of them: one that lacks some is a finding by itself.
fn released(programs: &[Program], sides: &BTreeMap<Role, Beginning>) -> BTreeMap<String, Releases> {
    let of = |program: &Program, side: &Beginning| {
        let tasks = program.tasks().iter().filter_map(|task| side.facts.tasks.get(&task.task_id));
        tasks.filter_map(|task| task.releases).reduce(Releases::and)
    };
    let most = |program: &Program| {
        let all = sides.values().filter_map(|side| of(program, side));
        Some((program.name().to_owned(), all.max_by_key(|releases| releases.count)?))
    };
    programs.iter().filter_map(most).collect()
}

/// Says so if a log is not the one that is remembered.
fn of_another(audited: &Audited, state: &State, findings: &mut Findings) {
    let (kept, origin) = (state.kept(audited.role), audited.trust.origin());
    let Some(kept) = kept.filter(|kept| kept.origin != origin) else { return };
    let message = format!(
        "the state file is of the log {}, and this log is {origin}: whether it was append-only before cannot be \
         verified",
        kept.origin
    );
    findings.add(Severity::Warning, "another-log", At::log(audited.role), message);
}

/// The other side of a role.
fn other(role: Role) -> Role {
    if role == Role::Helper { Role::Leader } else { Role::Helper }
}

/// How a log is read.
#[derive(Clone, Copy)]
struct Reading<'a> {
    known: Known<'a>,
    /// Whether beside the other one.
    paired: bool,
    bounds: Bounds,
}

/// Reads one log. If that fails, it has no side any more.
fn one(
    audited: &Audited,
    Reading { known, paired, bounds }: Reading<'_>,
    sides: &mut BTreeMap<Role, Beginning>,
    findings: &mut Findings,
    progress: &mut dyn FnMut(Role, u64),
) -> Result<Read, FollowError> {
    let role = audited.role;
    let Beginning { from, past, reread, mut facts } = sides.remove(&role).unwrap_or_default();
    // The first of two logs to be read ever has nothing to be compared with yet.
    let mut none = BTreeMap::new();
    let others = sides.get_mut(&other(role)).map_or(&mut none, |other| &mut other.facts.open);
    let mut judge = Judge::new(role, known, &mut facts, paired.then_some(others), findings);
    let trust = believed(&audited.trust, judge.facts());
    let mut room = Room::of(MOST_REMEMBERED);
    // What was judged before is read again, and not judged again.
    let is_short = from.size() <= bounds.reread;
    let start = if is_short { Frontier::default() } else { from.clone() };
    let (opened, tree) =
        follow(&audited.reader, &trust, (&start, &past), bounds, &mut |index, entry| {
            progress(role, index);
            if index < from.size() {
                return Ok(());
            }
            judge.entry(index, entry);
            room.check(index, judge.facts())
        })?;
    let (again, next) = if is_short {
        (past.size(), 0)
    } else {
        in_turn(&audited.reader, &opened, (from.size(), reread), bounds)?
    };
    signed(audited, &opened, &facts, findings);
    gaps(role, known, &facts, findings);
    let read = Read {
        log: role,
        origin: audited.trust.origin().to_owned(),
        size: tree.size(),
        root: opened.checkpoint().root.to_string(),
        new: tree.size() - past.size(),
        reread: again,
        releases: facts.releases,
        witnesses: opened.witnessed().iter().map(|(name, _)| name.clone()).collect(),
    };
    sides.insert(role, Beginning { from: tree, past, reread: next, facts });
    Ok(read)
}

/// Reads the next part of a long past again. Gives the number of its entries, and where the part after it begins.
fn in_turn(
    reader: &Reader,
    opened: &Opened,
    (judged, next): (u64, u64),
    bounds: Bounds,
) -> Result<(u64, u64), FollowError> {
    let (started, size) = (Instant::now(), opened.checkpoint().size);
    let in_time = || match bounds.time {
        most if started.elapsed() > most => Err(FollowError::TooSlow { read: judged, size, most }),
        _ => Ok(()),
    };
    let mut tiles = Tiles { reader, size, in_time: &in_time };
    let turn = turn(judged, next, bounds.reread);
    let end = turn.end;
    Ok((reread::reread(&mut tiles, &opened.checkpoint().root, judged, turn)?, end))
}

/// Sees to it that what is remembered of a log stays small, without counting it at each entry.
struct Room {
    most: usize,
    next: u64,
}

impl Room {
    fn of(most: usize) -> Self {
        Self { most, next: 0 }
    }

    fn check(&mut self, index: u64, facts: &LogFacts) -> Result<(), FollowError> {
        if index < self.next {
            return Ok(());
        }
        let (items, bytes) = facts.extent();
        if bytes > self.most {
            return Err(FollowError::TooMuch { index, most: self.most });
        }
        // The more there is to count, the less often; an entry adds little.
        self.next = index + (items / 4).max(256);
        Ok(())
    }
}

/// Bytes that are kept of one log: some million batches, or a hundred thousand tasks.
const MOST_REMEMBERED: usize = 128 << 20;

/// Whether a key has signed that the log itself has not retired.
fn signed(audited: &Audited, opened: &Opened, facts: &LogFacts, findings: &mut Findings) {
    let trust = believed(&audited.trust, facts);
    let keys = trust.keys().iter().filter(|key| !facts.retired.contains(&key.to_string()));
    let keys: Vec<_> = keys.cloned().collect();
    if opened.note().signed_by(&keys).is_err() {
        let message =
            "the checkpoint is signed only by retired keys of the log: somebody still signs with an old key"
                .to_owned();
        findings.add(Severity::Violation, "retired-key", At::log(audited.role), message);
    }
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
        let message = "the log has no entry with its server's settings".to_owned();
        findings.add(Severity::Warning, "gap", At::log(role), message);
    }
    if facts.latest > 0 && facts.latest.saturating_add(MONTH + TOLERANCE) < known.now {
        let days = (known.now - facts.latest) / 86_400;
        let message = format!(
            "the latest entry is from {}, {days} days ago: check that the server is running",
            format_moment(facts.latest)
        );
        findings.add(Severity::Warning, "gap", At::log(role), message);
    }
}

/// Judges what was read together.
fn together(
    logs: &[Audited],
    known: Known<'_>,
    sides: &BTreeMap<Role, Beginning>,
    findings: &mut Findings,
) -> Vec<Spent> {
    let facts: Vec<_> = sides.values().map(|side| &side.facts).collect();
    if facts.len() == logs.len() {
        agreement::taken(known, &facts, findings);
    }
    if let (Some(leader), Some(helper)) = (sides.get(&Role::Leader), sides.get(&Role::Helper)) {
        agreement::compare(known, &leader.facts, &helper.facts, findings);
    }
    if logs.len() == 1 {
        let message =
            "only one log was read: if its aggregator is dishonest, releases can be missing from it; read both"
                .to_owned();
        findings.add(Severity::Warning, "one-log", At::BOTH, message);
    }
    budget::judge(known, &facts, findings)
}

#[cfg(test)]
mod tests;
