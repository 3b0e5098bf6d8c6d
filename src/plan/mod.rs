//! Before anyone is asked: what a program will say, how surely, and at what price in privacy.
//!
//! [`Plan::new`] looks at a program with so many devices a window: for each metric the expected
//! error, the smallest difference between two arms that shows, and the guarantees; for the whole,
//! what a device spends in a window and in a year. [`precision`] turns the question around. The
//! numbers come from the code that certifies programs ([`crate::privacy`]) and reads releases
//! ([`crate::estimate`]).

pub mod precision;
mod size;

use crate::{
    estimate::{
        EstimateError,
        aggregator_noise::AggregatorNoise,
        confidence::Confidence,
        interval::Scope,
        noisy_counts::Channel,
        planning::{Test, VarianceLaw},
    },
    privacy::{
        guarantee::{GuaranteeError, Mechanism, MechanismKind},
        randomizer::RandomizerError,
        units::{Epsilon, Guarantee},
    },
    program::{Program, compile::CompiledTask},
};
use serde::Serialize;
use thiserror::Error;

/// What can be expected of a program.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The program's name.
    pub program: String,
    /// Devices that report in each window, to each metric.
    pub devices: u64,
    /// The smallest batch that is ever added up.
    pub min_batch_size: u64,
    /// How long a window is, in seconds.
    pub window_seconds: u64,
    /// Metric by metric, those with public dimensions once for each of their values.
    pub metrics: Vec<MetricPlan>,
    /// What one device spends on all metrics in one window.
    pub window_budget: Vec<Guarantee>,
    /// What one device spends in a year of windows.
    pub year_budget: Vec<Guarantee>,
    /// Windows in a year.
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
    /// Half the width of a 95 % interval for a rate of one half in the population.
    pub half_width: f64,
    /// The same without any noise: what asking only these devices costs.
    pub half_width_without_noise: f64,
    /// The smallest difference between two arms, of so many devices each, that a test at 95 %
    /// confidence finds with a probability of 80 %.
    pub detectable_difference: f64,
    /// Bytes of one report as it is sent.
    pub bytes_per_report: usize,
    /// Windows and days until a wanted precision, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<precision::Reached>,
}

/// A plan that cannot be made.
#[derive(Debug, Error)]
pub enum PlanError {
    /// Fewer devices than are ever added up.
    #[error(
        "{devices} devices never fill a batch of min_batch_size = {least}; expect at least \
         {least}, or ask for smaller batches"
    )]
    TooFewDevices {
        /// Devices expected.
        devices: u64,
        /// The smallest batch.
        least: u64,
    },
    /// A precision that is none.
    #[error(
        "a precision is given in percentage points, such as 2pp or 0.5pp, from 0.01pp to 50pp; \
         {given:?} is not"
    )]
    Precision {
        /// What was given.
        given: String,
    },
    /// No randomizer is precise enough.
    #[error(
        "{metric}: {devices} devices cannot reach ± {wanted:.2} pp, not even without noise \
         (± {best:.2} pp); expect {needed} devices, or wait for {windows} windows"
    )]
    Unreachable {
        /// The metric.
        metric: String,
        /// Devices expected.
        devices: u64,
        /// The half width wanted, in percentage points.
        wanted: f64,
        /// The half width without noise, in percentage points.
        best: f64,
        /// Devices that would do with the program's own randomizer.
        needed: u64,
        /// Windows that bring as many reports.
        windows: u64,
    },
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

/// Half widths are given for this rate, the least certain of all.
pub const RATE: f64 = 0.5;

/// 365.2425 days.
const YEAR_SECONDS: u64 = 31_556_952;

impl Plan {
    /// Looks at a program with so many devices a window.
    pub fn new(program: &Program, devices: u64) -> Result<Self, PlanError> {
        let least = program.min_batch_size();
        if devices < least {
            return Err(PlanError::TooFewDevices { devices, least });
        }
        let metrics = program.tasks().iter().map(|task| metric(task, devices));
        let windows_per_year = YEAR_SECONDS.div_ceil(program.window().seconds());
        Ok(Self {
            program: program.name().to_owned(),
            devices,
            min_batch_size: least,
            window_seconds: program.window().seconds(),
            metrics: metrics.collect::<Result<_, _>>()?,
            window_budget: program.spent_in(1)?,
            year_budget: program.spent_in(windows_per_year)?,
            windows_per_year,
        })
    }
}

/// Half the width of a 95 % interval for a rate of one half, as a plan with so many devices has it.
pub fn half_width(task: &CompiledTask, devices: u64) -> Result<f64, PlanError> {
    Ok(law(task)?.half_width(devices, Confidence::USUAL))
}

fn metric(task: &CompiledTask, devices: u64) -> Result<MetricPlan, PlanError> {
    let randomizer = task.randomizer();
    let law = law(task)?;
    let exact = VarianceLaw { first: RATE * (1.0 - RATE), second: 0.0 };
    Ok(MetricPlan {
        name: task.name.clone(),
        bins: randomizer.mechanism.bins(),
        randomizer: randomizer.mechanism.kind(),
        why: randomizer.why.clone(),
        epsilon0: randomizer.mechanism.local_epsilon(),
        guarantees: task.guarantees().to_vec(),
        half_width: law.half_width(devices, Confidence::USUAL),
        half_width_without_noise: exact.half_width(devices, Confidence::USUAL),
        detectable_difference: law.detectable_difference(devices, Test::USUAL),
        bytes_per_report: size::report(task)?,
        precision: None,
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
