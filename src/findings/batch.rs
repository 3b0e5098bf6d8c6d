//! What one batch says by itself.

use super::{
    measure::{Measure, answered},
    segments::{self, HeldOut},
    silence,
};
use crate::{
    dap::task::VdafConfig,
    estimate::{
        EstimateError,
        confidence::Confidence,
        disparity::Disparity,
        figure::{Figure, ratio, weighted_sum},
        interval::Scope,
        noisy_counts::NoisyCounts,
        nonresponse::Correction,
        poisoning::{Dishonest, influence},
        simplex::{self, Projected},
    },
    program::{compile::CompiledTask, format_moment},
};
use serde::Serialize;

/// A batch of a task, as it was collected.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// The task.
    pub task: &'a CompiledTask,
    /// What the aggregators' shares add up to.
    pub counts: NoisyCounts,
    /// Start of its first window, in seconds since the Epoch.
    pub start: u64,
    /// End of its last window, in seconds since the Epoch.
    pub end: u64,
}

/// What one batch says.
#[derive(Clone, Debug, Serialize)]
pub struct BatchFindings {
    /// The task.
    pub task: String,
    /// Start of its first window.
    pub start: String,
    /// End of its last window.
    pub end: String,
    /// Reports in it.
    pub reports: u64,
    /// Figures about the population that the devices stand for.
    pub figures: Vec<NamedFigure>,
    /// The largest gap between segments of private dimensions.
    pub disparity: Option<Disparity>,
    /// Held-out devices against the rest, by each dimension that holds devices out.
    pub held_out: Vec<HeldOut>,
    /// The share of yes among all devices, those who did not answer included, of a joint with an
    /// explicit metric.
    pub correction: Option<Correction>,
    /// What the correction is of.
    #[serde(skip)]
    pub(super) corrected: Option<String>,
    /// The furthest that dishonest devices, one in a hundred, could have moved any bin's rate.
    pub shift_by_one_percent_dishonest: Option<f64>,
    /// Rates that can be drawn.
    pub projected: Option<Projected>,
}

/// A figure and what it is.
#[derive(Clone, Debug, Serialize)]
pub struct NamedFigure {
    /// What it is.
    pub name: String,
    /// Its value, with its uncertainty.
    #[serde(flatten)]
    pub figure: Figure,
    /// In what it is measured.
    pub unit: crate::estimate::compare::Unit,
}

/// The share of devices that is taken to be dishonest, to show what that could do.
const DISHONEST: f64 = 0.01;

pub(super) fn of_batch(batch: &Batch<'_>, refused: &mut Vec<String>) -> BatchFindings {
    let place = format!("{} from {}", batch.task.name, format_moment(batch.start));
    let mut answered_or = |what: &str, result: Result<NamedFigure, EstimateError>| {
        result.map_err(|error| refused.push(format!("{place}: {what}: {error}"))).ok()
    };
    let mut figures = Vec::new();
    let metric = &batch.task.metric;
    if !batch.task.encoding().is_vector() {
        figures.extend(answered_or("share of devices that answered", response_rate(batch)));
    }
    for measure in Measure::of(metric).into_iter().chain(Measure::others(metric)) {
        figures.extend(answered_or(&measure.name, figure(batch, &measure)));
    }
    let disparity = segments::disparity(batch).and_then(|result| {
        result.map_err(|error| refused.push(format!("{place}: segments: {error}"))).ok()
    });
    let held_out = segments::held_out(batch).into_iter().filter_map(|result| {
        result.map_err(|error| refused.push(format!("{place}: held-out devices: {error}"))).ok()
    });
    let held_out = held_out.collect();
    let correction = silence::correction(batch).and_then(|result| {
        result.map_err(|error| refused.push(format!("{place}: those who are silent: {error}"))).ok()
    });
    BatchFindings {
        task: batch.task.name.clone(),
        start: format_moment(batch.start),
        end: format_moment(batch.end),
        reports: batch.counts.reports(),
        figures,
        disparity,
        held_out,
        correction,
        corrected: silence::of_what(metric),
        shift_by_one_percent_dishonest: shift(batch).ok(),
        projected: simplex::project(&batch.counts),
    }
}

/// A measure of a whole batch, for the population.
pub(super) fn figure(batch: &Batch<'_>, measure: &Measure) -> Result<NamedFigure, EstimateError> {
    let encoding = batch.task.encoding();
    let (numerator, denominator) =
        (measure.numerator(encoding, None), measure.denominator(encoding, None));
    let (scope, confidence) = (Scope::Population, Confidence::USUAL);
    let figure = ratio(&batch.counts, &numerator, &denominator, scope, confidence)?;
    let (low, high) = measure.range();
    Ok(NamedFigure {
        name: measure.name.clone(),
        figure: figure.clamp(low, high),
        unit: measure.unit,
    })
}

fn response_rate(batch: &Batch<'_>) -> Result<NamedFigure, EstimateError> {
    let weights = answered(batch.task.encoding());
    let figure = weighted_sum(&batch.counts, &weights, Scope::Population, Confidence::USUAL)?;
    Ok(NamedFigure {
        name: "share of devices that answered".to_owned(),
        figure: figure.clamp(0.0, 1.0),
        unit: crate::estimate::compare::Unit::Rate,
    })
}

fn shift(batch: &Batch<'_>) -> Result<f64, EstimateError> {
    let dishonest = Dishonest::share(&batch.counts, DISHONEST)?;
    let weight_bound = match batch.task.configuration.vdaf {
        VdafConfig::Prio3MultihotCountVec { max_weight, .. } => {
            usize::try_from(max_weight).unwrap_or(usize::MAX)
        }
        VdafConfig::Prio3SumVec { length, .. } => length as usize,
        _ => 1,
    };
    let influence = influence(&batch.counts, Dishonest { weight_bound, ..dishonest })?;
    let shifts = influence.bins.iter().flat_map(|bin| [bin.up, bin.down]);
    Ok(shifts.fold(0.0, f64::max))
}
