//! An aggregator's noise for one count, drawn by OpenDP.
//!
//! Its samplers are exact (Canonne, Kamath and Steinke 2020, "The Discrete Gaussian for Differential Privacy"): they
//! take a rational scale and use integers only. Those of `sottovoce_privacy::noise`, which simulations use, are the
//! cross-check. The randomness is a ChaCha generator that the operating system seeds.

use opendp::traits::samplers::{sample_discrete_gaussian, sample_discrete_laplace};
use sottovoce_privacy::noise::{AggregatorNoise, Thousandths};
use std::fmt::Display;
use thiserror::Error;

/// Noise could not be drawn: nothing is released without it.
#[derive(Debug, Error)]
#[error("the noise of a batch could not be drawn, so nothing of it is released: {0}")]
pub struct NotDrawn(String);

impl NotDrawn {
    fn because(reason: impl Display) -> Self {
        Self(reason.to_string())
    }
}

/// Draws the noise for one count of a batch of so many windows: that of each window, independently.
///
/// A device may have a report in each, and a count then moves by their number. With the noise of one
/// window that would be a group; with that of each, the count is worked out from so many noisy releases,
/// and composition covers it.
pub(crate) fn draw(noise: AggregatorNoise, windows: u64) -> Result<i64, NotDrawn> {
    let mut sum = 0_i64;
    for _ in 0..windows {
        sum = sum.saturating_add(sample(noise)?);
    }
    Ok(sum)
}

fn sample(noise: AggregatorNoise) -> Result<i64, NotDrawn> {
    // A fraction, as whole thousandths are.
    let fraction = |parameter: Thousandths| format!("{}/1000", parameter.thousandths());
    let drawn = match noise {
        AggregatorNoise::DiscreteLaplace { scale } => {
            sample_discrete_laplace(fraction(scale).parse().map_err(NotDrawn::because)?)
        }
        AggregatorNoise::DiscreteGaussian { sigma } => {
            sample_discrete_gaussian(fraction(sigma).parse().map_err(NotDrawn::because)?)
        }
    };
    // With a scale of at most 10⁴, a draw beyond 2⁶³ has a probability below e^(-10¹⁴).
    i64::try_from(drawn.map_err(NotDrawn::because)?)
        .map_err(|_| NotDrawn::because("a draw does not fit 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn laplace(scale: f64) -> AggregatorNoise {
        AggregatorNoise::DiscreteLaplace { scale: Thousandths::new(scale).unwrap() }
    }

    fn gaussian(sigma: f64) -> AggregatorNoise {
        AggregatorNoise::DiscreteGaussian { sigma: Thousandths::new(sigma).unwrap() }
    }

    /// Mean and variance of so many draws, in standard errors from what they should be.
    #[expect(clippy::cast_precision_loss, reason = "small")]
    fn surprise(noise: AggregatorNoise, windows: u64) -> [f64; 2] {
        let n = 10_000;
        let draws: Vec<f64> = (0..n).map(|_| draw(noise, windows).unwrap() as f64).collect();
        let n = f64::from(n);
        let variance = noise.variance() * windows as f64;
        let mean = draws.iter().sum::<f64>() / n;
        let second = draws.iter().map(|x| x * x).sum::<f64>() / n;
        // The fourth moment of a Laplace distribution is 6 variances squared, of a Gaussian 3; sums are nearer to 3.
        [mean / (variance / n).sqrt(), (second - variance) / (variance * (5.0 / n).sqrt())]
    }

    #[test]
    fn each_window_of_a_batch_has_noise_of_the_variance_that_is_promised() {
        for (noise, windows) in [
            (laplace(1.7), 1),
            (laplace(20.0), 3),
            (gaussian(3.25), 1),
            (gaussian(12.5), 7),
            (gaussian(9999.999), 1),
        ] {
            let found = surprise(noise, windows);
            assert!(found.iter().all(|it| it.abs() < 5.0), "{noise}, {windows}: {found:?}");
        }
    }

    #[test]
    fn no_window_has_no_noise() {
        assert_eq!(draw(laplace(3.0), 0).unwrap(), 0);
    }

    proptest! {
        #[test]
        fn any_parameter_can_be_drawn_with(thousandths in 500_u32..=10_000_000, is_laplace: bool) {
            let parameter = Thousandths::from_thousandths(thousandths).unwrap();
            let noise = if is_laplace {
                AggregatorNoise::DiscreteLaplace { scale: parameter }
            } else {
                AggregatorNoise::DiscreteGaussian { sigma: parameter }
            };
            let drawn = draw(noise, 1).unwrap();
            prop_assert!(drawn.unsigned_abs() < 100 * u64::from(thousandths), "{}", drawn);
        }
    }
}
