//! What must hold of what is logged. Pure: entries in, findings out.
//!
//! [`LogFacts`] is what is remembered of one log, small enough to be kept between audits. [`task`]
//! and [`release`] judge an entry by what came before it in the same log, of which [`ranges`] remembers
//! what was released, [`agreement`] both logs by each other, and [`budget`] all releases by what the
//! program declares.

pub mod agreement;
pub mod budget;
pub mod open_release;
pub mod ranges;
pub mod release;
pub mod task;

use super::finding::{At, Findings, Severity};
use open_release::OpenRelease;
use ranges::Mark;
use serde::{Deserialize, Serialize};
use sottovoce_dap::{codec::Decode, ids::TaskId, role::Role};
use sottovoce_log::entry::{
    Entry, Event, FULL_AND_OVER, FULL_WINDOWS, KeyChange, RELEASES_SETTING,
};
use sottovoce_program::{Program, compile::CompiledTask, format_moment};
use std::collections::{BTreeMap, BTreeSet};
use task::TaskFacts;

/// What is remembered of a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogFacts {
    /// The time of the latest entry.
    pub(super) latest: u64,
    /// The last settings.
    pub(super) settings: BTreeMap<String, String>,
    /// Keys that the log has said to be its own.
    pub(super) keys: BTreeSet<String>,
    /// Keys that it has said to be its own no more.
    pub(super) retired: BTreeSet<String>,
    /// The tasks that were taken on.
    pub(super) tasks: BTreeMap<TaskId, TaskFacts>,
    /// Releases that the other log did not have yet.
    pub(super) open: BTreeMap<Mark, OpenRelease>,
    /// Releases so far.
    pub(super) releases: u64,
    /// Keys that devices seal to which came and did not go yet.
    #[serde(default)]
    pub(super) hpke_keys: u64,
}

impl LogFacts {
    /// Nothing but the keys that a log is known to have.
    pub(super) fn with_keys_of(other: Self) -> Self {
        Self { keys: other.keys, retired: other.retired, ..Self::default() }
    }

    /// How many things are remembered, and about how many bytes that takes.
    pub(super) fn extent(&self) -> (u64, usize) {
        let texts = self.keys.iter().chain(&self.retired).map(String::len);
        let settings = self.settings.iter().map(|(name, value)| name.len() + value.len());
        let tasks = self.tasks.values().map(TaskFacts::bytes);
        let open = self.open.values().map(size_of_val);
        texts.chain(settings).chain(tasks).chain(open).fold((0, 0), |(items, bytes), size| {
            (items + 1, bytes.saturating_add(size).saturating_add(OVERHEAD))
        })
    }
}

/// What a map adds to each thing in it, about.
const OVERHEAD: usize = 96;

/// What is known beside the logs.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The programs that the auditor was given.
    pub programs: &'a [Program],
    /// The auditor's clock, in seconds since the Epoch.
    pub now: u64,
}

impl<'a> Known<'a> {
    /// The program that a task is of, and the task.
    pub(super) fn task(&self, id: &TaskId) -> Option<(&'a Program, &'a CompiledTask)> {
        let mut of = self.programs.iter().filter_map(|program| {
            let task = program.tasks().iter().find(|task| task.task_id == *id)?;
            Some((program, task))
        });
        of.next()
    }

    /// What people call a task.
    pub(super) fn name(&self, id: &TaskId) -> String {
        self.task(id).map_or_else(|| format!("task {id}"), |(_, task)| task.name.clone())
    }
}

/// Clocks may differ by this much, in seconds, without anybody having to say why.
pub const TOLERANCE: u64 = 600;

/// More keys at once than rotation by schedule and by hand bring.
const MANY_KEYS: u64 = 8;

/// One log, entry by entry.
pub struct Judge<'a> {
    pub(super) role: Role,
    pub(super) known: Known<'a>,
    pub(super) facts: &'a mut LogFacts,
    /// What the other log had that this one did not; none if only one log is read.
    pub(super) others: Option<&'a mut BTreeMap<Mark, OpenRelease>>,
    pub(super) findings: &'a mut Findings,
}

impl<'a> Judge<'a> {
    /// Goes on from what is remembered of `role`'s log.
    pub fn new(
        role: Role,
        known: Known<'a>,
        facts: &'a mut LogFacts,
        others: Option<&'a mut BTreeMap<Mark, OpenRelease>>,
        findings: &'a mut Findings,
    ) -> Self {
        Self { role, known, facts, others, findings }
    }

    /// What is remembered.
    pub fn facts(&self) -> &LogFacts {
        self.facts
    }

    /// Judges one entry, the next of the log.
    pub fn entry(&mut self, index: u64, bytes: &[u8]) {
        let at = At::entry(self.role, index);
        match Entry::from_bytes(bytes) {
            Err(error) => {
                let message = format!(
                    "the entry does not decode ({error}): it is damaged, or its server is newer than this auditor"
                );
                self.findings.add(Severity::Violation, "entry-encoding", at, message);
            }
            Ok(entry) => {
                self.clock(at, entry.time);
                self.event(at, &entry);
                // A clock ahead of ours must not keep silence from being noticed.
                let soonest = self.known.now.saturating_add(TOLERANCE);
                self.facts.latest = self.facts.latest.max(entry.time.min(soonest));
            }
        }
    }

    fn clock(&mut self, at: At, time: u64) {
        let (latest, now) = (self.facts.latest, self.known.now);
        if time.saturating_add(TOLERANCE) < latest {
            let message = format!(
                "its time {} is {} seconds before that of an earlier entry: the server's clock was set back",
                format_moment(time),
                latest - time
            );
            self.findings.add(Severity::Warning, "time-goes-back", at, message);
        }
        if time > now.saturating_add(TOLERANCE) {
            let message = format!(
                "its time {} is in the future (now {}): the clock of the aggregator or of this auditor is wrong",
                format_moment(time),
                format_moment(now)
            );
            self.findings.add(Severity::Warning, "time-to-come", at, message);
        }
    }

    fn event(&mut self, at: At, entry: &Entry) {
        match &entry.event {
            Event::Started(software) => self.note(at, "started", format!("{software} started")),
            Event::Task(taken) => self.task(at, taken),
            Event::Release(release) => self.release(at, entry.time, release),
            Event::Refused(refused) => {
                let name = self.known.name(&refused.task);
                let (problem, detail) = (&refused.problem, &refused.detail);
                self.note(at, "refused", format!("{name}: {problem}: {detail}"));
            }
            Event::HpkeKey(change, config) => {
                let id = config.id.0;
                self.note(at, "hpke-key", format!("HPKE key {id} was {}", word(*change)));
                self.hpke_keys(at, *change);
            }
            Event::LogKey(change, key) => {
                let text = key.to_string();
                let (from, to) = match change {
                    KeyChange::Added => (&mut self.facts.retired, &mut self.facts.keys),
                    KeyChange::Retired => (&mut self.facts.keys, &mut self.facts.retired),
                };
                from.remove(&text);
                to.insert(text.clone());
                self.note(at, "log-key", format!("{text} was {}", word(*change)));
            }
            Event::Settings(settings) => self.settings(at, settings),
            Event::Repaired(repaired) => {
                let name = self.known.name(&repaired.task);
                let (kept, dropped) = (repaired.kept, repaired.dropped);
                let message = format!(
                    "{name}: a batch was repaired: {kept} reports were kept, {dropped} that the other aggregator \
                     does not have were dropped"
                );
                self.note(at, "repaired", message);
            }
        }
    }

    /// Each device could have been given another key, to know its reports by.
    fn hpke_keys(&mut self, at: At, change: KeyChange) {
        let keys = &mut self.facts.hpke_keys;
        *keys = match change {
            KeyChange::Added => keys.saturating_add(1),
            KeyChange::Retired => keys.saturating_sub(1),
        };
        if change == KeyChange::Added && *keys > MANY_KEYS {
            let message = format!(
                "{keys} HPKE keys are in use at once, and a server needs two or three: devices with different keys \
                 can be told apart; ask the operator why"
            );
            self.findings.add(Severity::Warning, "many-keys", at, message);
        }
    }

    fn note(&mut self, at: At, rule: &'static str, message: String) {
        self.findings.add(Severity::Note, rule, at, message);
    }

    pub(super) fn violation(&mut self, at: At, rule: &'static str, message: String) {
        self.findings.add(Severity::Violation, rule, at, message);
    }

    /// A plain DAP task's operator may say that its windows need not be full; a program's may not.
    fn weakened(&mut self, at: At, task: TaskId, value: &str) {
        let name = self.known.name(&task);
        let full = value == FULL_WINDOWS;
        let message = if full {
            format!("each window of {name} must have min_batch_size reports from now on")
        } else {
            format!(
                "single windows of {name} may have fewer than min_batch_size reports from now on: the guarantee for \
                 several reports of one device, which assumes full windows, no longer holds"
            )
        };
        let severity = match (full, self.known.task(&task)) {
            (true, _) => Severity::Note,
            (false, None) => Severity::Warning,
            (false, Some(_)) => Severity::Violation,
        };
        self.findings.add(severity, "windows", at, message);
    }

    /// Settings that weaken what was there before have to be explained by whoever changed them.
    fn settings(&mut self, at: At, settings: &[(String, String)]) {
        for (name, value) in settings {
            let before = self.facts.settings.insert(name.clone(), value.clone());
            if let Some(task) = task_of_windows(name) {
                self.weakened(at, task, value);
                continue;
            }
            let Some(before) = before.filter(|before| before != value) else { continue };
            let severity =
                if weakens(name, &before, value) { Severity::Warning } else { Severity::Note };
            let message = format!("the setting {name} changed from {before:?} to {value:?}");
            self.findings.add(severity, "settings", at, message);
        }
    }
}

/// The task whose windows a setting is about.
fn task_of_windows(setting: &str) -> Option<TaskId> {
    let task = setting.strip_prefix("task ")?.strip_suffix(" windows")?;
    task.parse().ok()
}

fn word(change: KeyChange) -> &'static str {
    match change {
        KeyChange::Added => "added",
        KeyChange::Retired => "retired",
    }
}

/// Whether a change of a setting is one that takes protection away.
fn weakens(name: &str, before: &str, value: &str) -> bool {
    let days = |text: &str| text.parse::<u64>().unwrap_or(0);
    match name {
        "plain_http" => value == "true",
        "peer_certificate" => value == "false",
        // 0 is for ever. Forgetting sooner makes more reports replays, keys that live longer open more.
        "retention.report_days" => {
            days(value) != 0 && (days(before) == 0 || days(value) < days(before))
        }
        "hpke.rotate_days" => days(value) == 0 || (days(before) != 0 && days(value) > days(before)),
        "hpke.keep_days" => days(value) > days(before),
        RELEASES_SETTING => before == FULL_AND_OVER,
        "public_log.witnesses" => {
            let still: BTreeSet<_> = value.split(' ').collect();
            before.split(' ').any(|witness| !witness.is_empty() && !still.contains(witness))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_take_protection_away_are_told_from_others() {
        for (name, before, value, worse) in [
            ("plain_http", "false", "true", true),
            ("plain_http", "true", "false", false),
            ("retention.report_days", "0", "90", true),
            ("retention.report_days", "90", "30", true),
            ("retention.report_days", "30", "0", false),
            ("hpke.keep_days", "30", "90", true),
            ("releases", FULL_AND_OVER, "whatever is there", true),
            ("releases", "whatever is there", FULL_AND_OVER, false),
            ("hpke.rotate_days", "90", "0", true),
            ("hpke.rotate_days", "0", "90", false),
            ("public_log.witnesses", "a b", "b", true),
            ("public_log.witnesses", "a", "a b", false),
            ("something new", "1", "2", false),
        ] {
            assert_eq!(weakens(name, before, value), worse, "{name} {before} {value}");
        }
    }
}
