//! Intervals: by inverting a test, so that they hold near rates of zero and one too.
//!
//! For each rate there could be, the count has a mean and a variance that are known; the interval
//! is the set of rates that the count does not contradict. Which counts contradict a rate is
//! decided by the likelihood ratio to the best *possible* rate (Feldman and Cousins, Physical
//! Review D 57, 1998, with the rate's own variance). Far from 0 and 1 that is the score interval
//! (Wilson 1927); near them it keeps the coverage at its nominal value, where cutting the score
//! interval off would over-cover, and it is never empty.
//!
//! How likely such counts are is worked out by the normal distribution with two corrections where the
//! count varies by more than a few, and by the count's [`exact`] law where it does not: where lies
//! are rare, batches small and rates near 0 or 1. There the test holds its level for every rate, and
//! the interval covers at least as often as it says; counts are whole numbers, so mostly more often.
//! Elsewhere coverage moves about its nominal value by less than a percent.
//!
//! A batch may hold several reports of one device, and its answers may be alike. For the population
//! that is as if fewer devices had been asked: with m reports of a device the variance of the answers
//! counts m times, and that of the randomizer once, because each report is drawn by itself. That is the
//! largest variance there can be (Cauchy and Schwarz), so intervals cover at least as often as they say
//! if devices change their minds.

mod exact;

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

    /// The value in it that is nearest to another.
    pub fn nearest(&self, value: f64) -> f64 {
        value.max(self.low).min(self.high)
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
/// `m·t(1-t) + (n-m)·a(1-a)`. Devices drawn from the population add the variance of their answers,
/// `n·s²π(1-π)`, as often as each reports: once, that makes `nλ(1-λ)` with `λ = a + sπ`. Aggregator
/// noise adds its own variance to either.
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
    /// The most reports m of one device among them, at least 1.
    pub repeats: f64,
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
        let z = heavier_tails(confidence.z(), self.shape(best)[1]);
        let alpha = confidence.alpha();
        let accepts = |rate: f64| self.accepts(rate, count, alpha);
        let end = |bound: f64, score: f64| {
            // Far from the bounds the likelihood ratio is the score test's.
            let is_score = (0.0..=1.0).contains(&score)
                && self.room(score).into_iter().all(|room| room >= z)
                && !self.is_coarse(score);
            if is_score {
                return score;
            }
            let limit = self.limit(best, bound, accepts);
            let is_near = limit.total_cmp(&bound).is_ne();
            let halvings = if is_near { FEW_HALVINGS } else { HALVINGS };
            let end = furthest(best, limit, halvings, accepts);
            if self.is_coarse(end) {
                self.whole(self.beyond_gaps(end, bound, accepts), bound)
            } else {
                end
            }
        };
        let [low, high] = self.score_ends(count, z);
        Interval { low: end(0.0, low), high: end(1.0, high) }
    }

    /// A rate beyond which none is accepted, to search no further: exact laws take their time.
    fn limit(&self, best: f64, bound: f64, accepts: impl Fn(f64) -> bool) -> f64 {
        let mut reach = self.deviation_of_rate(best) + 1.0 / self.reports;
        while self.is_coarse(best) && reach < (bound - best).abs() {
            let near = best + reach.copysign(bound - best);
            if !accepts(near) {
                return near;
            }
            reach *= 2.0;
        }
        bound
    }

    /// An end for the devices of a batch, of which a whole number has the answer.
    fn whole(&self, end: f64, bound: f64) -> f64 {
        if self.scope == Scope::Population || end.total_cmp(&bound).is_eq() {
            return end;
        }
        let devices = end * self.reports;
        // Outward by a rounding.
        if bound < end {
            devices.ceil() / self.reports - ROUNDING
        } else {
            devices.floor() / self.reports + ROUNDING
        }
    }

    /// The furthest accepted rate near an end: with whole counts there may be gaps between accepted
    /// rates. One half may stand alone, where counts on both sides are as likely.
    fn beyond_gaps(&self, end: f64, bound: f64, accepts: impl Fn(f64) -> bool) -> f64 {
        let reach = GAPS * self.deviation_of_rate(end).min((bound - end).abs());
        let at = |step: u32| {
            end + (reach * f64::from(step) / f64::from(GAP_STEPS)).copysign(bound - end)
        };
        let found = (1..=GAP_STEPS).rev().find(|step| accepts(at(*step)));
        let end = found.map_or(end, |step| {
            furthest(at(step), at((step + 1).min(GAP_STEPS)), FEW_HALVINGS, &accepts)
        });
        let is_beyond = (0.5 - end) * (bound - 0.5) > 0.0 && (0.5 - end).abs() <= reach;
        if is_beyond && accepts(0.5) { 0.5 } else { end }
    }

    /// Whether counts whose likelihood ratio is as small as this one's, or smaller, are likelier than α.
    fn accepts(&self, rate: f64, count: f64, alpha: f64) -> bool {
        if self.is_coarse(rate) && count.fract() == 0.0 {
            return exact::p_value(self, rate, count) >= alpha;
        }
        let [skewness, excess] = self.shape(rate);
        let deviation = self.variance(rate).sqrt();
        let room = self.room(rate);
        let distance = count - self.mean(rate);
        Standing { distance, deviation, room, skewness, excess }.is_accepted(alpha)
    }

    /// Whether the normal distribution is too smooth for the count, so that its exact law is used. With
    /// several reports of one device there is no exact law of the population: how often which device
    /// reported is not known.
    fn is_coarse(&self, rate: f64) -> bool {
        let is_known = self.scope == Scope::Cohort || self.repeats <= 1.0;
        is_known && self.variance(rate) < COARSE
    }

    /// Skewness and excess kurtosis of the count; of the latter only the aggregators' part, since
    /// that of a sum over reports is one in its variance.
    fn shape(&self, rate: f64) -> [f64; 2] {
        let variance = self.variance(rate);
        if variance <= 0.0 {
            return [0.0, 0.0];
        }
        [
            self.reports * self.third(rate) / variance.powf(1.5),
            self.aggregators.fourth_cumulant() / (variance * variance),
        ]
    }

    /// The third cumulant of one report: of a lie, and in the population of the answer too, which m
    /// reports of a device have in common.
    fn third(&self, rate: f64) -> f64 {
        let third = |p: f64| p * (1.0 - p) * (1.0 - 2.0 * p);
        let [t, a, s] = [self.response.truth(), self.response.lie(), self.response.contrast()];
        let lies = rate * third(t) + (1.0 - rate) * third(a);
        match self.scope {
            Scope::Cohort => lies,
            Scope::Population => {
                let m = self.repeats;
                let both = 3.0 * m * s * rate * (1.0 - rate) * (t * (1.0 - t) - a * (1.0 - a));
                lies + both + m * m * s * s * s * third(rate)
            }
        }
    }

    /// The variance as a polynomial in the rate.
    fn variance_terms(&self) -> [f64; 3] {
        let (t, a, s) = (self.response.truth(), self.response.lie(), self.response.contrast());
        let n = self.reports;
        let constant = n * a * (1.0 - a) + self.aggregators.variance();
        let lies = n * (t * (1.0 - t) - a * (1.0 - a));
        match self.scope {
            Scope::Cohort => [constant, lies, 0.0],
            Scope::Population => {
                let answers = self.repeats * n * s * s;
                [constant, lies + answers, -answers]
            }
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

/// A count that varies by less than this, squared, has its exact law used.
const COARSE: f64 = 36.0;
/// How many deviations beyond an end gaps are looked for, in so many steps.
const GAPS: f64 = 1.0;
const GAP_STEPS: u32 = 10;
const ROUNDING: f64 = 1e-12;

/// The normal quantile `z`, moved out for tails with this excess kurtosis (Cornish and Fisher
/// 1938).
pub(super) fn heavier_tails(z: f64, excess: f64) -> f64 {
    z + excess * (z * z * z - 3.0 * z).max(0.0) / 24.0
}

/// Where the data stands beside what is expected of it if the truth is some value.
pub(super) struct Standing {
    /// The data above its mean.
    pub(super) distance: f64,
    /// Its standard deviation.
    pub(super) deviation: f64,
    /// How many deviations the mean is above that of the least possible value, and below that of the
    /// greatest.
    pub(super) room: [f64; 2],
    pub(super) skewness: f64,
    pub(super) excess: f64,
}

impl Standing {
    /// Whether data with a likelihood ratio as small as this, or smaller, is likelier than α.
    pub(super) fn is_accepted(&self, alpha: f64) -> bool {
        let Self { distance, deviation, room: [below, above], skewness, excess } = *self;
        if deviation <= 0.0 {
            return distance == 0.0;
        }
        let y = distance / deviation;
        let ratio = if y < 0.0 { log_ratio(-y, below) } else { log_ratio(y, above) };
        let outside = tail(reach(ratio, below), -skewness, excess)
            + tail(reach(ratio, above), skewness, excess);
        outside >= alpha
    }
}

/// The end of the accepted values between `best`, which is accepted if any is, and `bound`.
pub(super) fn furthest(best: f64, bound: f64, halvings: u32, accepts: impl Fn(f64) -> bool) -> f64 {
    if accepts(bound) {
        return bound;
    }
    let (mut inside, mut outside) = (best, bound);
    for _ in 0..halvings {
        let middle = f64::midpoint(inside, outside);
        if accepts(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    // Outward, so that rounding never loses the value that is still accepted.
    outside
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

/// Halvings of the whole range: 2^-36 is less than a device in a batch of 68 thousand million.
pub(super) const HALVINGS: u32 = 36;
/// Halvings of what is searched for an end by exact laws, a few deviations.
const FEW_HALVINGS: u32 = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(scope: Scope, reports: f64, variance: f64) -> CountNoise {
        let response = Response::new(0.9, 0.05).unwrap();
        let aggregators = AggregatorNoise::Gaussian { variance };
        CountNoise { response, reports, aggregators, scope, repeats: 1.0 }
    }

    #[test]
    fn without_a_randomizer_it_is_wilsons() {
        let response = Response::new(1.0, 0.0).unwrap();
        let scope = Scope::Population;
        let noise = CountNoise {
            response,
            reports: 100.0,
            aggregators: AggregatorNoise::None,
            scope,
            repeats: 1.0,
        };
        // Newcombe 1998 gives 81 of 263 as an example; both computed with z = 1.959964.
        for (count, reports, low, high) in
            [(81.0, 263.0, 0.255_3, 0.366_2), (150.0, 1480.0, 0.086_99, 0.117_77)]
        {
            let interval = CountNoise { reports, ..noise }.interval(count, Confidence::USUAL);
            assert!((interval.low - low).abs() < 5e-5, "{interval:?}");
            assert!((interval.high - high).abs() < 5e-5, "{interval:?}");
        }
    }

    #[test]
    fn few_counts_have_an_interval_by_their_exact_law() {
        let response = Response::new(1.0, 0.0).unwrap();
        let (aggregators, scope) = (AggregatorNoise::None, Scope::Population);
        let noise = CountNoise { response, reports: 1e6, aggregators, scope, repeats: 1.0 };
        // Feldman and Cousins' Table VI, 95 %, no background: Poisson counts.
        for (count, low, high) in [(0.0, 0.0, 3.09), (1.0, 0.05, 5.14), (3.0, 0.82, 8.25)] {
            let interval = noise.interval(count, Confidence::USUAL).scale(1e6);
            assert!((interval.low - low).abs() < 0.05, "{count}: {interval:?}");
            assert!((interval.high - high).abs() < 0.05, "{count}: {interval:?}");
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
        let noise = CountNoise {
            response,
            reports: 100.0,
            aggregators: AggregatorNoise::None,
            scope,
            repeats: 1.0,
        };
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
