//! The question turned around: how little must a report tell, so that the figures are precise
//! enough; and how long does it take otherwise?

use super::{MetricPlan, Plan, PlanError, RATE, law, law_of, metric};
use crate::{
    estimate::{aggregator_noise::AggregatorNoise, confidence::Confidence, planning::VarianceLaw},
    privacy::{
        guarantee::{Mechanism, Release, smallest_batch},
        randomizer::MAX_EPSILON,
        units::{Epsilon, Guarantee},
    },
    program::{Program, compile::CompiledTask},
};
use serde::Serialize;
use std::str::FromStr;

/// The half width of a 95 % interval for a rate: above 0 and at most one half.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Precision(f64);

impl Precision {
    /// As a share of one.
    pub fn half_width(self) -> f64 {
        self.0
    }

    fn percentage_points(self) -> f64 {
        self.0 * 100.0
    }
}

impl FromStr for Precision {
    type Err = PlanError;

    /// From percentage points: `2pp`, `0.5 pp` or `2`.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let number = text.trim().trim_end_matches("pp").trim_end();
        let points: Option<f64> = number.parse().ok();
        let fits = points.filter(|points| (0.01..=50.0).contains(points));
        let points = fits.ok_or_else(|| PlanError::Precision { given: text.to_owned() })?;
        Ok(Self(points / 100.0))
    }
}

/// What a wanted precision takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// The half width wanted.
    pub wanted: Precision,
    /// Devices that reach it with the program's own randomizer.
    pub devices: u64,
    /// Windows of the devices expected that bring as many reports.
    pub windows: u64,
    /// How long these are, in days.
    pub days: f64,
    /// The smallest budget of one report with which the devices expected reach it in one window.
    pub epsilon0: Epsilon,
    /// The smallest batch in which such a report keeps the program's ε at its δ.
    pub min_batch_size: u64,
    /// What such a report guarantees in such a batch.
    pub guarantees: Vec<Guarantee>,
}

impl Plan {
    /// The plan with what a precision takes, metric by metric.
    pub fn with_precision(
        program: &Program,
        devices: u64,
        wanted: Precision,
    ) -> Result<Self, PlanError> {
        let mut plan = Self::new(program, devices)?;
        let reached = |task| {
            let precision = Some(reach(program, task, devices, wanted)?);
            Ok(MetricPlan { precision, ..metric(task, devices)? })
        };
        plan.metrics = program.tasks().iter().map(reached).collect::<Result<_, PlanError>>()?;
        Ok(plan)
    }
}

fn reach(
    program: &Program,
    task: &CompiledTask,
    devices: u64,
    wanted: Precision,
) -> Result<Reached, PlanError> {
    let own = law(task)?;
    let needed = own.devices_for_half_width(wanted.half_width(), Confidence::USUAL)?;
    let windows = needed.div_ceil(devices);
    let noise = AggregatorNoise::of_both(task.noise());
    let Some(mechanism) = most_private(task, noise, devices, wanted)? else {
        let best = VarianceLaw { first: RATE * (1.0 - RATE), second: own.second };
        let best = best.half_width(devices, Confidence::USUAL) * 100.0;
        let (metric, wanted) = (task.name.clone(), wanted.percentage_points());
        return Err(PlanError::Unreachable { metric, devices, wanted, best, needed, windows });
    };
    let privacy = program.privacy();
    let honest = smallest_batch(&mechanism, privacy.epsilon, privacy.delta)?;
    let guaranteed = Release { mechanism: mechanism.clone(), noise: task.noise(), honest };
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let days = (windows * program.window().seconds()) as f64 / 86_400.0;
    Ok(Reached {
        wanted,
        devices: needed,
        windows,
        days,
        epsilon0: mechanism.local_epsilon(),
        min_batch_size: privacy.reserve.whole_of(honest),
        guarantees: guaranteed.guarantees(privacy.delta)?,
    })
}

/// The mechanism of the task's kind with the smallest budget that is precise enough; `None` if the
/// largest is not.
fn most_private(
    task: &CompiledTask,
    noise: AggregatorNoise,
    devices: u64,
    wanted: Precision,
) -> Result<Option<Mechanism>, PlanError> {
    let kind = task.randomizer().mechanism.kind();
    let bins = task.randomizer().mechanism.bins();
    let with = |epsilon0: f64| {
        let epsilon0 = Epsilon::new(epsilon0).unwrap_or(task.randomizer().mechanism.epsilon0());
        Mechanism::new(kind, bins, epsilon0)
    };
    let enough = |mechanism: &Mechanism| -> Result<bool, PlanError> {
        let half_width = law_of(mechanism, noise)?.half_width(devices, Confidence::USUAL);
        Ok(half_width <= wanted.half_width())
    };
    let mut best = with(MAX_EPSILON)?;
    if !enough(&best)? {
        return Ok(None);
    }
    let (mut low, mut high) = (0.0, MAX_EPSILON);
    while high - low > FINENESS {
        let middle = f64::midpoint(low, high);
        let mechanism = with(middle)?;
        if enough(&mechanism)? {
            (high, best) = (middle, mechanism);
        } else {
            low = middle;
        }
    }
    Ok(Some(best))
}

/// Budgets are found up to this.
const FINENESS: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_read_in_percentage_points() {
        for (text, half_width) in [("2pp", 0.02), ("0.5 pp", 0.005), (" 10 ", 0.1)] {
            let precision: Precision = text.parse().unwrap();
            assert!((precision.half_width() - half_width).abs() < 1e-12, "{text}");
        }
        for text in ["", "pp", "0pp", "-1pp", "nan", "inf", "60pp", "2%"] {
            let error = text.parse::<Precision>().unwrap_err().to_string();
            assert!(error.contains("0.01pp to 50pp"), "{error}");
        }
    }
}
