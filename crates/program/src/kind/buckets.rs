//! Buckets of numbers, which `count` and `score` have: each begins at a bound, the last has no end.

use super::Written;
use crate::{ProgramError, source::At};

/// At least two finite numbers that rise.
pub(super) fn bounds(
    written: &Written<'_>,
    list: &At<Vec<At<f64>>>,
) -> Result<Vec<f64>, ProgramError> {
    let mut bounds: Vec<f64> = Vec::new();
    for bound in list.get_ref() {
        let value = *bound.get_ref();
        if !value.is_finite() || bounds.last().is_some_and(|last| value <= *last) {
            return Err(
                written.error(bound, "buckets must begin at finite numbers in ascending order")
            );
        }
        // Not a negative zero.
        bounds.push(value + 0.0);
    }
    if bounds.len() < 2 {
        return Err(written.error(list, "at least 2 buckets are needed"));
    }
    Ok(bounds)
}

/// The last bucket that begins at or below a value; the first for what is below all.
pub(super) fn bucket(bounds: &[f64], value: f64) -> usize {
    bounds.partition_point(|bound| *bound <= value).saturating_sub(1)
}

/// What each bucket is called, of whole numbers or of any.
pub(super) fn bucket_labels(bounds: &[f64], whole: bool) -> Vec<String> {
    let label = |(index, low): (usize, &f64)| match bounds.get(index + 1) {
        None => format!("{low} or more"),
        Some(next) if whole && next - low <= 1.0 => format!("{low}"),
        Some(next) if whole => format!("{low}–{}", next - 1.0),
        Some(next) if index == 0 => format!("below {next}"),
        Some(next) => format!("{low} to below {next}"),
    };
    bounds.iter().enumerate().map(label).collect()
}
