//! What a release says: from noisy counts to figures with honest intervals.
//!
//! Everything here is post-processing and costs no privacy. In reading order:
//!
//! 1. [`noisy_counts`] is what comes in: counts, the number of reports, the channel that answers
//!    became reports through, and [`aggregator_noise`].
//! 2. [`debias`] undoes the randomizer on average; [`interval`] says how far off a rate may be.
//!    Two questions have two answers: how many of *these devices* gave an answer (the cohort), and
//!    what rate *people like them* would (the population), which adds the uncertainty of having
//!    asked only these.
//! 3. [`figure`] makes sums and ratios of rates, with their [`covariance`]; [`rating`] is the
//!    usual ones. [`simplex`] tidies rates for charts.
//! 4. [`compare`], [`preference`], [`disparity`] and [`change`] say what differs, and refuse in
//!    words what the data does not support. [`planning`] says how many devices would do.
//! 5. [`nonresponse`] and [`poisoning`] say how wrong it could still be: for those who did not
//!    answer, and for those who lied.
//!
//! Intervals hold their truth 94 to 96 % of the time where they say 95, and more often where counts are
//! so small that whole numbers leave no choice, or where devices report several times:
//! `tests/coverage` simulates releases and counts.
//!
//! [`findings`] says what a release means in words, and [`plan`] what to expect of a program before
//! anyone is asked:
//!
//! ```
//! use sottovoce_estimate::plan::Plan;
//! use sottovoce_program::{Program, ProgramKind, template::template};
//!
//! let text = template(ProgramKind::Feedback, "my-app")?;
//! let program = Program::parse("program.toml", &text)?;
//! let plan = Plan::new(&program, Some(100_000))?;
//! assert!(plan.all_batches > 0.9, "its batches fill");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod aggregator_noise;
pub mod change;
pub mod compare;
pub mod confidence;
pub mod covariance;
pub mod debias;
pub mod disparity;
pub mod error;
pub mod figure;
pub mod findings;
pub mod interval;
pub mod noisy_counts;
pub mod nonresponse;
pub mod normal;
mod number;
pub mod plan;
pub mod planning;
pub mod poisoning;
pub mod preference;
pub mod rating;
pub mod shown;
pub mod simplex;
pub mod symmetric;

pub use error::EstimateError;

use aggregator_noise::AggregatorNoise;
use confidence::Confidence;
use interval::{CountNoise, Interval, Scope};
use noisy_counts::{Channel, NoisyCounts};
use number::Real;
use serde::{Deserialize, Serialize};
use sottovoce_privacy::randomizer::KaryRandomizer;

/// One bin's figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

impl Estimate {
    /// The number of devices as people are shown it: within its interval.
    pub fn shown(&self) -> f64 {
        Interval { low: self.low, high: self.high }.nearest(self.estimate)
    }

    /// The rate as people are shown it: within its interval.
    pub fn shown_rate(&self) -> f64 {
        Interval { low: self.rate_low, high: self.rate_high }.nearest(self.rate)
    }
}

/// The figures of each bin, from the noisy counts of all bins of a batch without aggregator noise.
pub fn estimate(
    randomizer: &KaryRandomizer,
    counts: &[u64],
    confidence: f64,
) -> Result<Vec<Estimate>, EstimateError> {
    let sum = counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    // A count beyond i64 makes the sum too large for any batch, which is refused as such.
    let counts = counts.iter().map(|count| i64::try_from(*count).unwrap_or(i64::MAX)).collect();
    let release = NoisyCounts::new(counts, sum, Channel::of(randomizer), AggregatorNoise::None)?;
    Ok(estimates(&release, Confidence::new(confidence)?))
}

/// The figures of each bin: each interval holds by itself.
pub fn estimates(release: &NoisyCounts, confidence: Confidence) -> Vec<Estimate> {
    let bins = release.bins_with_responses();
    bins.map(|(_, count, response)| figures(release, count, response, confidence)).collect()
}

/// The figures of each bin: all intervals of a scope hold at once, by Bonferroni.
///
/// That is at least the stated confidence, whatever goes together with what, and a little more
/// where bins exclude each other. Two bins whose counts add up to the reports are one question.
pub fn simultaneous_estimates(release: &NoisyCounts, confidence: Confidence) -> Vec<Estimate> {
    estimates(release, confidence.each_of(questions(release)))
}

fn questions(release: &NoisyCounts) -> usize {
    let complementary = matches!(release.channel(), Channel::Kary { bins: 2, .. });
    if complementary && release.noise() == AggregatorNoise::None { 1 } else { release.bins() }
}

fn figures(
    release: &NoisyCounts,
    count: f64,
    response: debias::Response,
    confidence: Confidence,
) -> Estimate {
    let reports = release.n();
    let noise = |scope| {
        let (aggregators, repeats) = (release.noise(), release.repeats().real());
        CountNoise { response, reports, aggregators, scope, repeats }.interval(count, confidence)
    };
    let estimate = response.debias(count, reports);
    let Interval { low, high } = noise(Scope::Cohort).scale(reports);
    let Interval { low: rate_low, high: rate_high } = noise(Scope::Population);
    Estimate { estimate, low, high, rate: estimate / reports, rate_low, rate_high }
}

#[cfg(test)]
mod tests;
