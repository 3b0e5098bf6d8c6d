//! Both logs by each other: each aggregator is half of every release, so each must have all of them.

use super::{Known, LogFacts, TOLERANCE, open_release::OpenRelease};
use crate::finding::{At, Findings, Severity};
use sottovoce_dap::role::Role;
use sottovoce_program::{Program, format_moment};

/// A release that one log lacks for this long, in seconds, is not just on its way.
const ON_ITS_WAY: u64 = 3600;

/// Whether each task of the programs is in a log that was read. Otherwise nothing that is promised
/// of it can be looked at.
pub fn taken(known: Known<'_>, logs: &[&LogFacts], findings: &mut Findings) {
    let tasks = known.programs.iter().flat_map(Program::tasks);
    let missing =
        tasks.filter(|task| logs.iter().all(|log| !log.tasks.contains_key(&task.task_id)));
    for name in missing.map(|task| &task.name) {
        let message = format!(
            "the program's task {name} is in no log that was read: no aggregator serves it, or they serve another \
             version of the program"
        );
        findings.add(Severity::Violation, "not-taken-on", At::BOTH, message);
    }
}

/// Compares both logs. Releases that both have were compared as they were read.
pub fn compare(known: Known<'_>, leader: &LogFacts, helper: &LogFacts, findings: &mut Findings) {
    tasks(known, leader, helper, findings);
    for (role, facts, other) in
        [(Role::Leader, leader, Role::Helper), (Role::Helper, helper, Role::Leader)]
    {
        for release in facts.open.values() {
            let late = release.time.saturating_add(ON_ITS_WAY) < known.now;
            // One that is dated ahead would otherwise be on its way for as long.
            let ahead = release.time > known.now.saturating_add(TOLERANCE);
            let severity = if late || ahead { Severity::Violation } else { Severity::Warning };
            let name = known.name(&release.task);
            let (time, now) = (format_moment(release.time), format_moment(known.now));
            let when = if ahead { "which is in the future" } else { "and it is now" };
            let message = format!(
                "a release of {name} with {} reports is not in the {other}'s log: its time is {time}, {when} ({now})",
                release.report_count
            );
            findings.add(severity, "one-sided-release", At::entry(role, release.entry), message);
        }
    }
}

/// One release, as both logs have it.
pub(super) fn pair(
    known: Known<'_>,
    ours: &OpenRelease,
    theirs: &OpenRelease,
    findings: &mut Findings,
) {
    let name = known.name(&ours.task);
    let at = At::entry(Role::Leader, ours.entry);
    let same = [
        ("number of reports", ours.report_count == theirs.report_count),
        ("checksum", ours.checksum == theirs.checksum),
        ("interval", ours.interval == theirs.interval),
    ];
    for (what, _) in same.into_iter().filter(|(_, same)| !same) {
        let message = format!(
            "the logs disagree on the {what} of a release of {name}: the leader's has {} reports, the helper's \
             entry {} has {}",
            ours.report_count, theirs.entry, theirs.report_count
        );
        findings.add(Severity::Violation, "sides-differ", at, message);
    }
    let apart = ours.time.abs_diff(theirs.time);
    if apart > ON_ITS_WAY {
        let message = format!(
            "the times of a release of {name} are {apart} seconds apart: {} in the leader's log, {} in the helper's; \
             check both servers' clocks",
            format_moment(ours.time),
            format_moment(theirs.time)
        );
        findings.add(Severity::Warning, "clocks-differ", at, message);
    }
}

fn tasks(known: Known<'_>, leader: &LogFacts, helper: &LogFacts, findings: &mut Findings) {
    for (id, ours) in &leader.tasks {
        let name = known.name(id);
        let at = At::entry(Role::Leader, ours.entry);
        let Some(theirs) = helper.tasks.get(id) else {
            let message = format!("the helper's log does not have {name}");
            findings.add(Severity::Warning, "one-sided-task", at, message);
            continue;
        };
        let same = [
            ("configuration or collector's key", ours.agreed == theirs.agreed),
            ("aggregator noise", ours.noise == theirs.noise),
            ("first day of the week", ours.week_begins == theirs.week_begins),
            ("claimed guarantee", ours.claims == theirs.claims),
        ];
        for (what, _) in same.into_iter().filter(|(_, same)| !same) {
            let message = format!("the aggregators serve {name} with a different {what}");
            findings.add(Severity::Violation, "sides-differ", at, message);
        }
    }
    for (id, theirs) in helper.tasks.iter().filter(|(id, _)| !leader.tasks.contains_key(id)) {
        let message = format!("the leader's log does not have {}", known.name(id));
        let at = At::entry(Role::Helper, theirs.entry);
        findings.add(Severity::Warning, "one-sided-task", at, message);
    }
}
