//! Undoing the randomizer on average.

use super::error::{EstimateError, within};
use sottovoce_privacy::randomizer::KaryRandomizer;

/// How likely a device reports a bin, with and without that answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    truth: f64,
    lie: f64,
}

/// A contrast below which not even 2^53 reports say anything.
const LEAST_CONTRAST: f64 = 1e-9;

impl Response {
    /// A bin that is reported with probability `truth` by those with the answer and `lie` by those
    /// without: `0 <= lie < truth <= 1`.
    pub fn new(truth: f64, lie: f64) -> Result<Self, EstimateError> {
        let lie = within(
            "lie",
            lie,
            0.0,
            1.0 - LEAST_CONTRAST,
            "the probability of a false report is at least 0 and below 1",
        )?;
        let why = "the truth is reported with a probability above that of a lie and at most 1";
        let truth = within("truth", truth, lie + LEAST_CONTRAST, 1.0, why)?;
        Ok(Self { truth, lie })
    }

    /// A bit that is flipped with probability `flip`, at least 0 and below ½.
    pub fn flipped(flip: f64) -> Result<Self, EstimateError> {
        let why = "a bit is flipped with a probability of at least 0 and below one half";
        let flip = within("flip", flip, 0.0, 0.5 - LEAST_CONTRAST, why)?;
        Self::new(1.0 - flip, flip)
    }

    /// Those of a randomizer, from its exact integers.
    pub fn of(randomizer: &KaryRandomizer) -> Self {
        Self { truth: randomizer.truth_probability(), lie: randomizer.lie_probability() }
    }

    /// Probability t of a report of this bin by a device whose answer it is.
    pub fn truth(&self) -> f64 {
        self.truth
    }

    /// Probability a of a report of this bin by a device whose answer it is not.
    pub fn lie(&self) -> f64 {
        self.lie
    }

    /// s = t - a: how much of a difference between answers shows in the reports.
    pub fn contrast(&self) -> f64 {
        self.truth - self.lie
    }

    /// `λ = a + sπ`: the share of reports in this bin if a share π = `rate` has the answer.
    pub fn reported(&self, rate: f64) -> f64 {
        self.lie + self.contrast() * rate
    }

    /// The unbiased number of devices with an answer that `count` of `reports` reported:
    /// `(C - na)/s`.
    pub fn debias(&self, count: f64, reports: f64) -> f64 {
        (count - reports * self.lie) / self.contrast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_response_is_refused_with_one_that_works() {
        for (truth, lie) in
            [(0.5, 0.5), (0.2, 0.3), (1.1, 0.1), (0.9, -0.1), (f64::NAN, 0.1), (0.9, f64::NAN)]
        {
            match Response::new(truth, lie).unwrap_err() {
                EstimateError::Parameter { parameter: "truth", nearest, .. } => {
                    Response::new(nearest, lie).unwrap();
                }
                EstimateError::Parameter { parameter: "lie", nearest, .. } => {
                    Response::new(truth, nearest).unwrap();
                }
                other => panic!("{other}"),
            }
        }
        assert!(Response::flipped(0.5).is_err());
        assert!(Response::flipped(f64::NAN).is_err());
    }

    #[test]
    fn debiasing_undoes_the_expectation() {
        let response = Response::new(0.9, 0.2).unwrap();
        for devices in [0.0, 250.0, 1000.0] {
            let count = 1000.0 * response.reported(devices / 1000.0);
            assert!((response.debias(count, 1000.0) - devices).abs() < 1e-9);
        }
    }
}
