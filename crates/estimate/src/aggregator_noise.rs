//! What the two aggregators may add to every count.

use super::{
    error::{EstimateError, within},
    number::Real,
};
use serde::Serialize;
use sottovoce_privacy::noise;

/// Noise of mean 0 that leader and helper add to each count, each by itself and alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "distribution")]
pub enum AggregatorNoise {
    /// The counts are as the reports left them.
    #[default]
    None,
    /// Discrete Laplace noise.
    Laplace {
        /// Of both aggregators' noise together, in counts squared.
        variance: f64,
    },
    /// Discrete Gaussian noise.
    Gaussian {
        /// Of both aggregators' noise together, in counts squared.
        variance: f64,
    },
}

/// A variance that swamps any batch.
const MOST: f64 = 1e18;

impl AggregatorNoise {
    /// That of two aggregators that each add the same, in a batch of one window.
    pub fn of_both(each: Option<noise::AggregatorNoise>) -> Self {
        Self::of_both_over(each, 1)
    }

    /// The same in a batch of so many windows, each of which has noise of its own.
    pub fn of_both_over(each: Option<noise::AggregatorNoise>, windows: u64) -> Self {
        let Some(each) = each else { return Self::None };
        let variance = 2.0 * each.variance() * windows.real();
        match each {
            noise::AggregatorNoise::DiscreteLaplace { .. } => Self::Laplace { variance },
            noise::AggregatorNoise::DiscreteGaussian { .. } => Self::Gaussian { variance },
        }
    }

    /// The variance in each count.
    pub fn variance(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Laplace { variance } | Self::Gaussian { variance } => variance,
        }
    }

    /// The fourth cumulant, which says how much heavier than normal the tails are.
    ///
    /// Discrete Laplace noise of variance v is the difference of two geometric variables and has
    /// `3v² + v`; two of them with `v = variance/2` have `1.5 variance² + variance`. Those of several windows
    /// have less, and are taken for as heavy. Discrete Gaussian noise of any useful width has none.
    pub fn fourth_cumulant(self) -> f64 {
        match self {
            Self::Laplace { variance } => 1.5 * variance * variance + variance,
            Self::None | Self::Gaussian { .. } => 0.0,
        }
    }

    /// Refuses what is no variance.
    pub(super) fn check(self) -> Result<(), EstimateError> {
        let why = "the variance of the aggregators' noise is at least 0 and at most 1e18";
        within("noise_variance", self.variance(), 0.0, MOST, why).map(|_| ())
    }
}
