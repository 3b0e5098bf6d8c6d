//! The budget of a device over time: in how many windows of a period it may report.
//!
//! Every device reports each metric once a window, answer or none, so that what it spends is known
//! beforehand: `windows` times one release of each metric. The program declares the period and the
//! windows, or the limit that they follow from; each limit is checked for all metrics together.

use super::{
    Program, ProgramError,
    file::BudgetTable,
    format_duration,
    metric::Metric,
    moment,
    source::{At, Source},
};
use serde::Serialize;
use sottovoce_privacy::{
    budget::{Budget, BudgetError, Limits},
    guarantee::{GuaranteeError, LEAST_REPORTS, Release, composed},
    shown::at_most,
    units::{Delta, Epsilon, Guarantee, TrustModel},
};

/// What one device may spend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceBudget {
    period: u64,
    windows: u64,
    limits: Limits,
}

/// How often a device reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reporting {
    /// A period in seconds.
    pub seconds: u64,
    /// Its windows.
    pub of_windows: u64,
    /// In how many of them a device reports, at most.
    pub windows: u64,
}

/// What one device risks over a period: all its reports, of all metrics.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeriodCost {
    /// The period's length in seconds: the budget's, or a year if the program has none.
    pub seconds: u64,
    /// How many windows it has.
    pub of_windows: u64,
    /// In how many of them a device reports, at most.
    pub windows: u64,
    /// Whether the program limits them.
    pub limited: bool,
    /// What all reports come to together, per trust model.
    pub guarantees: Vec<Guarantee>,
}

impl PeriodCost {
    /// What it is the cost of: "over 91 days, with all metrics, reporting in 1 of 13 windows".
    pub fn in_words(&self) -> String {
        let Self { seconds, of_windows, windows, limited, .. } = self;
        if *limited {
            let period = format_duration(*seconds);
            format!(
                "over {period}, with all metrics, reporting in {windows} of {of_windows} windows"
            )
        } else {
            format!(
                "over a year, with all metrics, reporting in all {of_windows} windows, because there is no budget"
            )
        }
    }

    /// The bound under a trust model.
    pub fn under(&self, trust: TrustModel) -> Option<&Guarantee> {
        self.guarantees.iter().find(|guarantee| guarantee.trust == trust)
    }
}

impl DeviceBudget {
    /// So many windows of a period, and what must be kept.
    pub(super) fn new(period: u64, windows: u64, limits: Limits) -> Self {
        Self { period, windows, limits }
    }

    /// The period in seconds; periods are counted from the Epoch.
    pub fn period(&self) -> u64 {
        self.period
    }

    /// The most windows of a period in which a device reports a metric.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    /// What all reports of a period together must keep.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Parses the table of a program whose metrics are known.
    pub(super) fn parse(
        source: Source<'_>,
        table: &BudgetTable,
        program: &Program,
    ) -> Result<Self, ProgramError> {
        let period = period(source, &table.period, program)?;
        let epsilon = |value: &At<f64>| {
            Epsilon::new(*value.get_ref()).map_err(|error| source.error(value, error))
        };
        let local = table.local.as_ref().map(epsilon).transpose()?;
        let central = match &table.central {
            None => None,
            Some(central) => {
                let delta = Delta::new(*central.delta.get_ref());
                let delta = delta.map_err(|error| source.error(&central.delta, error))?;
                Some((epsilon(&central.epsilon)?, delta))
            }
        };
        let fitting = local.map(|local| windows_within(program, local));
        let windows = match (&table.windows, fitting) {
            (None, None) => {
                let reason = "needs `windows`, the maximum number of windows of a period in which a device \
                              reports, or `local`, from which that number is computed";
                return Err(source.error(&table.period, reason));
            }
            (Some(windows), Some(fitting)) if *windows.get_ref() > fitting => {
                let reason = format!(
                    "`local` is enough for {fitting} windows of all metrics; lower this, or raise `local`"
                );
                return Err(source.error(windows, reason));
            }
            (Some(windows), _) => *windows.get_ref(),
            (None, Some(fitting)) => fitting,
        };
        if windows == 0 {
            let one = sum_of_epsilon0(program);
            let one = at_most(one, 3);
            let reason = format!("covers no window: one report of each metric costs {one}");
            let place = table.windows.as_ref().map(|w| w.span().start);
            let local = table.local.as_ref().map(|local| local.span().start);
            return Err(source.at(place.or(local).unwrap_or(0), reason));
        }
        Ok(Self { period, windows, limits: Limits { local, central } })
    }
}

impl Program {
    /// What a device may spend, if the program limits it.
    pub fn budget(&self) -> Option<DeviceBudget> {
        self.budget
    }

    /// One release of each metric, with the declared smallest batch, by the metric's name.
    pub fn releases(&self) -> Vec<(String, Release)> {
        let mut releases: Vec<(String, Release)> = Vec::new();
        for task in &self.tasks {
            if releases.iter().all(|(name, _)| *name != task.metric.name) {
                let mechanism = task.randomizer().mechanism.clone();
                let honest = self.privacy.reserve.honest_of(self.min_batch_size);
                let release = Release { mechanism, noise: task.noise(), honest };
                releases.push((task.metric.name.clone(), release));
            }
        }
        releases
    }

    /// What one device spends that reports each metric in so many windows: of a metric with public
    /// dimensions, to one task. Takes up to seconds.
    pub fn spent_in(&self, windows: u64) -> Result<Vec<Guarantee>, GuaranteeError> {
        let honest = self.privacy.reserve.honest_of(self.min_batch_size);
        let releases = self.releases().into_iter().map(|(_, release)| {
            let release = Release { honest: honest.max(LEAST_REPORTS), ..release };
            (release, windows)
        });
        let mut guarantees = composed(&releases.collect::<Vec<_>>(), self.delta_over_time())?;
        if honest < LEAST_REPORTS {
            // Too few to hide among: what the randomizers guarantee by themselves is all there is.
            let local = guarantees[0];
            for guarantee in &mut guarantees {
                *guarantee = Guarantee { trust: guarantee.trust, ..local };
            }
        }
        Ok(guarantees)
    }

    /// What one device risks over a period of the budget; over a year of all windows if the program has
    /// none. Takes up to seconds: for the tools, not for devices.
    pub fn period_cost(&self) -> Result<PeriodCost, GuaranteeError> {
        let Reporting { seconds, of_windows, windows } = self.reporting();
        let guarantees = self.spent_in(windows)?;
        Ok(PeriodCost { seconds, of_windows, windows, limited: self.budget.is_some(), guarantees })
    }

    /// In how many windows of a period of the budget a device reports; of a year if the program has none.
    pub fn reporting(&self) -> Reporting {
        let (seconds, windows) = match self.budget {
            Some(budget) => (budget.period, budget.windows),
            None => (YEAR_SECONDS, u64::MAX),
        };
        let of_windows = seconds.div_ceil(self.window.seconds());
        Reporting { seconds, of_windows, windows: windows.min(of_windows) }
    }

    /// The δ at which several releases are composed: the budget's, or that of one release.
    pub fn delta_over_time(&self) -> Delta {
        let central = self.budget.and_then(|budget| budget.limits.central);
        central.map_or(self.privacy.delta, |(_, delta)| delta)
    }

    /// The metrics, each once, as they stand in the file.
    pub fn metrics(&self) -> Vec<&Metric> {
        let mut metrics: Vec<&Metric> = Vec::new();
        for task in &self.tasks {
            if metrics.iter().all(|metric| metric.name != task.metric.name) {
                metrics.push(&task.metric);
            }
        }
        metrics
    }

    /// Whether the declared windows keep the declared limits, by composing the releases of a whole
    /// period. Takes up to seconds: for the tools, not for devices, which count windows.
    pub fn certify_budget(&self) -> Result<(), BudgetError> {
        let Some(budget) = self.budget else { return Ok(()) };
        let mut account = Budget::new(budget.limits);
        for (_, release) in self.releases() {
            account.charge(&release, budget.windows)?;
        }
        Ok(())
    }
}

/// 365.2425 days.
pub const YEAR_SECONDS: u64 = 31_556_952;

fn period(source: Source<'_>, text: &At<String>, program: &Program) -> Result<u64, ProgramError> {
    let seconds = moment::parse_duration(text.get_ref()).map_err(|e| source.error(text, e))?;
    let window = program.window.seconds();
    if seconds >= window && seconds.is_multiple_of(window) {
        return Ok(seconds);
    }
    let reason = format!("must be a multiple of the window, which is {window} seconds");
    Err(source.error(text, reason))
}

fn sum_of_epsilon0(program: &Program) -> f64 {
    program.releases().iter().map(|(_, release)| release.mechanism.local_epsilon().get()).sum()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a quotient of positive numbers, rounded down"
)]
fn windows_within(program: &Program, local: Epsilon) -> u64 {
    // Bounds are rounded up by a few parts in 10^12; whole numbers of them should still fit.
    (local.get() * (1.0 + 1e-10) / sum_of_epsilon0(program)).floor() as u64
}
