//! Why a figure cannot be computed.

use thiserror::Error;

/// Inputs that no batch can have, or a question that the data has no answer to.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum EstimateError {
    /// A number outside its range, or NaN.
    #[error("{parameter} = {value}: {why}; the nearest value that works is {nearest}")]
    Parameter {
        /// Which one.
        parameter: &'static str,
        /// What was given.
        value: f64,
        /// Why it does not work.
        why: &'static str,
        /// What would.
        nearest: f64,
    },
    /// Not as many of something as belong together.
    #[error("{given} {what} were given; there must be {needed}")]
    Length {
        /// Of what.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many there must be.
        needed: usize,
    },
    /// Too few of something.
    #[error("{given} {what} were given; there must be at least {least}")]
    TooFew {
        /// Of what.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many there must be.
        least: usize,
    },
    /// A count that the batch cannot have.
    #[error(
        "the count of bin {bin} = {count} is not possible with {reports} reports; the nearest \
         count that works is {nearest}"
    )]
    Count {
        /// The bin.
        bin: usize,
        /// Its count.
        count: i64,
        /// The reports of the batch.
        reports: u64,
        /// The nearest count that the batch can have.
        nearest: i64,
    },
    /// Each k-ary report is in one bin, and the counts do not show that.
    #[error(
        "the counts add up to {sum}; {reports} reports with one bin each must add up to \
         {reports}{slack}"
    )]
    Sum {
        /// Of all counts.
        sum: i128,
        /// The reports of the batch.
        reports: u64,
        /// How far aggregator noise can plausibly move the sum, in words.
        slack: String,
    },
    /// Something that must be there once is there twice, or is not there.
    #[error("{what} {index} {why}; use each of 0 to {last} at most once")]
    Index {
        /// What is numbered.
        what: &'static str,
        /// The number.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
        /// The last number there is.
        last: usize,
    },
    /// The covariance of free signals is not in their totals.
    #[error(
        "the totals of free signals do not say how signals are correlated; ask for one signal at a \
         time, or declare the joint as one metric with a bin for each combination"
    )]
    JointUnknown,
    /// A rate among those who answered, where nobody may have.
    #[error(
        "the share of answers, {:.2} % ± {:.2} %, cannot be distinguished from 0, so there is no \
         figure among those who answered; about {devices} devices would be enough",
        share * 100.0, half_width * 100.0
    )]
    TooFewAnswers {
        /// Estimated share of devices that answered.
        share: f64,
        /// Half the width of its interval.
        half_width: f64,
        /// Devices with which this share would be more than three standard deviations from 0.
        devices: u64,
    },
    /// Candidates that no comparison links.
    #[error(
        "the answers do not link {{{}}} with {{{}}}, so their strengths have no common scale; \
         compare one of the first with one of the second, or collect more answers",
        one.join(", "), other.join(", ")
    )]
    Disconnected {
        /// One group of linked candidates.
        one: Vec<String>,
        /// All others.
        other: Vec<String>,
    },
    /// A candidate so far ahead, or behind, that the noise hides how far.
    #[error(
        "the answers do not limit how much {side} {candidate} is than the candidates it was \
         compared with, so no strengths are given; collect more answers or leave it out"
    )]
    Separated {
        /// The candidate.
        candidate: String,
        /// Stronger or weaker.
        side: &'static str,
    },
    /// A model that the counts do not determine.
    #[error("the counts do not determine {0}: the uncertainty is unbounded")]
    NotIdentified(&'static str),
}

/// `value` if it lies in the range, ends included; otherwise what to use instead. NaN is moved to
/// `low`.
pub(super) fn within(
    parameter: &'static str,
    value: f64,
    low: f64,
    high: f64,
    why: &'static str,
) -> Result<f64, EstimateError> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    let nearest = if value > high { high } else { low };
    Err(EstimateError::Parameter { parameter, value, why, nearest })
}

/// `given` if it is at least `least`.
pub(super) fn at_least(
    least: usize,
    what: &'static str,
    given: usize,
) -> Result<usize, EstimateError> {
    if given >= least { Ok(given) } else { Err(EstimateError::TooFew { what, given, least }) }
}
