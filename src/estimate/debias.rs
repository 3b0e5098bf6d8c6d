//! Undoing the randomizer on average.

use crate::privacy::randomizer::KaryRandomizer;

/// How likely a device reports a bin, with and without that answer.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// Probability t of reporting the true bin.
    pub truth: f64,
    /// Probability a of reporting a given other bin.
    pub lie: f64,
}

impl Response {
    /// Those of a randomizer, from its exact integers.
    pub fn of(randomizer: &KaryRandomizer) -> Self {
        Self { truth: randomizer.truth_probability(), lie: randomizer.lie_probability() }
    }

    /// s = t - a: how much of a difference between answers shows in the reports.
    pub fn contrast(&self) -> f64 {
        self.truth - self.lie
    }

    /// The unbiased number of devices with an answer that `count` of `reports` reported:
    /// `(C - na)/s`.
    pub fn debias(&self, count: f64, reports: f64) -> f64 {
        (count - reports * self.lie) / self.contrast()
    }
}
