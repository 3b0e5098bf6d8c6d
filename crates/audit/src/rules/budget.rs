//! All releases of a period by what the program declares.
//!
//! A device reports each metric at most once a window, to one of its tasks, and by the program in so many
//! windows of a period, which it draws by itself; which ones, no log says. So a period can have cost a
//! device that keeps to the program at most the windows that were released of any of the metric's tasks,
//! or those that a device reports in, whichever are fewer.

use super::{Known, LogFacts, ranges::Ranges};
use crate::finding::{At, Findings, Severity};
use serde::Serialize;
use sottovoce_dap::time::Time;
use sottovoce_privacy::{
    guarantee::{LEAST_REPORTS, Release, composed},
    units::{Epsilon, Guarantee, TrustModel},
};
use sottovoce_program::{Calendar, Program};
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
    /// In how many of them a device that keeps to the program reported, at most.
    pub own: u64,
    /// What such a device can have spent, under each trust model.
    pub guarantees: Vec<Guarantee>,
}

/// Adds up the periods of each program that has a budget.
pub fn judge(known: Known<'_>, logs: &[&LogFacts], findings: &mut Findings) -> Vec<Spent> {
    known.programs.iter().flat_map(|program| of_program(program, logs, findings)).collect()
}

fn of_program(program: &Program, logs: &[&LogFacts], findings: &mut Findings) -> Vec<Spent> {
    let Some(budget) = program.budget() else {
        let message = format!(
            "{} declares no privacy budget, so nothing bounds the total privacy loss of its releases",
            program.name()
        );
        findings.add(Severity::Note, "no-budget", At::BOTH, message);
        return Vec::new();
    };
    let calendar = program.window().periods(budget.period());
    let Some(periods) = periods(program, logs, calendar) else {
        let message = format!(
            "releases of {} claim to cover more than {MOST_PERIODS} periods of its budget",
            program.name()
        );
        findings.add(Severity::Violation, "budget", At::BOTH, message);
        return Vec::new();
    };
    let (mut all, mut worked_out) = (Vec::new(), BTreeMap::new());
    for period in periods {
        let [start, end] =
            [period, period.saturating_add(1)].map(|period| calendar.start_of(Time(period)));
        let windows = windows(program, logs, (start, end));
        let most = windows.values().copied().max().unwrap_or(0);
        let mut counted: Vec<_> = windows
            .into_iter()
            .map(|(metric, windows)| (metric.to_owned(), windows.min(budget.windows())))
            .collect();
        // Composing takes long, and a log may claim any pattern: from here on, the most that it can be.
        if worked_out.len() >= MOST_COMPOSED && !worked_out.contains_key(&counted) {
            for (_, windows) in &mut counted {
                *windows = budget.windows();
            }
        }
        let spent = worked_out.entry(counted).or_insert_with_key(|counted| spent(program, counted));
        match spent {
            Ok(guarantees) => {
                judge_period(program, start, guarantees, findings);
                all.push(Spent {
                    program: program.name().to_owned(),
                    start,
                    seconds: budget.period(),
                    windows: most,
                    own: most.min(budget.windows()),
                    guarantees: guarantees.clone(),
                });
            }
            Err(error) => {
                let message =
                    format!("the privacy loss of {} cannot be computed: {error}", program.name());
                findings.add(Severity::Violation, "budget", At::BOTH, message);
            }
        }
    }
    all
}

fn judge_period(program: &Program, start: u64, spent: &[Guarantee], findings: &mut Findings) {
    let moment = sottovoce_program::format_moment(start);
    let under = |trust| spent.iter().find(|spent| spent.trust == trust).map(|spent| spent.epsilon);
    for trust in [TrustModel::Oc, TrustModel::Oamc] {
        let (Some(limit), Some(spent)) = (limit(program, trust), under(trust)) else { continue };
        if !limit.allows(spent) {
            let message = format!(
                "in the period from {moment}, the releases of {} can have cost one device ε = {}, above the \
                 declared limit of {} ({})",
                program.name(),
                spent.shown(3),
                limit.epsilon(),
                trust.in_words()
            );
            findings.add(Severity::Violation, "budget", At::BOTH, message);
        }
    }
}

/// The most that the releases of a period may cost a device, as a program declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit(Epsilon);

impl Limit {
    /// The ε, as it was declared.
    pub fn epsilon(self) -> Epsilon {
        self.0
    }

    /// Whether so much is within it. A sum of decimals is a little off in its last digits.
    pub fn allows(self, spent: Epsilon) -> bool {
        spent.get() <= self.0.get() * (1.0 + 1e-9)
    }
}

/// The limit that a program declares under a trust model, if it declares one.
pub fn limit(program: &Program, trust: TrustModel) -> Option<Limit> {
    let limits = program.budget()?.limits();
    match trust {
        TrustModel::Oc => limits.local,
        TrustModel::Oaoc => None,
        TrustModel::Oamc => limits.central.map(|(epsilon, _)| epsilon),
    }
    .map(Limit)
}

/// Patterns of releases in a period that are each worked out.
const MOST_COMPOSED: usize = 256;

/// More periods than any program lives through: a log may claim batches that last for ages.
const MOST_PERIODS: usize = 100_000;

/// The periods in which anything of a program was released, unless they are too many to be true.
fn periods(program: &Program, logs: &[&LogFacts], calendar: Calendar) -> Option<BTreeSet<u64>> {
    let mut periods = BTreeSet::new();
    for (start, end) in program.tasks().iter().flat_map(|task| {
        let facts = logs.iter().filter_map(|log| log.tasks.get(&task.task_id));
        facts.flat_map(|task| task.released.spans())
    }) {
        if start >= end {
            continue;
        }
        let last = calendar.time_at(end.saturating_sub(1).max(start)).0;
        for at in calendar.time_at(start).0..=last {
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
    composed(&kinds, program.delta_over_time()).map_err(|error| error.to_string())
}
