//! How the unbiased rates of a release vary together.
//!
//! A figure that adds rates up, or divides them, needs more than each rate's own variance. With
//! `λ = a + sπ`, the covariance of the rates i and j is, for k-ary reports of a population,
//! `(λ_i[i=j] - λ_i λ_j)/(n s²)`; in the cohort the variance of the answers themselves,
//! `(π_i[i=j] - π_i π_j)/n`, is taken off. Bits are flipped each by itself, so in the cohort they
//! do not vary together at all, and in a population of one-hot answers by `-π_i π_j/n`.
//! If a device has up to m reports in the batch, the covariance of the answers counts m times, which
//! no dependence between its answers exceeds. Aggregator noise adds `σ²/(ns)²` to each variance.

use super::{
    aggregator_noise::AggregatorNoise,
    error::{EstimateError, within},
    interval::{CountNoise, Scope},
    noisy_counts::{Answers, Channel, NoisyCounts},
    number::Real,
    symmetric::Symmetric,
};

/// That of a release's unbiased rates, with the true rates that variances depend on replaced by
/// plausible ones ([`NoisyCounts::plausible_rates`]).
///
/// Fails for free signals of a population: their totals do not show how they go together.
pub fn of_rates(release: &NoisyCounts, scope: Scope) -> Result<Symmetric, EstimateError> {
    let (reports, aggregators) = (release.n(), release.noise());
    let batch = Batch { reports, aggregators, scope, repeats: release.repeats().real() };
    expected(release.channel(), &release.plausible_rates(), batch)
}

/// What the covariance of rates depends on besides the channel and the rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// Reports n, above 0.
    pub reports: f64,
    /// The aggregators' noise in each count.
    pub aggregators: AggregatorNoise,
    /// Cohort or population.
    pub scope: Scope,
    /// The most reports of one device among them, at least 1.
    pub repeats: f64,
}

/// The most bins whose covariance is worth its memory: 33 MB.
const MOST_BINS: usize = 2048;

/// The covariance that unbiased rates will have if the true rates are these, one for each bin.
pub fn expected(
    channel: &Channel,
    rates: &[f64],
    batch: Batch,
) -> Result<Symmetric, EstimateError> {
    let Batch { reports, aggregators, scope, repeats } = batch;
    let (given, needed) = (rates.len(), channel.bins());
    if given != needed {
        return Err(EstimateError::Length { what: "rates", given, needed });
    }
    let why = "the covariance of more than 2048 bins does not fit in memory";
    within("bins", given.real(), 1.0, MOST_BINS.real(), why)?;
    if !channel.is_exclusive() && scope == Scope::Population {
        return Err(EstimateError::JointUnknown);
    }
    let mut covariance = Symmetric::zero(given);
    for (i, response) in (0..given).filter_map(|bin| Some((bin, channel.response(bin)?))) {
        let noise = CountNoise { response, reports, aggregators, scope, repeats };
        covariance.add(i, i, noise.deviation_of_rate(rates[i]).powi(2));
        for j in (0..given).filter(|j| *j != i) {
            covariance.add(i, j, together(channel, rates, [i, j], batch) / reports);
        }
    }
    Ok(covariance)
}

/// n times the covariance of the rates of two different bins.
fn together(channel: &Channel, rates: &[f64], [i, j]: [usize; 2], batch: Batch) -> f64 {
    let answers = rates[i] * rates[j];
    let lies = match channel {
        // Each report's two indicators, given the answer:
        // -(a² + as(π_i + π_j)) = -λ_i λ_j + s² π_i π_j.
        Channel::Kary { response, .. } => {
            let contrast = response.contrast();
            answers
                - response.reported(rates[i]) * response.reported(rates[j]) / (contrast * contrast)
        }
        Channel::Bits { .. } => 0.0,
    };
    match (channel, batch.scope) {
        (_, Scope::Cohort) | (Channel::Bits { answers: Answers::Free, .. }, _) => lies,
        (_, Scope::Population) => lies - batch.repeats * answers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debias::Response;

    fn kary(variance: f64) -> NoisyCounts {
        let channel = Channel::kary(3, 0.05).unwrap();
        NoisyCounts::new(vec![500, 300, 200], 1000, channel, AggregatorNoise::Gaussian { variance })
            .unwrap()
    }

    #[test]
    fn k_ary_rates_add_up_so_their_sum_does_not_vary() {
        for scope in [Scope::Cohort, Scope::Population] {
            let covariance = of_rates(&kary(0.0), scope).unwrap();
            assert!(covariance.of_weighted_sum(&[1.0, 1.0, 1.0]) < 1e-15, "{scope:?}");
            assert!(covariance.of_weighted_sum(&[1.0, 0.0, 0.0]) > 1e-5);
        }
    }

    #[test]
    fn aggregator_noise_makes_the_sum_vary() {
        let covariance = of_rates(&kary(50.0), Scope::Cohort).unwrap();
        let expected = 3.0 * 50.0 / (1000.0 * 0.85_f64).powi(2);
        let found = covariance.of_weighted_sum(&[1.0, 1.0, 1.0]);
        assert!((found / expected - 1.0).abs() < 1e-9);
    }

    #[test]
    fn asking_a_sample_adds_the_variance_of_the_answers() {
        let release = kary(0.0);
        let rates = release.plausible_rates();
        let [cohort, population] =
            [Scope::Cohort, Scope::Population].map(|scope| of_rates(&release, scope).unwrap());
        for i in 0..3 {
            for j in 0..3 {
                let own = if i == j { rates[i] } else { 0.0 };
                let answers = (own - rates[i] * rates[j]) / 1000.0;
                assert!((population.of(i, j) - cohort.of(i, j) - answers).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn free_signals_have_no_joint_to_sample() {
        let responses = vec![Response::flipped(0.1).unwrap(); 2];
        let channel = Channel::Bits { responses, answers: Answers::Free };
        let release = NoisyCounts::new(vec![50, 60], 100, channel, AggregatorNoise::None).unwrap();
        let error = of_rates(&release, Scope::Population);
        assert_eq!(error, Err(EstimateError::JointUnknown));
        let cohort = of_rates(&release, Scope::Cohort).unwrap();
        assert!(cohort.of(0, 1) == 0.0 && cohort.of(0, 0) > 0.0);
    }
}
