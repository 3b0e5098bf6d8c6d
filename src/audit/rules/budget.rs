//! All releases of a period by what the program declares.
//!
//! A device reports each metric at most once a window, and by the program in at most so many windows
//! of a period; which ones, no log says. So what a period can have cost any device is at most the
//! windows that were released, or those that a device may report in, whichever are fewer.

use super::{Known, LogFacts};
use crate::{
    audit::finding::{At, Findings, Severity},
    privacy::{
        guarantee::{LEAST_REPORTS, Release, composed},
        units::{Guarantee, TrustModel},
    },
    program::Program,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the releases of a period come to.
#[derive(Clone, Debug, Serialize)]
pub struct Spent {
    /// The program.
    pub program: String,
    /// The period's start, in seconds since the Epoch.
    pub start: u64,
    /// Its length in seconds.
    pub seconds: u64,
    /// The most windows that were released of any one metric.
    pub windows: u64,
    /// What a device can have spent, under each trust model.
    pub guarantees: Vec<Guarantee>,
}

/// Adds up the periods of each program that has a budget.
pub fn judge(known: Known<'_>, logs: &[&LogFacts], findings: &mut Findings) -> Vec<Spent> {
    known.programs.iter().flat_map(|program| of_program(program, logs, findings)).collect()
}

fn of_program(program: &Program, logs: &[&LogFacts], findings: &mut Findings) -> Vec<Spent> {
    let Some(budget) = program.budget() else {
        let message = format!(
            "{} declares no budget over time, so that nothing bounds what its releases add up to",
            program.name()
        );
        findings.add(Severity::Note, "no-budget", At::BOTH, message);
        return Vec::new();
    };
    let mut all = Vec::new();
    let mut worked_out = BTreeMap::new();
    for period in periods(program, logs) {
        let windows = windows(program, logs, period);
        let counted: Vec<_> = windows
            .iter()
            .map(|(metric, count)| (metric.clone(), (*count).min(budget.windows())))
            .collect();
        let spent = worked_out.entry(counted.clone()).or_insert_with(|| spent(program, &counted));
        let most = windows.values().copied().max().unwrap_or(0);
        let start = period.saturating_mul(budget.period());
        match spent {
            Ok(guarantees) => {
                all.push(Spent {
                    program: program.name().to_owned(),
                    start,
                    seconds: budget.period(),
                    windows: most,
                    guarantees: guarantees.clone(),
                });
                judge_period(program, start, guarantees, findings);
            }
            Err(error) => {
                let message =
                    format!("what {} spent cannot be worked out: {error}", program.name());
                findings.add(Severity::Violation, "budget", At::BOTH, message);
            }
        }
    }
    all
}

fn judge_period(program: &Program, start: u64, spent: &[Guarantee], findings: &mut Findings) {
    let Some(budget) = program.budget() else { return };
    let (limits, moment) = (budget.limits(), crate::program::format_moment(start));
    let under =
        |trust| spent.iter().find(|spent| spent.trust == trust).map(|spent| spent.epsilon.get());
    let checks = [
        (TrustModel::Oc, limits.local.map(crate::privacy::units::Epsilon::get)),
        (TrustModel::Oamc, limits.central.map(|(epsilon, _)| epsilon.get())),
    ];
    for (trust, limit) in checks {
        let (Some(limit), Some(spent)) = (limit, under(trust)) else { continue };
        if spent > limit * (1.0 + 1e-9) {
            let message = format!(
                "in the period from {moment}, releases of {} come to ε = {spent:.3} under {trust}, above the \
                 {limit:.3} that it declares",
                program.name()
            );
            findings.add(Severity::Violation, "budget", At::BOTH, message);
        }
    }
}

/// The periods in which anything of a program was released.
fn periods(program: &Program, logs: &[&LogFacts]) -> BTreeSet<u64> {
    let tasks = program.tasks().iter();
    let facts = tasks.flat_map(|task| logs.iter().filter_map(|log| log.tasks.get(&task.task_id)));
    facts.flat_map(|task| task.periods.keys().copied()).collect()
}

/// The windows released of each metric: of its tasks the most, since a device reports to one of them.
fn windows(program: &Program, logs: &[&LogFacts], period: u64) -> BTreeMap<String, u64> {
    let mut windows = BTreeMap::new();
    for task in program.tasks() {
        let released = logs
            .iter()
            .filter_map(|log| log.tasks.get(&task.task_id)?.periods.get(&period).copied())
            .max()
            .unwrap_or(0);
        let most = windows.entry(task.metric.name.clone()).or_insert(0);
        *most = released.max(*most);
    }
    windows
}

fn spent(program: &Program, counted: &[(String, u64)]) -> Result<Vec<Guarantee>, String> {
    let releases = program.releases();
    let kinds: Vec<(Release, u64)> = counted
        .iter()
        .filter(|(_, windows)| *windows > 0)
        .filter_map(|(metric, windows)| {
            let (_, release) = releases.iter().find(|(name, _)| name == metric)?;
            let honest = release.honest.max(LEAST_REPORTS);
            Some((Release { honest, ..release.clone() }, *windows))
        })
        .collect();
    // The δ that the composed bound is declared for, if it is.
    let central = program.budget().and_then(|budget| budget.limits().central);
    let delta = central.map_or(program.privacy().delta, |(_, delta)| delta);
    composed(&kinds, delta).map_err(|error| error.to_string())
}
