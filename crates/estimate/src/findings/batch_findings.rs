//! What one batch says by itself.

use super::{
    Batch,
    measure::{Measure, answered},
    segments::{self, HeldOut},
    silence,
};
use crate::{
    EstimateError,
    compare::{Counted, Unit},
    confidence::Confidence,
    disparity::Disparity,
    figure::{Figure, ratio, weighted_sum},
    interval::Scope,
    nonresponse::Correction,
    poisoning::{Dishonest, influence},
    simplex::Projected,
};
use serde::Serialize;
use sottovoce_dap::task::VdafConfig;
use sottovoce_program::format_moment;

/// What one batch says.
#[derive(Clone, Debug, Serialize)]
pub struct BatchFindings {
    /// The task.
    pub task: String,
    /// Start of its first window.
    pub start: String,
    /// End of its last window.
    pub end: String,
    /// Which of the batches that the leader selected it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Reports in it.
    pub reports: u64,
    /// The most of them that are of one device. If that is more than one, intervals hold even if a device
    /// answers alike every time.
    pub reports_of_one_device: u64,
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
    pub unit: Unit,
}

/// The share of devices that is taken to be dishonest, to show what that could do.
const DISHONEST: f64 = 0.01;

pub(super) fn of_batch(batch: &Batch<'_>, refused: &mut Vec<String>) -> BatchFindings {
    let place = format!("{} from {}", batch.task.name, batch.label());
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
        result
            .map_err(|error| refused.push(format!("{place}: correction for nonresponse: {error}")))
            .ok()
    });
    BatchFindings {
        task: batch.task.name.clone(),
        start: format_moment(batch.start),
        end: format_moment(batch.end),
        batch: batch.id.clone(),
        reports: batch.counts.reports(),
        reports_of_one_device: batch.counts.repeats(),
        figures,
        disparity,
        held_out,
        correction,
        corrected: silence::of_what(metric),
        shift_by_one_percent_dishonest: shift(batch).ok(),
        projected: batch.counts.projected(),
    }
}

/// A measure of a whole batch, for the population.
pub(super) fn figure(batch: &Batch<'_>, measure: &Measure) -> Result<NamedFigure, EstimateError> {
    let encoding = batch.task.encoding();
    let (numerator, denominator) =
        (measure.numerator(encoding, None), measure.denominator(encoding, None));
    let (scope, confidence) = (Scope::Population, Confidence::USUAL);
    let figure = ratio(&batch.counts, &numerator, &denominator, scope, confidence)?;
    Ok(NamedFigure { name: measure.name.clone(), figure, unit: measure.unit })
}

fn response_rate(batch: &Batch<'_>) -> Result<NamedFigure, EstimateError> {
    let weights = answered(batch.task.encoding());
    let figure = weighted_sum(&batch.counts, &weights, Scope::Population, Confidence::USUAL)?;
    let name = match Counted::of(batch.counts.repeats()) {
        Counted::Devices => "share of devices that answered",
        Counted::DeviceWindows => "share of device-windows with an answer",
    };
    Ok(NamedFigure { name: name.to_owned(), figure, unit: Unit::Rate })
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
