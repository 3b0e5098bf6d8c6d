//! What a device did, for its user: in words, and for machines.

use super::{
    super::{consent::Consent, ledger::Fate, participation::Participation},
    Device, DeviceError,
    window::{period_of, task_in},
};
use serde::Serialize;
use sottovoce_dap::time::Time;
use sottovoce_privacy::{
    budget::{Budget, Limits},
    shown::at_most,
    units::{Delta, Epsilon, Guarantee},
};
use sottovoce_program::{Program, format_moment};
use std::fmt;

/// What was sent, when, under which guarantee, and what is left.
#[derive(Clone, Debug, Serialize)]
pub struct History {
    /// The program.
    pub program: String,
    /// Whether the user agreed.
    pub consent: Consent,
    /// Answers that are kept on the device until their window closes, over all metrics.
    pub kept: usize,
    /// Reports that are made and not yet delivered.
    pub waiting: usize,
    /// In which windows the device takes part.
    pub taking: Taking,
    /// What the device is assigned of public dimensions.
    pub assigned: Vec<AssignedValue>,
    /// Metrics that the device reports nothing of, as it has no value of one of their public dimensions.
    pub unassigned: Vec<String>,
    /// What became of the reports, metric by metric.
    pub lines: Vec<Line>,
    /// What was spent in this period, and what is left.
    pub budget: BudgetLeft,
    /// Until when the device is silent, if it is.
    pub silent_until: Option<String>,
    /// Whether all is held back, answers and reports, because the program demands proofs that its tasks
    /// are in both aggregators' logs, and the app has not given them.
    pub waits_for_proofs: bool,
    /// Why reports are held back, if a server gives out a key that its log does not have.
    pub refused_key: Option<String>,
}

impl History {
    /// Why nothing is reported for now, a sentence for each reason; empty if nothing is held back.
    pub fn held_back(&self) -> Vec<String> {
        let silent = self.silent_until.as_ref().map(|until| {
            format!(
                "Until {until} nothing is reported, because it is not known how much of the budget was spent."
            )
        });
        let unproved = self.waits_for_proofs.then(|| {
            "Everything is held back until there is a proof that the questions are in the public logs of both \
             aggregators."
                .to_owned()
        });
        let key = self.refused_key.as_ref();
        let key = key.map(|reason| format!("Reports are held back: {reason}."));
        [silent, unproved, key].into_iter().flatten().collect()
    }
}

/// In which windows a device takes part: in all, or in some of each period that it drew by itself, whatever
/// was said in them.
#[derive(Clone, Debug, Serialize)]
pub struct Taking {
    /// In so many windows of each period.
    pub windows: u64,
    /// Of so many that a period has.
    pub of: u64,
    /// When the next of them begins, or began; absent if the user does not take part.
    pub next_from: Option<String>,
    /// When it ends.
    pub next_to: Option<String>,
}

/// A device's value of a public dimension.
#[derive(Clone, Debug, Serialize)]
pub struct AssignedValue {
    /// The dimension.
    pub dimension: String,
    /// The value that was assigned last.
    pub value: String,
    /// From when on it holds, if it does not yet: from the next window.
    pub from: Option<String>,
}

/// Reports of one metric in neighbouring windows, with the same fate.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The metric.
    pub metric: String,
    /// What the user was asked; absent if the program does not ask it any more.
    pub question: Option<String>,
    /// The start of the first window.
    pub from: String,
    /// The end of the last window.
    pub to: String,
    /// How many reports, one a window.
    pub reports: u64,
    /// What became of them.
    pub fate: Fate,
    /// What each of them guarantees in its batch, per trust model; empty if none was made.
    pub guarantees: Vec<Guarantee>,
}

/// The account of the period.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetLeft {
    /// When the period began.
    pub from: String,
    /// The most windows in which the device may report, if that is limited.
    pub windows: Option<u64>,
    /// Windows that are left.
    pub windows_left: Option<u64>,
    /// The sum of ε₀ so far: what is lost if both aggregators collude.
    pub spent_local: f64,
    /// Its limit, if there is one.
    pub limit_local: Option<f64>,
    /// The composed ε so far at `delta`, if one aggregator and most devices are honest.
    pub spent_central: f64,
    /// Its limit, if there is one.
    pub limit_central: Option<f64>,
    /// The δ of the composed ε.
    pub delta: f64,
}

impl Device {
    /// What the device did, as memory has it. Composes what was spent, which takes a moment.
    pub fn history(&self, now: u64) -> Result<History, DeviceError> {
        super::error::check_clock(now)?;
        let state = &self.state;
        let silent = Some(state.silent_until).filter(|until| *until > now);
        Ok(History {
            program: state.program.name.clone(),
            consent: state.consent,
            kept: state.pending.values().map(|pending| pending.items().len()).sum(),
            waiting: state.outbox.entries.len(),
            taking: self.taking(),
            assigned: self.assigned(now),
            unassigned: self.unassigned(now),
            lines: self.lines(),
            budget: self.budget_left(now),
            silent_until: silent.map(format_moment),
            waits_for_proofs: state.consent.is_given() && self.check_logged().is_err(),
            refused_key: self.keys.refused().map(ToString::to_string),
        })
    }

    /// The window that is reported next, once it is over: its beginning and its end, in seconds since the
    /// Epoch. It is one of the device's own; nothing if the user does not take part.
    pub fn next_window(&self) -> Option<(u64, u64)> {
        let open = self.state.open.filter(|_| self.state.consent.is_given())?;
        let start = |window| self.program.window().start_of(Time(window));
        Some((start(open), start(open.saturating_add(1))))
    }

    /// Where [`reports_since`](Self::reports_since) begins to say what became of what is not settled yet: the
    /// start of the first window whose report is made and not delivered, or that is reported next, in seconds
    /// since the Epoch. Nothing if there is none.
    pub fn unsettled_since(&self) -> Option<u64> {
        let made = self.state.outbox.entries.iter().map(|entry| entry.window);
        let first = made.chain(self.state.open).min()?;
        Some(self.program.window().start_of(Time(first)))
    }

    /// What became of the reports of the window that a moment is in, and of those after it.
    pub fn reports_since(&self, moment: u64) -> Vec<Line> {
        self.lines_from(self.program.window().time_at(moment).0)
    }

    fn taking(&self) -> Taking {
        let (windows, of) = Participation::of(&self.program).share();
        let next = self.next_window();
        let [next_from, next_to] = [next.map(|next| next.0), next.map(|next| next.1)];
        Taking {
            windows,
            of,
            next_from: next_from.map(format_moment),
            next_to: next_to.map(format_moment),
        }
    }

    fn assigned(&self, now: u64) -> Vec<AssignedValue> {
        let window = self.program.window();
        let current = window.time_at(now).0;
        let assigned = self.state.assigned.iter().map(|(dimension, value, from)| AssignedValue {
            dimension: dimension.to_owned(),
            value: value.to_owned(),
            from: (from > current).then(|| format_moment(window.start_of(Time(from)))),
        });
        assigned.collect()
    }

    fn unassigned(&self, now: u64) -> Vec<String> {
        let window = self.state.open.unwrap_or(self.program.window().time_at(now).0);
        let metrics = self.program.releases().into_iter().map(|(metric, _)| metric);
        metrics
            .filter(|metric| task_in(&self.program, &self.state, metric, window).is_none())
            .collect()
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines_from(0)
    }

    /// Reports of a window and of those after it.
    fn lines_from(&self, from: u64) -> Vec<Line> {
        let program = &self.program;
        let start = |window: u64| format_moment(program.window().start_of(Time(window)));
        let mut lines = Vec::new();
        for account in self.state.ledger.accounts() {
            let task = program.tasks().iter().find(|task| task.metric.name == account.metric);
            let guarantees = guarantees(program, &account.release);
            for run in account.runs().iter().filter(|run| *run.windows().end() >= from) {
                let (first, last) = (from.max(*run.windows().start()), *run.windows().end());
                lines.push(Line {
                    metric: account.metric.clone(),
                    question: task.map(|task| task.metric.question.clone()),
                    from: start(first),
                    to: start(last.saturating_add(1)),
                    reports: (last - first).saturating_add(1),
                    fate: run.fate,
                    guarantees: if run.fate.is_charged() { guarantees.clone() } else { Vec::new() },
                });
            }
        }
        lines
    }

    fn budget_left(&self, now: u64) -> BudgetLeft {
        let ledger = &self.state.ledger;
        let (allowance, budget) = (period_of(&self.program, now), self.program.budget());
        let limits = budget.map_or_else(Limits::default, |budget| budget.limits());
        let delta = limits.central.map_or(self.program.privacy().delta, |(_, delta)| delta);
        let used = ledger.windows_since(allowance.from);
        BudgetLeft {
            from: format_moment(self.program.window().start_of(Time(allowance.from))),
            windows: budget.map(|budget| budget.windows()),
            windows_left: budget.map(|budget| budget.windows().saturating_sub(used)),
            spent_local: ledger.local_since(allowance.from),
            limit_local: limits.local.map(Epsilon::get),
            spent_central: self.composed_since(allowance.from, delta),
            limit_central: limits.central.map(|(epsilon, _)| epsilon.get()),
            delta: delta.get(),
        }
    }

    /// The composed ε of what was charged from a window on; the sum of ε₀ where it cannot be worked
    /// out, which is never less.
    fn composed_since(&self, from: u64, delta: Delta) -> f64 {
        let charged = self.state.ledger.accounts().iter().filter_map(|account| {
            let times = account.charged_since(from);
            (times > 0).then(|| (account.release.clone(), times))
        });
        let mut budget = Budget::with_spent(Limits::default(), charged.collect());
        let sum = self.state.ledger.local_since(from);
        budget.spent_central(delta).map_or(sum, Epsilon::get)
    }
}

fn guarantees(
    program: &Program,
    release: &sottovoce_privacy::guarantee::Release,
) -> Vec<Guarantee> {
    release.guarantees(program.privacy().delta).unwrap_or_else(|_| {
        use sottovoce_privacy::units::TrustModel::{Oamc, Oaoc, Oc};
        [Oc, Oaoc, Oamc].map(|trust| release.mechanism.local_guarantee(trust)).to_vec()
    })
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.consent {
            Consent::NotAsked => writeln!(f, "You have not been asked to take part.")?,
            Consent::Given { since } => {
                writeln!(f, "You have taken part since {}.", format_moment(since))?;
            }
            Consent::Withdrawn { since } => {
                writeln!(f, "You stopped taking part at {}.", format_moment(since))?;
            }
        }
        let Self { kept, waiting, .. } = self;
        writeln!(f, "{kept} answers are kept on this device until their window is over.")?;
        writeln!(f, "{waiting} reports are made and not delivered yet.")?;
        self.taking.fmt(f)?;
        for AssignedValue { dimension, value, from } in &self.assigned {
            let from = from.as_ref().map(|from| format!(" from {from} on"));
            let from = from.unwrap_or_default();
            writeln!(f, "This device is assigned {dimension} = {value}{from}.")?;
        }
        for metric in &self.unassigned {
            writeln!(
                f,
                "Nothing is reported to {metric}: the app has not assigned this device to one of its arms or \
                 versions."
            )?;
        }
        self.held_back().iter().try_for_each(|reason| writeln!(f, "{reason}"))?;
        self.lines.iter().try_for_each(|line| line.fmt(f))?;
        self.budget.fmt(f)
    }
}

impl fmt::Display for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { windows, of, next_from, next_to } = self;
        if windows < of {
            writeln!(
                f,
                "This device reports in {windows} of the {of} windows of each period. It drew them at random, \
                 independently of your answers; answers in other windows wait for the next of these."
            )?;
        }
        match (next_from, next_to) {
            (Some(from), Some(to)) => {
                writeln!(f, "The next window that it reports is {from} to {to}.")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.question.as_ref().map_or(&self.metric, |question| question);
        let Self { from, to, reports, .. } = self;
        writeln!(f, "{from} to {to}, {asked:?}: {reports} {}", self.fate.in_words())?;
        for guarantee in &self.guarantees {
            let (epsilon, delta) = (guarantee.epsilon.shown(3), guarantee.delta.shown(2));
            let trust = guarantee.trust.in_words();
            writeln!(f, "    epsilon {epsilon}, delta {delta} ({}: {trust})", guarantee.trust)?;
        }
        Ok(())
    }
}

impl fmt::Display for BudgetLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = |limit: Option<f64>| {
            limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {limit}"))
        };
        writeln!(
            f,
            "Since {}: {} spent ({}) if both aggregators collude, {} ({}) at delta = {} if \
             one of them and most devices are honest.",
            self.from,
            at_most(self.spent_local, 3),
            limit(self.limit_local),
            at_most(self.spent_central, 3),
            limit(self.limit_central),
            self.delta
        )?;
        match (self.windows_left, self.windows) {
            (Some(left), Some(windows)) => writeln!(f, "{left} of {windows} windows are left."),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_is_never_shown_smaller_than_it_is() {
        let budget = BudgetLeft {
            from: "2026-10-03".to_owned(),
            windows: None,
            windows_left: None,
            spent_local: 8.04,
            limit_local: Some(24.0),
            spent_central: 0.933_231,
            limit_central: Some(0.95),
            delta: 1e-6,
        };
        let words = budget.to_string();
        for part in ["8.040 spent (of 24)", "0.934 (of 0.95)"] {
            assert!(words.contains(part), "{part:?} is not in {words:?}");
        }
    }
}
