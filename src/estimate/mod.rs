//! What a release says: from noisy counts to figures with honest intervals.
//!
//! Everything here is post-processing and costs no privacy. [`debias`] undoes the randomizer on
//! average; [`interval`] says how far off it may be. Two questions have two answers: how many of
//! *these devices* gave an answer (the cohort), and what rate *people like them* would (the
//! population), which adds the uncertainty of having asked only these.

pub mod debias;
pub mod interval;
pub mod normal;

use crate::privacy::randomizer::KaryRandomizer;
use serde::Serialize;
use thiserror::Error;

/// One bin's figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Unbiased estimate of the devices whose answer this is; may be negative.
    pub estimate: f64,
    /// Lower end of the interval for the number of devices, at least 0.
    pub low: f64,
    /// Upper end of the interval for the number of devices, at most the batch.
    pub high: f64,
    /// Unbiased estimate of the rate; may be negative.
    pub rate: f64,
    /// Lower end of the interval for the rate in the population.
    pub rate_low: f64,
    /// Upper end of the interval for the rate in the population.
    pub rate_high: f64,
}

/// Counts that no batch can have, or a question that has no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum EstimateError {
    /// Not one count for each bin.
    #[error("{counts} counts were given for {bins} bins")]
    Bins {
        /// Counts given.
        counts: usize,
        /// Bins of the randomizer.
        bins: u32,
    },
    /// An empty batch.
    #[error("a batch without reports says nothing")]
    Empty,
    /// More reports than can be counted.
    #[error("the counts add up to more than any batch holds")]
    TooMany,
    /// A confidence outside its range.
    #[error("confidence = {0} must be above 0 and below 1")]
    Confidence(f64),
}

/// The figures of each bin, from the noisy counts of all bins of a batch.
pub fn estimate(
    randomizer: &KaryRandomizer,
    counts: &[u64],
    confidence: f64,
) -> Result<Vec<Estimate>, EstimateError> {
    if counts.len() != randomizer.bins() as usize {
        return Err(EstimateError::Bins { counts: counts.len(), bins: randomizer.bins() });
    }
    let total = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    let reports = total.filter(|n| *n < 1 << 53).ok_or(EstimateError::TooMany)?;
    if reports == 0 {
        return Err(EstimateError::Empty);
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(EstimateError::Confidence(confidence));
    }
    let z = normal::two_sided(confidence);
    Ok(counts.iter().map(|count| figures(randomizer, *count, reports, z)).collect())
}

#[expect(clippy::cast_precision_loss, reason = "checked to be below 2^53")]
fn figures(randomizer: &KaryRandomizer, count: u64, reports: u64, z: f64) -> Estimate {
    let (count, reports) = (count as f64, reports as f64);
    let response = debias::Response::of(randomizer);
    let estimate = response.debias(count, reports);
    let (low, high) = interval::cohort(&response, count, reports, z);
    let (rate_low, rate_high) = interval::population(&response, count, reports, z);
    Estimate { estimate, low, high, rate: estimate / reports, rate_low, rate_high }
}

#[cfg(test)]
mod tests;
