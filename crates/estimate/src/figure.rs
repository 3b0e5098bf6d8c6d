//! Figures made of several rates: sums of them, and one sum divided by another (a share or a mean
//! *among those who answered*).
//!
//! A sum `Σ w_j π̂_j` is unbiased and its variance known ([`covariance`]). With `N = Σ w_j π̂_j` and `D = Σ v_j π̂_j`, the ratio R = N/D varies, to first order, as
//! `(Σ (w_j - R v_j) π̂_j)/D` does (the delta method). Where D is within three standard deviations
//! of 0, or R near an end of its range, that is not close enough, and the interval is every R for
//! which `N - R·D` is not told from 0: as a rate's ([`bounded`]) if R has a range, and Fieller's
//! (1954) otherwise. Where D itself is not told from 0 there is no answer, and the error says so.

mod bounded;
mod moments;

use super::{
    confidence::Confidence,
    covariance,
    error::{EstimateError, within},
    interval::{CountNoise, Interval, Scope, heavier_tails},
    noisy_counts::NoisyCounts,
    number::{Real, devices},
    symmetric::Symmetric,
};
use bounded::Bounded;
use serde::Serialize;

/// A value with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The estimate. Noise can carry it beyond what the true value can be.
    pub value: f64,
    /// Its standard deviation; for a ratio by the delta method.
    pub standard_error: f64,
    /// The values that the data does not contradict.
    #[serde(flatten)]
    pub interval: Interval,
    /// How the interval was made.
    pub method: Method,
    /// The part of the variance that the aggregators' noise makes: it falls with the square of the
    /// batch, and the rest with the batch.
    #[serde(skip)]
    pub aggregators_variance: f64,
}

/// How an interval is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A rate, or a sum or ratio near an end of its range: every value that the counts do not
    /// contradict.
    Score,
    /// A sum of rates: normal, about the unbiased estimate.
    Sum,
    /// A ratio by the delta method: the denominator is far from 0.
    Delta,
    /// A ratio without a range by Fieller's method: the denominator is within three standard
    /// deviations of 0.
    Fieller,
}

/// Where the delta method ends.
const CLOSE_TO_ZERO: f64 = 3.0;

/// The rate of one bin, with the interval of [`interval`](super::interval); of any channel.
pub fn rate(
    release: &NoisyCounts,
    bin: usize,
    scope: Scope,
    confidence: Confidence,
) -> Result<Figure, EstimateError> {
    let (what, why, last) = ("bin", "does not exist", release.bins() - 1);
    let missing = EstimateError::Index { what, index: bin, why, last };
    let (_, count, response) = release.bins_with_responses().nth(bin).ok_or(missing)?;
    let aggregators = release.noise();
    let (reports, repeats) = (release.n(), release.repeats().real());
    let noise = CountNoise { response, reports, aggregators, scope, repeats };
    let value = response.debias(count, release.n()) / release.n();
    let slope = release.n() * response.contrast();
    Ok(Figure {
        value,
        standard_error: noise.deviation_of_rate(value.clamp(0.0, 1.0)),
        interval: noise.interval(count, confidence),
        method: Method::Score,
        aggregators_variance: aggregators.variance() / (slope * slope),
    })
}

/// `Σ w_j π_j`, with one weight for each bin.
pub fn weighted_sum(
    release: &NoisyCounts,
    weights: &[f64],
    scope: Scope,
    confidence: Confidence,
) -> Result<Figure, EstimateError> {
    check_weights(release, weights)?;
    let variance = covariance::of_rates(release, scope)?.of_weighted_sum(weights);
    let value = dot(&release.rates(), weights);
    let half_width = half_width(release, weights, variance, confidence);
    let bounded = Bounded::new(release, weights, None, scope);
    let (method, interval) = match bounded.filter(|bounded| !bounded.is_far_inside(value)) {
        Some(bounded) => (Method::Score, bounded.interval(confidence.alpha())),
        None => (Method::Sum, Interval::around(value, half_width)),
    };
    let aggregators_variance = aggregators_variance(release, weights);
    let standard_error = variance.sqrt();
    Ok(Figure { value, standard_error, interval, method, aggregators_variance })
}

/// `Σ w_j π_j / Σ v_j π_j`, with one numerator weight w and one denominator weight v for each bin.
pub fn ratio(
    release: &NoisyCounts,
    numerator: &[f64],
    denominator: &[f64],
    scope: Scope,
    confidence: Confidence,
) -> Result<Figure, EstimateError> {
    check_weights(release, numerator)?;
    check_weights(release, denominator)?;
    let covariance = covariance::of_rates(release, scope)?;
    let [top, bottom] = [numerator, denominator].map(|weights| dot(&release.rates(), weights));
    let bottom_deviation = covariance.of_weighted_sum(denominator).sqrt();
    if bottom <= confidence.z() * bottom_deviation {
        return Err(too_few(release, bottom, bottom_deviation, confidence.z()));
    }
    let value = top / bottom;
    let contrast: Vec<f64> =
        numerator.iter().zip(denominator).map(|(w, v)| (w - value * v) / bottom).collect();
    let variance = covariance.of_weighted_sum(&contrast);
    let z = heavier_tails(confidence.z(), excess(release, &contrast, variance));
    let is_close = bottom < CLOSE_TO_ZERO * bottom_deviation;
    let bounded = Bounded::new(release, numerator, Some(denominator), scope);
    let (method, interval) = match &bounded {
        Some(bounded) if is_close || !bounded.is_far_inside(value) => {
            (Method::Score, bounded.interval(confidence.alpha()))
        }
        None if is_close => {
            let ends = fieller_ends([top, bottom], [numerator, denominator], &covariance, z);
            (Method::Fieller, ends)
        }
        _ => {
            let ends = Interval::around(value, z * variance.sqrt());
            let Interval { low, high } = bounded.map_or(ends, |bounded| bounded.range());
            (Method::Delta, ends.clamp(low, high))
        }
    };
    let aggregators_variance = aggregators_variance(release, &contrast);
    let standard_error = variance.sqrt();
    Ok(Figure { value, standard_error, interval, method, aggregators_variance })
}

impl Figure {
    /// The estimate as people are shown it: the value of the interval that is nearest.
    pub fn shown(&self) -> f64 {
        self.interval.nearest(self.value)
    }

    /// The same figure of something that lies between `low` and `high`. An estimate outside is no
    /// further from the truth when it is moved to the nearer end, and its interval goes with it, so
    /// that it never shrinks to that end.
    #[must_use]
    pub fn clamp(self, low: f64, high: f64) -> Self {
        let moved = self.value.clamp(low, high) - self.value;
        let Interval { low: least, high: most } = self.interval;
        let wide = Interval { low: least.min(least + moved), high: most.max(most + moved) };
        Self { interval: wide.clamp(low, high), ..self }
    }
}

/// A weight beyond which sums are no longer exact enough.
const MOST_WEIGHT: f64 = 1e9;

/// One finite weight for each bin.
pub(super) fn check_weights(release: &NoisyCounts, weights: &[f64]) -> Result<(), EstimateError> {
    let (given, needed) = (weights.len(), release.bins());
    if given != needed {
        return Err(EstimateError::Length { what: "weights", given, needed });
    }
    let why = "a weight is a number from -1e9 to 1e9";
    weights.iter().try_for_each(|weight| {
        within("weight", *weight, -MOST_WEIGHT, MOST_WEIGHT, why).map(|_| ())
    })
}

pub(super) fn dot(values: &[f64], weights: &[f64]) -> f64 {
    values.iter().zip(weights).map(|(value, weight)| value * weight).sum()
}

/// Half the width of an interval for `Σ c_j π̂_j` with this variance.
pub(super) fn half_width(
    release: &NoisyCounts,
    weights: &[f64],
    variance: f64,
    confidence: Confidence,
) -> f64 {
    heavier_tails(confidence.z(), excess(release, weights, variance)) * variance.sqrt()
}

/// The variance that the aggregators' noise gives `Σ c_j π̂_j`.
pub(super) fn aggregators_variance(release: &NoisyCounts, weights: &[f64]) -> f64 {
    let noise = release.noise().variance();
    count_weights(release, weights).map(|weight| weight * weight * noise).sum()
}

/// The excess kurtosis of `Σ c_j π̂_j`, as far as the aggregators' noise makes it.
fn excess(release: &NoisyCounts, weights: &[f64], variance: f64) -> f64 {
    let noise = release.noise().fourth_cumulant();
    if noise == 0.0 || variance <= 0.0 {
        return 0.0;
    }
    let fourth: f64 = count_weights(release, weights).map(|weight| weight.powi(4) * noise).sum();
    fourth / (variance * variance)
}

/// What weights of rates are as weights of counts: `c_j/(n s_j)`.
fn count_weights<'a>(
    release: &'a NoisyCounts,
    weights: &'a [f64],
) -> impl Iterator<Item = f64> + 'a {
    let bins = release.bins_with_responses().zip(weights);
    bins.map(|((_, _, response), weight)| weight / (release.n() * response.contrast()))
}

/// The R with `(N - R·D)² = z² Var(N - R·D)`. Without limit where `D² <= z² Var(D)`.
fn fieller_ends(
    [top, bottom]: [f64; 2],
    [numerator, denominator]: [&[f64]; 2],
    covariance: &Symmetric,
    z: f64,
) -> Interval {
    let z2 = z * z;
    let a = bottom * bottom - z2 * covariance.of_weighted_sum(denominator);
    let b = top * bottom - z2 * covariance.of_weighted_sums(numerator, denominator);
    let c = top * top - z2 * covariance.of_weighted_sum(numerator);
    if a <= 0.0 {
        return Interval { low: f64::NEG_INFINITY, high: f64::INFINITY };
    }
    let root = (b * b - a * c).max(0.0).sqrt();
    Interval { low: (b - root) / a, high: (b + root) / a }
}

fn too_few(release: &NoisyCounts, share: f64, deviation: f64, z: f64) -> EstimateError {
    // A share that seems to be none at all may be as large as its standard deviation.
    let times = (CLOSE_TO_ZERO * deviation / share.max(deviation)).powi(2).max(1.0);
    let devices = devices(release.n() * times);
    EstimateError::TooFewAnswers { share, half_width: z * deviation, devices }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aggregator_noise::AggregatorNoise, noisy_counts::Channel};

    /// Up, down and no answer.
    fn thumbs(up: i64, down: i64, noise: AggregatorNoise) -> NoisyCounts {
        let channel = Channel::kary(3, 0.05).unwrap();
        NoisyCounts::new(vec![up, down, 3000 - up - down], 3000, channel, noise).unwrap()
    }

    fn share_of_up(release: &NoisyCounts) -> Result<Figure, EstimateError> {
        let (up, answered) = ([1.0, 0.0, 0.0], [1.0, 1.0, 0.0]);
        ratio(release, &up, &answered, Scope::Population, Confidence::USUAL)
    }

    #[test]
    fn a_share_of_no_answers_is_refused_in_words() {
        for (up, down) in [(150, 150), (140, 140), (170, 150)] {
            let error = share_of_up(&thumbs(up, down, AggregatorNoise::None)).unwrap_err();
            assert!(error.to_string().contains("cannot be distinguished from 0"), "{error}");
        }
        let weights = ratio(
            &thumbs(1000, 1000, AggregatorNoise::None),
            &[1.0],
            &[1.0; 3],
            Scope::Cohort,
            Confidence::USUAL,
        );
        assert!(matches!(weights, Err(EstimateError::Length { given: 1, needed: 3, .. })));
    }

    #[test]
    fn weights_and_bins_that_are_none_are_refused() {
        let release = thumbs(1000, 1000, AggregatorNoise::None);
        for weight in [f64::NAN, f64::INFINITY, 1e10] {
            let weights = [weight, 0.0, 0.0];
            assert!(weighted_sum(&release, &weights, Scope::Cohort, Confidence::USUAL).is_err());
        }
        let error = rate(&release, 3, Scope::Cohort, Confidence::USUAL).unwrap_err();
        assert!(error.to_string().contains("bin 3 does not exist"), "{error}");
    }

    #[test]
    fn a_rate_is_the_sum_of_itself() {
        let release = thumbs(1000, 1000, AggregatorNoise::Gaussian { variance: 100.0 });
        for scope in [Scope::Cohort, Scope::Population] {
            let one = rate(&release, 0, scope, Confidence::USUAL).unwrap();
            let sum = weighted_sum(&release, &[1.0, 0.0, 0.0], scope, Confidence::USUAL).unwrap();
            assert!((one.value - sum.value).abs() < 1e-12);
            assert!((one.standard_error / sum.standard_error - 1.0).abs() < 1e-9);
            assert!((one.aggregators_variance - sum.aggregators_variance).abs() < 1e-15);
            assert!((one.interval.low - sum.interval.low).abs() < 1e-3);
        }
    }

    #[test]
    fn few_answers_get_a_tested_interval_and_many_get_the_delta_methods() {
        let few = share_of_up(&thumbs(190, 150, AggregatorNoise::None)).unwrap();
        assert_eq!(few.method, Method::Score);
        assert!(few.interval.contains(few.value));
        // Not symmetric: the denominator may be much smaller.
        let Interval { low, high } = few.interval;
        assert!((few.value - low - (high - few.value)).abs() > 0.01, "{few:?}");
        let many = share_of_up(&thumbs(1500, 1000, AggregatorNoise::None)).unwrap();
        assert_eq!(many.method, Method::Delta);
        // What is no mean of scores has no range.
        let release = thumbs(190, 150, AggregatorNoise::None);
        let weights = [&[1.0, 0.0, 1.0][..], &[1.0, 1.0, 0.0][..]];
        let (scope, confidence) = (Scope::Population, Confidence::USUAL);
        let odds = ratio(&release, weights[0], weights[1], scope, confidence).unwrap();
        assert_eq!(odds.method, Method::Fieller);
    }

    #[test]
    fn a_share_near_its_bound_has_an_interval_within_it() {
        // The estimate of down is below 0, and so of up above 1.
        let up = share_of_up(&thumbs(1500, 120, AggregatorNoise::None)).unwrap();
        assert!(up.value > 1.0 && up.shown() <= 1.0, "{up:?}");
        let Interval { low, high } = up.interval;
        assert!((high - 1.0).abs() < 1e-12 && low < 0.999 && low > 0.9, "{up:?}");
        assert!(up.interval.contains(up.shown()));
    }

    #[test]
    fn fieller_and_delta_agree_far_from_zero() {
        let release = thumbs(1500, 1000, AggregatorNoise::None);
        let delta = share_of_up(&release).unwrap();
        let covariance = covariance::of_rates(&release, Scope::Population).unwrap();
        let rates = release.rates();
        let weights = [&[1.0, 0.0, 0.0][..], &[1.0, 1.0, 0.0][..]];
        let fieller =
            fieller_ends([rates[0], rates[0] + rates[1]], weights, &covariance, 1.959_964);
        assert!((fieller.low - delta.interval.low).abs() < 1e-4);
        assert!((fieller.high - delta.interval.high).abs() < 1e-4);
    }

    #[test]
    fn aggregator_noise_widens() {
        let quiet = share_of_up(&thumbs(1500, 1000, AggregatorNoise::None)).unwrap();
        let [gaussian, laplace] = [
            AggregatorNoise::Gaussian { variance: 400.0 },
            AggregatorNoise::Laplace { variance: 400.0 },
        ]
        .map(|noise| share_of_up(&thumbs(1500, 1000, noise)).unwrap());
        assert!(quiet.standard_error < gaussian.standard_error);
        assert!(gaussian.interval.half_width() < laplace.interval.half_width());
        let added = gaussian.standard_error.powi(2) - quiet.standard_error.powi(2);
        assert!((added / gaussian.aggregators_variance - 1.0).abs() < 1e-9);
    }
}
