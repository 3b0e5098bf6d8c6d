//! Intervals: by inverting a test, so that they hold near rates of zero and one too.
//!
//! For each rate there could be, the count has a mean and a variance that are known; the interval
//! is the set of rates that the count does not contradict. Which counts contradict a rate is
//! decided by the likelihood ratio to the best *possible* rate (Feldman and Cousins, Physical
//! Review D 57, 1998, with the rate's own variance). Far from 0 and 1 that is the score interval
//! (Wilson 1927); near them it keeps the coverage at its nominal value, where cutting the score
//! interval off would over-cover, and it is never empty.
//!
//! Counts are whole numbers, so coverage moves a little about its nominal value from rate to rate:
//! by about `0.06/sd` each way, where sd is the count's standard deviation. With a batch of 3000
//! and ε0 = 4 that is 0.8 %; it grows where lies are rare and the rate is near 0 or 1, which no
//! interval without randomization of its own avoids.

use super::{
    aggregator_noise::AggregatorNoise,
    confidence::Confidence,
    debias::Response,
    normal::{density, upper_tail},
};
use serde::Serialize;

/// What a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The devices of this batch: only the noise is uncertain.
    Cohort,
    /// Devices like these: having asked only so many is uncertain too.
    Population,
}

/// The values that the data does not contradict.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end, at least `low`.
    pub high: f64,
}

impl Interval {
    /// The value and as much on either side.
    pub fn around(value: f64, half_width: f64) -> Self {
        Self { low: value - half_width, high: value + half_width }
    }

    /// Whether a value is in it, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Half of its width.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }

    /// The part between `low` and `high`.
    #[must_use]
    pub fn clamp(self, low: f64, high: f64) -> Self {
        Self { low: self.low.clamp(low, high), high: self.high.clamp(low, high) }
    }

    /// The interval of `factor` times the value; a negative factor turns it around.
    #[must_use]
    pub fn scale(self, factor: f64) -> Self {
        let (one, other) = (self.low * factor, self.high * factor);
        Self { low: one.min(other), high: one.max(other) }
    }
}

/// The noise of one bin's count.
///
/// In the cohort, if m = nπ devices have the answer, the count has mean `n(a + sπ)` and variance
/// `m·t(1-t) + (n-m)·a(1-a)`. For a device drawn from the population it is `nλ(1-λ)` with
/// `λ = a + sπ`. Aggregator noise adds its own variance to either.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CountNoise {
    /// How the bin is reported.
    pub response: Response,
    /// Reports n, above 0.
    pub reports: f64,
    /// The aggregators' noise in the count.
    pub aggregators: AggregatorNoise,
    /// Cohort or population.
    pub scope: Scope,
}

impl CountNoise {
    /// The expected count if a share `rate` has the answer.
    pub fn mean(&self, rate: f64) -> f64 {
        self.reports * self.response.reported(rate)
    }

    /// The variance of the count if a share `rate` has the answer.
    pub fn variance(&self, rate: f64) -> f64 {
        let [constant, linear, quadratic] = self.variance_terms();
        (constant + rate * (linear + rate * quadratic)).max(0.0)
    }

    /// The standard deviation of the unbiased rate, `sd(C)/(ns)`.
    pub fn deviation_of_rate(&self, rate: f64) -> f64 {
        self.variance(rate).sqrt() / (self.reports * self.response.contrast())
    }

    /// The rates that a count does not contradict, a part of `[0, 1]`.
    pub fn interval(&self, count: f64, confidence: Confidence) -> Interval {
        let best = (self.response.debias(count, self.reports) / self.reports).clamp(0.0, 1.0);
        let test =
            Test { noise: self, count, alpha: confidence.alpha(), z: self.z(best, confidence) };
        let [low, high] = self.score_ends(count, test.z);
        Interval { low: test.end(best, 0.0, low), high: test.end(best, 1.0, high) }
    }

    /// How many deviations the count stays within.
    fn z(&self, rate: f64, confidence: Confidence) -> f64 {
        let [_, excess] = self.shape(rate);
        heavier_tails(confidence.z(), excess)
    }

    /// Skewness and excess kurtosis of the count; of the latter only the aggregators' part, since
    /// that of a sum over reports is one in its variance.
    fn shape(&self, rate: f64) -> [f64; 2] {
        let variance = self.variance(rate);
        let bernoulli = |p: f64| p * (1.0 - p) * (1.0 - 2.0 * p);
        let third = match self.scope {
            Scope::Cohort => {
                rate * bernoulli(self.response.truth())
                    + (1.0 - rate) * bernoulli(self.response.lie())
            }
            Scope::Population => bernoulli(self.response.reported(rate)),
        };
        if variance <= 0.0 {
            return [0.0, 0.0];
        }
        [
            self.reports * third / variance.powf(1.5),
            self.aggregators.fourth_cumulant() / (variance * variance),
        ]
    }

    /// The variance as a polynomial in the rate.
    fn variance_terms(&self) -> [f64; 3] {
        let (t, a, s) = (self.response.truth(), self.response.lie(), self.response.contrast());
        let n = self.reports;
        let constant = n * a * (1.0 - a) + self.aggregators.variance();
        match self.scope {
            Scope::Cohort => [constant, n * (t * (1.0 - t) - a * (1.0 - a)), 0.0],
            Scope::Population => [constant, n * s * (1.0 - 2.0 * a), -n * s * s],
        }
    }

    /// Where `(count - mean)² = z² variance`, a quadratic equation in the rate.
    fn score_ends(&self, count: f64, z: f64) -> [f64; 2] {
        let [constant, linear, quadratic] = self.variance_terms();
        let slope = self.reports * self.response.contrast();
        let distance = count - self.mean(0.0);
        let a = slope * slope - z * z * quadratic;
        let b = 2.0 * distance * slope + z * z * linear;
        let c = distance * distance - z * z * constant;
        let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
        [(b - root) / (2.0 * a), (b + root) / (2.0 * a)]
    }

    /// How many deviations the mean is above that of rate 0, and below that of rate 1.
    fn room(&self, rate: f64) -> [f64; 2] {
        let deviation = self.variance(rate).sqrt();
        [self.mean(rate) - self.mean(0.0), self.mean(1.0) - self.mean(rate)].map(|d| d / deviation)
    }
}

/// The normal quantile `z`, moved out for tails with this excess kurtosis (Cornish and Fisher
/// 1938).
pub(super) fn heavier_tails(z: f64, excess: f64) -> f64 {
    z + excess * (z * z * z - 3.0 * z).max(0.0) / 24.0
}

/// Which rates a count contradicts.
struct Test<'a> {
    noise: &'a CountNoise,
    count: f64,
    alpha: f64,
    z: f64,
}

impl Test<'_> {
    /// The end of the interval between `best`, which the count contradicts less than any other
    /// rate, and `bound`; `score` is where it is unless 0 or 1 are near.
    fn end(&self, best: f64, bound: f64, score: f64) -> f64 {
        if (0.0..=1.0).contains(&score) && self.is_far_from_bounds(score) {
            return score;
        }
        if self.accepts(bound) {
            return bound;
        }
        let (mut inside, mut outside) = (best, bound);
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(inside, outside);
            if self.accepts(middle) {
                inside = middle;
            } else {
                outside = middle;
            }
        }
        // Outward, so that rounding never loses the rate that is still accepted.
        outside
    }

    /// Whether all counts within z deviations of this rate's mean have a possible best rate: then
    /// the likelihood ratio is the score test's.
    fn is_far_from_bounds(&self, rate: f64) -> bool {
        let [below, above] = self.noise.room(rate);
        below >= self.z && above >= self.z
    }

    /// Whether counts with a likelihood ratio as small as this one's, or smaller, are likelier
    /// than α.
    fn accepts(&self, rate: f64) -> bool {
        let deviation = self.noise.variance(rate).sqrt();
        let distance = self.count - self.noise.mean(rate);
        if deviation <= 0.0 {
            return distance == 0.0;
        }
        let [below, above] = self.noise.room(rate);
        let y = distance / deviation;
        let ratio = if y < 0.0 { log_ratio(-y, below) } else { log_ratio(y, above) };
        let [skewness, excess] = self.noise.shape(rate);
        let outside = tail(reach(ratio, below), -skewness, excess)
            + tail(reach(ratio, above), skewness, excess);
        outside >= self.alpha
    }
}

/// The probability of more than `x` deviations above the mean, for a distribution that is almost
/// normal (Edgeworth's expansion, first and fourth-cumulant terms; Abramowitz and Stegun 26.2.47).
/// The skewness cancels where both tails begin equally far out.
fn tail(x: f64, skewness: f64, excess: f64) -> f64 {
    if x.is_infinite() {
        return 0.0;
    }
    let correction = skewness * (x * x - 1.0) / 6.0 + excess * (x * x * x - 3.0 * x) / 24.0;
    (upper_tail(x) + density(x) * correction).clamp(0.0, 1.0)
}

/// Twice the logarithm of the likelihood ratio to the best possible rate, `y` deviations from the
/// mean where the best rate can follow for `room` deviations only.
fn log_ratio(y: f64, room: f64) -> f64 {
    if y <= room { y * y } else { 2.0 * y * room - room * room }
}

/// The inverse of [`log_ratio`]: beyond how many deviations the ratio is smaller.
fn reach(ratio: f64, room: f64) -> f64 {
    let near = ratio.sqrt();
    if near <= room {
        near
    } else if room > 0.0 {
        f64::midpoint(ratio / room, room)
    } else {
        f64::INFINITY
    }
}

/// Halvings of `[0, 1]`: 2^-50 is less than a device in any batch that fits in memory.
const BISECTIONS: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(scope: Scope, reports: f64, variance: f64) -> CountNoise {
        let response = Response::new(0.9, 0.05).unwrap();
        let aggregators = AggregatorNoise::Gaussian { variance };
        CountNoise { response, reports, aggregators, scope }
    }

    #[test]
    fn without_a_randomizer_it_is_wilsons() {
        let response = Response::new(1.0, 0.0).unwrap();
        let scope = Scope::Population;
        let noise =
            CountNoise { response, reports: 100.0, aggregators: AggregatorNoise::None, scope };
        // Newcombe 1998 gives 81 of 263 and 15 of 148 as examples; computed with z = 1.959964.
        for (count, reports, low, high) in
            [(81.0, 263.0, 0.255_3, 0.366_2), (15.0, 148.0, 0.062_4, 0.160_5)]
        {
            let interval = CountNoise { reports, ..noise }.interval(count, Confidence::USUAL);
            assert!((interval.low - low).abs() < 5e-5, "{interval:?}");
            assert!((interval.high - high).abs() < 5e-5, "{interval:?}");
        }
    }

    #[test]
    fn near_zero_it_is_feldman_and_cousins() {
        // Their Table X: a Gaussian with sd 1 and mean at least 0, 95 %.
        let noise = noise(Scope::Cohort, 1e8, 1e14);
        let deviation = noise.variance(0.0).sqrt();
        for (y, low, high) in
            [(-3.0, 0.0, 0.42), (0.0, 0.0, 1.96), (1.0, 0.0, 2.96), (2.0, 0.35, 3.96)]
        {
            let interval = noise.interval(noise.mean(0.0) + y * deviation, Confidence::USUAL);
            let slope = noise.reports * noise.response.contrast() / deviation;
            assert!((interval.low * slope - low).abs() < 0.011, "{y}: {:?}", interval.scale(slope));
            assert!(
                (interval.high * slope - high).abs() < 0.011,
                "{y}: {:?}",
                interval.scale(slope)
            );
        }
    }

    #[test]
    fn noise_without_limit_says_nothing() {
        let interval = noise(Scope::Population, 100.0, 1e12).interval(50.0, Confidence::USUAL);
        assert_eq!(interval, Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn without_any_noise_the_cohort_is_known() {
        let response = Response::new(1.0, 0.0).unwrap();
        let scope = Scope::Cohort;
        let noise =
            CountNoise { response, reports: 100.0, aggregators: AggregatorNoise::None, scope };
        for count in [0.0, 30.0, 100.0] {
            let interval = noise.interval(count, Confidence::USUAL);
            assert!(interval.contains(count / 100.0) && interval.half_width() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn any_count_gives_an_interval_that_more_noise_and_confidence_widen(
            count in -100.0..3100.0_f64, variance in 0.0..1e6_f64
        ) {
            for scope in [Scope::Cohort, Scope::Population] {
                let narrow = noise(scope, 3000.0, variance).interval(count, Confidence::USUAL);
                prop_assert!(0.0 <= narrow.low && narrow.low <= narrow.high && narrow.high <= 1.0);
                let surer = noise(scope, 3000.0, variance)
                    .interval(count, Confidence::USUAL.each_of(3));
                prop_assert!(surer.low <= narrow.low + 1e-9 && narrow.high <= surer.high + 1e-9);
                let best = noise(scope, 3000.0, variance).response.debias(count, 3000.0) / 3000.0;
                prop_assert!(narrow.contains(best.clamp(0.0, 1.0)));
            }
        }
    }
}
