//! A fast approximation of the privacy of a batch, which takes the noise of randomizers for Gaussian.
//!
//! This is no bound. It lies within a few percent of the truth on either side, so with some slack it tells
//! what cannot be, and where it is worth asking the accountant.

use super::PlanError;
use crate::{noisy_counts::Channel, normal};
use sottovoce_privacy::{guarantee::Release, noise::AggregatorNoise};

/// The square of the mean by which another answer moves the sum, in standard deviations of its noise.
pub(super) fn squared_mean(release: &Release) -> Result<f64, PlanError> {
    let coordinates = f64::from(release.mechanism.coordinates());
    let channel = Channel::of_mechanism(&release.mechanism)?;
    let response = channel.response(0);
    let crowd = response.map_or(f64::INFINITY, |response| {
        let (lie, contrast) = (response.lie(), response.contrast());
        #[expect(clippy::cast_precision_loss, reason = "a number of reports")]
        let variance = release.honest as f64 * lie * (1.0 - lie);
        coordinates * contrast * contrast / variance
    });
    // The accountant takes the better of both. Laplace noise is not like a Gaussian; it is at most as
    // good as one of its variance by a factor that is left to the accountant.
    let noise = match release.noise {
        None => f64::INFINITY,
        Some(AggregatorNoise::DiscreteGaussian { sigma }) => {
            coordinates / (sigma.counts() * sigma.counts())
        }
        Some(AggregatorNoise::DiscreteLaplace { .. }) => 0.0,
    };
    Ok(crowd.min(noise))
}

/// The ε at which a Gaussian mechanism with such a mean has this δ (Balle, Wang 2018).
pub(super) fn epsilon(mean: f64, delta: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    let at = |epsilon: f64| {
        let upper = normal::upper_tail(epsilon / mean - mean / 2.0);
        upper - epsilon.exp() * normal::upper_tail(epsilon / mean + mean / 2.0)
    };
    let (mut low, mut high) = (0.0, 1.0);
    while at(high) > delta && high < MOST {
        (low, high) = (high, high * 2.0);
    }
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if at(middle) > delta { low = middle } else { high = middle }
    }
    high
}

/// Far above any promise, and not above what an exponential takes.
const MOST: f64 = 500.0;

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_privacy::{
        guarantee::{Mechanism, MechanismKind, composed},
        units::{Delta, Epsilon},
    };

    #[test]
    fn the_estimate_is_near_the_truth_and_nine_tenths_of_it_below() {
        let delta = Delta::new(1e-6).unwrap();
        for (kind, bins, epsilon0, honest, windows) in [
            (MechanismKind::Krr, 3, 4.0, 2400, 1),
            (MechanismKind::Krr, 6, 3.0, 10_000, 4),
            (MechanismKind::Signals, 3, 1.3, 3000, 2),
        ] {
            let mechanism = Mechanism::new(kind, bins, Epsilon::new(epsilon0).unwrap()).unwrap();
            let release = Release { mechanism, noise: None, honest };
            let true_one = composed(&[(release.clone(), windows)], delta).unwrap()[2].epsilon.get();
            let mean = squared_mean(&release).unwrap() * f64::from(u32::try_from(windows).unwrap());
            let estimate = epsilon(mean.sqrt(), delta.get());
            assert!(
                0.9 * estimate < true_one && estimate > 0.8 * true_one,
                "{estimate} {true_one}"
            );
        }
    }
}
