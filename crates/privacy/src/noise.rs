//! Noise that an aggregator adds to its share of a batch, before the share is sealed: its parameters and its variance,
//! and a sampler for simulations, against which the servers' (OpenDP's) is checked.
//!
//! Integers only, after Canonne, Kamath and Steinke (2020, "The Discrete Gaussian for Differential
//! Privacy"): no floating-point number between the guarantee and the share. The parameters are
//! whole thousandths, so that everybody means the same distribution.
//!
//! The samplers take a varying number of steps. What varies is the aggregator's own coins, never
//! a report: an observer of the time learns something of the size of the noise, so an aggregator
//! that lets strangers measure its steps to the nanosecond should not rely on the noise alone.

mod sampler;

use super::rng::SimulationRng;
use sampler::{discrete_gaussian, discrete_laplace};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// What each of the two aggregators adds to each count, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AggregatorNoise {
    /// The probability of x is proportional to `e^(-|x|/scale)`.
    DiscreteLaplace {
        /// In counts.
        scale: Thousandths,
    },
    /// The probability of x is proportional to `e^(-x²/2σ²)`.
    DiscreteGaussian {
        /// σ in counts.
        sigma: Thousandths,
    },
}

/// A parameter of noise, in whole thousandths of a count: from [`Self::LEAST`] to
/// [`Self::MOST`], so that no step of a sampler overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Thousandths(u32);

/// A parameter that no noise has.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[error(
    "the noise parameter is {given}; it must be {least} to {most} with at most three decimal places; the nearest \
     valid value is {nearest}",
    least = Thousandths::LEAST, most = Thousandths::MOST
)]
pub struct NoiseError {
    given: f64,
    nearest: Thousandths,
}

impl Thousandths {
    /// Half a count: less noise hides nothing.
    pub const LEAST: Self = Self(500);
    /// Ten thousand counts.
    pub const MOST: Self = Self(10_000_000);

    /// From counts.
    pub fn new(counts: f64) -> Result<Self, NoiseError> {
        let [least, most] = [Self::LEAST, Self::MOST].map(Self::counts);
        let clamped = if counts.is_nan() { least } else { counts.clamp(least, most) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let nearest = Self((clamped * 1000.0).round() as u32);
        let exact = (nearest.counts() - counts).abs() <= counts.abs() * f64::EPSILON;
        if exact && counts.is_finite() {
            Ok(nearest)
        } else {
            Err(NoiseError { given: counts, nearest })
        }
    }

    /// From whole thousandths of a count.
    pub fn from_thousandths(thousandths: u32) -> Option<Self> {
        (Self::LEAST.0..=Self::MOST.0).contains(&thousandths).then_some(Self(thousandths))
    }

    /// Whole thousandths of a count.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// In counts.
    pub fn counts(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

impl TryFrom<f64> for Thousandths {
    type Error = NoiseError;

    fn try_from(counts: f64) -> Result<Self, NoiseError> {
        Self::new(counts)
    }
}

impl From<Thousandths> for f64 {
    fn from(parameter: Thousandths) -> f64 {
        parameter.counts()
    }
}

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}

impl AggregatorNoise {
    /// Draws repeatable noise for one count of a batch of so many windows: that of each window, independently. For
    /// simulations; the servers draw theirs by OpenDP, from the same distribution.
    pub fn simulate(self, windows: u64, rng: &mut SimulationRng) -> i64 {
        (0..windows).fold(0, |sum, _| sum.saturating_add(self.sample(rng)))
    }

    /// The variance of one aggregator's noise on one count; of a Gaussian rounded up to σ².
    pub fn variance(self) -> f64 {
        match self {
            // 2 e^(-1/b) / (1 - e^(-1/b))²
            Self::DiscreteLaplace { scale } => {
                let ratio = (-1.0 / scale.counts()).exp();
                2.0 * ratio / (1.0 - ratio).powi(2)
            }
            Self::DiscreteGaussian { sigma } => sigma.counts().powi(2),
        }
    }

    fn sample(self, rng: &mut SimulationRng) -> i64 {
        match self {
            Self::DiscreteLaplace { scale } => discrete_laplace(scale.0.into(), 1000, rng),
            Self::DiscreteGaussian { sigma } => discrete_gaussian(sigma, rng),
        }
    }
}

impl fmt::Display for AggregatorNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiscreteLaplace { scale } => write!(f, "discrete Laplace, scale {scale}"),
            Self::DiscreteGaussian { sigma } => write!(f, "discrete Gaussian, σ = {sigma}"),
        }
    }
}

#[cfg(test)]
mod tests;
