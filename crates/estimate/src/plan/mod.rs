//! Before anyone is asked: what a device risks over a period, what a program will say for it, and how
//! surely.
//!
//! [`Plan::new`] looks at a program with so many devices: what all reports of one of them come to over a
//! period, whether batches fill, and for each metric the expected error and the smallest difference
//! between two arms that shows. [`proposal`] turns the question around. The numbers come from the code
//! that certifies programs ([`sottovoce_privacy`]) and reads releases ([`crate`]).

mod batches;
mod gaussian;
pub mod participation;
pub mod precision;
pub mod proposal;
mod size;

pub use batches::devices_needed;

use crate::{
    EstimateError,
    aggregator_noise::AggregatorNoise,
    confidence::Confidence,
    interval::Scope,
    noisy_counts::Channel,
    planning::{Test, VarianceLaw},
};
use batches::Batches;
use participation::Fill;
use precision::Precision;
use serde::Serialize;
use sottovoce_privacy::{
    budget::BudgetError,
    guarantee::{GuaranteeError, Mechanism, MechanismKind},
    randomizer::RandomizerError,
    units::{Epsilon, Guarantee, OutOfRange},
};
use sottovoce_program::{
    Program, ProgramError, Weekday,
    budget::{PeriodCost, YEAR_SECONDS},
    compile::CompiledTask,
    format_duration,
};
use thiserror::Error;

/// What can be expected of a program.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The program's name.
    pub program: String,
    /// Devices that take part.
    pub devices: u64,
    /// What one device risks over a period, with all metrics: the budget's, or a year.
    pub period: PeriodCost,
    /// The smallest batch that is ever added up.
    pub min_batch_size: u64,
    /// How long a window is, in seconds.
    pub window_seconds: u64,
    /// The day that windows begin on, in UTC, if they are whole weeks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub week_begins: Option<Weekday>,
    /// The probability that every batch of a period fills.
    pub all_batches: f64,
    /// Devices with which every batch of a period fills with a probability of 99 %.
    pub devices_needed: u64,
    /// Metric by metric, those with public dimensions once for each of their values.
    pub metrics: Vec<MetricPlan>,
    /// What one device spends on all metrics in one window.
    pub window_budget: Vec<Guarantee>,
    /// What one device spends in a year.
    pub year_budget: Vec<Guarantee>,
    /// Windows in a year in which one device reports.
    pub windows_per_year: u64,
}

/// What can be expected of one metric.
#[derive(Clone, Debug, Serialize)]
pub struct MetricPlan {
    /// Its name, with the values of public dimensions.
    pub name: String,
    /// Its bins, *no answer* included.
    pub bins: u32,
    /// What devices do.
    pub randomizer: MechanismKind,
    /// Why it is this.
    pub why: String,
    /// What one report spends, whoever colludes.
    pub epsilon0: Epsilon,
    /// What one report in one batch guarantees.
    pub guarantees: Vec<Guarantee>,
    /// How many reports a batch holds.
    pub fill: Fill,
    /// Reports that errors are given for: the expected ones, rounded down.
    pub reports: u64,
    /// Half the width of a 95 % interval for a rate of one half in the population.
    pub half_width: f64,
    /// The same without any noise: what asking only these devices costs.
    pub half_width_without_noise: f64,
    /// The smallest difference between two arms, of so many reports each, that a test at 95 %
    /// confidence finds with a probability of 80 %.
    pub detectable_difference: f64,
    /// Bytes of one report as it is sent.
    pub bytes_per_report: usize,
}

/// A plan that cannot be made.
#[derive(Debug, Error)]
pub enum PlanError {
    /// Batches that never fill.
    #[error(
        "{name}: no window reaches min_batch_size = {least}. {devices} devices, each reporting in \
         {windows} of the {of_windows} windows of {period}, make {expected:.0} reports per window; \
         {needed} devices would be enough, or let `plan --precision` propose other parameters"
    )]
    NeverFills {
        /// The task.
        name: String,
        /// Devices that take part.
        devices: u64,
        /// In how many windows of a period each reports.
        windows: u64,
        /// Windows of a period.
        of_windows: u64,
        /// The period, for people.
        period: String,
        /// Reports expected in a batch.
        expected: f64,
        /// The smallest batch.
        least: u64,
        /// Devices with which every batch fills.
        needed: u64,
    },
    /// A precision that is none.
    #[error(
        "the precision {given:?} is not valid; give percentage points from 0.01pp to 50pp, such \
         as 2pp or 0.5pp"
    )]
    Precision {
        /// What was given.
        given: String,
    },
    /// A window that the period is not made of.
    #[error(
        "the window of {} does not divide the period of {}; change one of them so that it does",
        format_duration(*.window), format_duration(*.period)
    )]
    Window {
        /// The window in seconds.
        window: u64,
        /// The period in seconds.
        period: u64,
    },
    /// No numbers keep the promise and reach the precision.
    #[error(
        "with {devices} devices and windows {windows}, figures cannot have a precision of {precision} while \
         all metrics of a period stay within epsilon = {epsilon} at delta = {delta}; {}",
        cures(*.more, *.coarser)
    )]
    Unreachable {
        /// Devices that take part.
        devices: u64,
        /// The precision wanted.
        precision: Precision,
        /// Which lengths of a window were looked at.
        windows: &'static str,
        /// The promise for a period.
        epsilon: f64,
        /// Its δ.
        delta: f64,
        /// Devices that would do.
        more: Option<u64>,
        /// A precision that would do.
        coarser: Option<Precision>,
    },
    /// Numbers that are none.
    #[error(transparent)]
    Number(#[from] OutOfRange),
    /// A program that is refused.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// What the account refuses.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// What the statistics refuse.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
    /// What the accountant refuses.
    #[error(transparent)]
    Guarantee(#[from] GuaranteeError),
    /// What no randomizer does.
    #[error(transparent)]
    Randomizer(#[from] RandomizerError),
    /// A report that cannot be made.
    #[error(transparent)]
    Size(#[from] size::SizeError),
}

fn cures(more: Option<u64>, coarser: Option<Precision>) -> String {
    match (more, coarser) {
        (Some(more), Some(coarser)) => {
            format!("{more} devices would be enough, or a precision of {coarser}")
        }
        (Some(more), None) => format!("{more} devices would be enough"),
        (None, Some(coarser)) => format!("a precision of {coarser} is within reach"),
        (None, None) => "ask fewer questions, or raise the epsilon in budget.central".to_owned(),
    }
}

/// Half widths are given for this rate, the least certain of all.
pub const RATE: f64 = 0.5;

/// Below this, no batch is said to fill.
const HARDLY_EVER: f64 = 0.01;

impl Plan {
    /// Looks at a program with so many devices; without a number, with as many as fill its batches.
    pub fn new(program: &Program, devices: Option<u64>) -> Result<Self, PlanError> {
        let plan = Self::of(program, devices)?;
        let worst =
            plan.metrics.iter().min_by(|a, b| a.fill.one_batch.total_cmp(&b.fill.one_batch));
        match worst {
            Some(metric) if metric.fill.one_batch < HARDLY_EVER => Err(PlanError::NeverFills {
                name: metric.name.clone(),
                devices: plan.devices,
                windows: plan.period.windows,
                of_windows: plan.period.of_windows,
                period: format_duration(plan.period.seconds),
                expected: metric.fill.expected,
                least: plan.min_batch_size,
                needed: plan.devices_needed,
            }),
            _ => Ok(plan),
        }
    }

    fn of(program: &Program, devices: Option<u64>) -> Result<Self, PlanError> {
        let period = program.period_cost()?;
        let least = program.min_batch_size();
        let devices_needed = devices_needed(program);
        let devices = devices.unwrap_or(devices_needed);
        let batches = Batches::new(program, devices, period.windows, period.of_windows);
        let metrics = program.tasks().iter().map(|task| metric(task, batches.fill(task, least)));
        let windows_per_year = match program.budget() {
            Some(_) => (period.windows * YEAR_SECONDS).div_ceil(period.seconds),
            None => period.windows,
        };
        Ok(Self {
            program: program.name().to_owned(),
            devices,
            min_batch_size: least,
            window_seconds: program.window().seconds(),
            week_begins: program.window().week_begins(),
            all_batches: batches.all_fill(least),
            devices_needed,
            metrics: metrics.collect::<Result<_, _>>()?,
            window_budget: program.spent_in(1)?,
            year_budget: program.spent_in(windows_per_year)?,
            windows_per_year,
            period,
        })
    }
}

/// Half the width of a 95 % interval for a rate of one half, as a plan with so many reports has it.
pub fn half_width(task: &CompiledTask, reports: u64) -> Result<f64, PlanError> {
    Ok(law(task)?.half_width(reports, Confidence::USUAL))
}

fn metric(task: &CompiledTask, fill: Fill) -> Result<MetricPlan, PlanError> {
    let randomizer = task.randomizer();
    let law = law(task)?;
    let exact = VarianceLaw { first: RATE * (1.0 - RATE), second: 0.0 };
    let reports = fill.reports();
    Ok(MetricPlan {
        name: task.name.clone(),
        bins: randomizer.mechanism.bins(),
        randomizer: randomizer.mechanism.kind(),
        why: randomizer.why.clone(),
        epsilon0: randomizer.mechanism.local_epsilon(),
        guarantees: task.guarantees().to_vec(),
        fill,
        reports,
        half_width: law.half_width(reports, Confidence::USUAL),
        half_width_without_noise: exact.half_width(reports, Confidence::USUAL),
        detectable_difference: law.detectable_difference(reports, Test::USUAL),
        bytes_per_report: size::report(task)?,
    })
}

/// How the variance of a rate falls with the number of devices.
fn law(task: &CompiledTask) -> Result<VarianceLaw, PlanError> {
    law_of(&task.randomizer().mechanism, AggregatorNoise::of_both(task.noise()))
}

fn law_of(mechanism: &Mechanism, noise: AggregatorNoise) -> Result<VarianceLaw, PlanError> {
    let channel = Channel::of_mechanism(mechanism)?;
    // Every bin has the same response.
    let response = channel.response(0).ok_or(RandomizerError::Bins(0))?;
    Ok(VarianceLaw::of_rate(response, noise, RATE, Scope::Population)?)
}

#[cfg(test)]
mod tests;
