//! How differently parts of a batch are served: segments of private dimensions, and devices held out
//! against all others.

use super::{Batch, measure::Measure};
use crate::{
    EstimateError,
    confidence::Confidence,
    disparity::{Disparity, Segment, Segments},
};
use serde::Serialize;
use sottovoce_program::dimension::{Dimension, Visibility};
use std::fmt;

/// Devices that are held out against the rest.
#[derive(Clone, Debug, Serialize)]
pub struct HeldOut {
    /// The dimension that holds them out.
    pub dimension: String,
    /// What is compared.
    pub measure: String,
    /// The gap between the two, whatever other dimensions say.
    #[serde(flatten)]
    pub gap: Disparity,
}

/// The largest gap between segments of private dimensions; nothing if there are none, or no measure.
pub(super) fn disparity(batch: &Batch<'_>) -> Option<Result<Disparity, EstimateError>> {
    let measure = Measure::of(&batch.task.metric)?;
    gap(batch, &measure, |dimension| dimension.visibility == Visibility::Private)
}

/// Held-out devices against the rest, by each dimension that holds devices out.
pub(super) fn held_out(batch: &Batch<'_>) -> Vec<Result<HeldOut, EstimateError>> {
    let Some(measure) = Measure::of(&batch.task.metric) else { return Vec::new() };
    let dimensions = batch.task.metric.dimensions.iter();
    let of = |by: &Dimension| {
        let gap = gap(batch, &measure, |dimension| dimension.name == by.name)?;
        let (dimension, measure) = (by.name.clone(), measure.name.clone());
        Some(gap.map(|gap| HeldOut { dimension, measure, gap }))
    };
    dimensions.filter(|d| matches!(d.visibility, Visibility::HeldOut(_))).filter_map(of).collect()
}

/// The largest gap between the values of some dimensions, all others taken together.
fn gap(
    batch: &Batch<'_>,
    measure: &Measure,
    by: impl Fn(&Dimension) -> bool,
) -> Option<Result<Disparity, EstimateError>> {
    let encoding = batch.task.encoding();
    let groups = encoding.cells_by(by);
    if groups.len() < 2 {
        return None;
    }
    let segment = |(label, cells): (String, Vec<usize>)| Segment {
        label,
        numerator: measure.numerator(encoding, Some(&cells)),
        denominator: measure.denominator(encoding, Some(&cells)),
    };
    let segments: Vec<_> = groups.into_iter().map(segment).collect();
    let segments = Segments::within(&batch.counts, &segments, measure.unit);
    Some(segments.map(|segments| segments.largest_gap(Confidence::USUAL)))
}

impl fmt::Display for HeldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dimension, measure, gap: found } = self;
        let gap = found.unit.difference(found.gap);
        let margin = found.unit.difference(found.interval.half_width());
        let Disparity { highest, lowest, .. } = found;
        if found.is_supported {
            write!(f, "{dimension}: {measure} is higher for {highest} than for {lowest}, ")?;
            write!(f, "by {gap} ± {margin}")?;
        } else {
            write!(f, "{dimension}: the data cannot tell {highest} and {lowest} apart: ")?;
            write!(f, "{measure} differs by {gap} ± {margin}")?;
        }
        found.left_out.iter().try_for_each(|one| write!(f, "; {one}"))
    }
}
