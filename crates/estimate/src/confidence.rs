//! How often an interval must hold what it is about.

use super::{
    error::{EstimateError, within},
    normal,
    number::Real,
};
use serde::Serialize;

/// The least confidence that anyone would call an interval for.
const LEAST: f64 = 0.5;
/// The most: beyond it, tails of counts are no longer normal.
const MOST: f64 = 0.999_999;

/// A confidence from 0.5 to 0.999999, such as 0.95.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(into = "f64")]
pub struct Confidence {
    // 1 - confidence, because a share of it (Bonferroni) is smaller than 1.0 - x can say.
    alpha: f64,
}

impl Confidence {
    /// 95 %.
    pub const USUAL: Self = Self { alpha: 0.05 };

    /// From a probability.
    pub fn new(confidence: f64) -> Result<Self, EstimateError> {
        let why = "a confidence is a probability from 0.5 to 0.999999";
        within("confidence", confidence, LEAST, MOST, why)
            .map(|confidence| Self { alpha: 1.0 - confidence })
    }

    /// What each of several intervals needs so that all hold at once (Bonferroni 1936): the
    /// probability of error is split evenly. None or one of them leaves it as it is.
    #[must_use]
    pub fn each_of(self, intervals: usize) -> Self {
        Self { alpha: self.alpha / intervals.max(1).real() }
    }

    /// The probability of error.
    pub fn alpha(self) -> f64 {
        self.alpha
    }

    /// The z with this share of the standard normal distribution between -z and z.
    pub fn z(self) -> f64 {
        normal::upper_quantile(self.alpha / 2.0)
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> Self {
        1.0 - confidence.alpha
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_confidence_is_refused_with_one_that_works() {
        for (given, nearest) in [(1.0, MOST), (0.0, LEAST), (f64::NAN, LEAST), (95.0, MOST)] {
            let error = Confidence::new(given).unwrap_err();
            assert!(error.to_string().ends_with(&format!("works is {nearest}")), "{error}");
            assert!(Confidence::new(nearest).is_ok());
        }
    }

    #[test]
    fn more_intervals_are_wider() {
        let one = Confidence::USUAL;
        assert!((one.z() - 1.959_963_985).abs() < 1e-8);
        assert!((one.each_of(5).z() - 2.575_829_304).abs() < 1e-8);
        assert!((one.each_of(0).z() - one.z()).abs() < 1e-12);
    }
}
