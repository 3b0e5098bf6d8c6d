//! What one report contributes to `Σ c_j π̂_j`, apart from a factor 1/n: its variance and its third
//! cumulant, which say how skewed the sum is.

use crate::{
    interval::Scope,
    noisy_counts::{Channel, NoisyCounts},
    number::Real,
};

/// Variance and third cumulant, if the true rates are these: of the lies, and in the population of the
/// answers too, which the reports of one device may have in common.
pub(super) fn of_one_report(
    release: &NoisyCounts,
    contrast: &[f64],
    rates: &[f64],
    scope: Scope,
) -> [f64; 2] {
    let given = given_answer(release.channel(), contrast);
    let average = |of: &dyn Fn(&[f64; 3]) -> f64| -> f64 {
        rates.iter().zip(&given).map(|(rate, moments)| rate * of(moments)).sum()
    };
    let lies = [average(&|given| given[1]), average(&|given| given[2])];
    if scope == Scope::Cohort {
        return lies;
    }
    let m = release.repeats().real();
    let mean = average(&|given| given[0]);
    let spread = average(&|given| (given[0] - mean).powi(2));
    let both = average(&|given| (given[0] - mean) * given[1]);
    let cube = average(&|given| (given[0] - mean).powi(3));
    [lies[0] + m * spread, lies[1] + 3.0 * m * both + m * m * cube]
}

/// Mean, variance and third cumulant given the device's answer, for each answer.
fn given_answer(channel: &Channel, contrast: &[f64]) -> Vec<[f64; 3]> {
    let responses = || (0..channel.bins()).filter_map(|bin| channel.response(bin));
    let weights: Vec<f64> =
        responses().zip(contrast).map(|(response, weight)| weight / response.contrast()).collect();
    let bins = || responses().zip(&weights);
    match channel {
        // A report is in one bin: raw moments of its weight.
        Channel::Kary { response, .. } => {
            let powers = |weight: f64| [weight, weight.powi(2), weight.powi(3)];
            let all = sum(weights.iter().map(|weight| powers(*weight)));
            let given = |weight: &f64| {
                let own = powers(*weight);
                let raw = |i: usize| response.lie() * all[i] + response.contrast() * own[i];
                let [one, two, three] = [raw(0), raw(1), raw(2)];
                [one, two - one * one, three - 3.0 * one * two + 2.0 * one.powi(3)]
            };
            weights.iter().map(given).collect()
        }
        // Each bit is flipped by itself: cumulants add up.
        Channel::Bits { .. } => {
            let cumulants = |p: f64, weight: f64| {
                let variance = p * (1.0 - p);
                let third = variance * (1.0 - 2.0 * p);
                [weight * p, weight.powi(2) * variance, weight.powi(3) * third]
            };
            let all = sum(bins().map(|(response, weight)| cumulants(response.lie(), *weight)));
            let given = |(response, weight): (_, &f64)| {
                let response: crate::debias::Response = response;
                let truth = cumulants(response.truth(), *weight);
                let lie = cumulants(response.lie(), *weight);
                [0, 1, 2].map(|i| all[i] + truth[i] - lie[i])
            };
            bins().map(given).collect()
        }
    }
}

fn sum(moments: impl Iterator<Item = [f64; 3]>) -> [f64; 3] {
    moments.fold([0.0; 3], |sum, one| [0, 1, 2].map(|i| sum[i] + one[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregator_noise::AggregatorNoise, covariance, debias::Response, noisy_counts::Answers,
    };

    #[test]
    fn the_variance_is_that_of_the_covariance() {
        let response = Response::flipped(0.1).unwrap();
        let bits = Channel::Bits { responses: vec![response; 3], answers: Answers::OneHot };
        for channel in [Channel::kary(3, 0.05).unwrap(), bits] {
            for repeats in [1, 7] {
                let counts = vec![500, 300, 200];
                let release =
                    NoisyCounts::new(counts, 1000, channel.clone(), AggregatorNoise::None);
                let release = release.unwrap().with_repeats(repeats);
                let (rates, contrast) = (release.plausible_rates(), [1.0, -0.5, 0.2]);
                for scope in [Scope::Cohort, Scope::Population] {
                    let [variance, _] = of_one_report(&release, &contrast, &rates, scope);
                    let covariance = covariance::of_rates(&release, scope).unwrap();
                    let expected = covariance.of_weighted_sum(&contrast) * 1000.0;
                    assert!((variance / expected - 1.0).abs() < 1e-9, "{variance} {expected}");
                }
            }
        }
    }
}
