//! All releases of a period by what the program declares.
//!
//! A device reports each metric at most once a window, to one of its tasks, and by the program in at
//! most so many windows of a period; which ones, no log says. So what a period can have cost any device
//! is at most the windows that were released of any of the metric's tasks, or those that a device may
//! report in, whichever are fewer.

use super::{Known, LogFacts, ranges::Ranges};
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
    let Some(periods) = periods(program, logs, budget.period()) else {
        let message = format!(
            "releases of {} claim to reach over more than {MOST_PERIODS} periods of its budget",
            program.name()
        );
        findings.add(Severity::Violation, "budget", At::BOTH, message);
        return Vec::new();
    };
    let (mut all, mut worked_out, mut beyond) = (Vec::new(), BTreeMap::new(), 0);
    for period in periods {
        let start = period.saturating_mul(budget.period());
        let windows = windows(program, logs, (start, start.saturating_add(budget.period())));
        let most = windows.values().copied().max().unwrap_or(0);
        beyond += u64::from(most > budget.windows());
        let counted: Vec<_> = windows
            .into_iter()
            .map(|(metric, windows)| (metric.to_owned(), windows.min(budget.windows())))
            .collect();
        let spent = worked_out.entry(counted).or_insert_with_key(|counted| spent(program, counted));
        match spent {
            Ok(guarantees) => {
                judge_period(program, start, guarantees, findings);
                all.push(Spent {
                    program: program.name().to_owned(),
                    start,
                    seconds: budget.period(),
                    windows: most,
                    guarantees: guarantees.clone(),
                });
            }
            Err(error) => {
                let message =
                    format!("what {} spent cannot be worked out: {error}", program.name());
                findings.add(Severity::Violation, "budget", At::BOTH, message);
            }
        }
    }
    if beyond > 0 {
        let message = format!(
            "in {beyond} periods more windows of {} were released than the {} that a device reports in: what \
             they come to rests on devices that keep to that",
            program.name(),
            budget.windows()
        );
        findings.add(Severity::Note, "windows", At::BOTH, message);
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

/// More periods than any program lives through: a log may claim batches that last for ages.
const MOST_PERIODS: usize = 100_000;

/// The periods in which anything of a program was released, unless they are too many to be true.
fn periods(program: &Program, logs: &[&LogFacts], period: u64) -> Option<BTreeSet<u64>> {
    let mut periods = BTreeSet::new();
    for (start, end) in program.tasks().iter().flat_map(|task| {
        let facts = logs.iter().filter_map(|log| log.tasks.get(&task.task_id));
        facts.flat_map(|task| task.released.spans())
    }) {
        for at in start / period..end.div_ceil(period) {
            periods.insert(at);
            if periods.len() > MOST_PERIODS {
                return None;
            }
        }
    }
    Some(periods)
}

/// The windows released of each metric within a span, by any of its tasks: a device reports to one of
/// them, and another one in the next window.
fn windows<'a>(
    program: &'a Program,
    logs: &[&LogFacts],
    (start, end): (u64, u64),
) -> BTreeMap<&'a str, u64> {
    let mut released: BTreeMap<&str, Ranges> = BTreeMap::new();
    for task in program.tasks() {
        let of_metric = released.entry(&task.metric.name).or_default();
        for facts in logs.iter().filter_map(|log| log.tasks.get(&task.task_id)) {
            for (from, to) in facts.released.within(start, end) {
                of_metric.add(from, to);
            }
        }
    }
    let window = program.window().seconds();
    let count =
        |ranges: &Ranges| ranges.spans().map(|(from, to)| (to - from).div_ceil(window)).sum();
    released.iter().map(|(metric, ranges)| (*metric, count(ranges))).collect()
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
