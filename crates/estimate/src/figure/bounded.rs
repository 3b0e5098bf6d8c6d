//! Sums and ratios that have a range: a share, or a mean of scores, cannot leave that of its scores.
//!
//! Near an end of the range the estimate's own variance says too little: where hardly anybody
//! answered otherwise, it is close to nothing. So the interval is made as that of a rate
//! ([`interval`](super::super::interval)): each value R that there could be is tested, by `N - R·D`
//! with the variance and the skewness that it has if R is true. What the rates would be then, is what
//! the data makes plausible, tilted until the value is R (`p_j e^{θ w_j/v_j}`, exponential tilting,
//! Efron 1981; for a share among two answers there is no other way).

use super::{Scope, count_weights, dot, moments};
use crate::{
    interval::{self, Interval, Standing, furthest},
    noisy_counts::NoisyCounts,
};

/// `Σ w_j π_j / Σ v_j π_j`; or the sum of the numerator, where all rates together are 1.
pub(super) struct Bounded<'a> {
    release: &'a NoisyCounts,
    numerator: &'a [f64],
    denominator: Option<&'a [f64]>,
    scope: Scope,
    range: Interval,
    /// N and D.
    sums: [f64; 2],
    /// Plausible rates, none of them quite 0, together 1.
    rates: Vec<f64>,
}

impl<'a> Bounded<'a> {
    /// Nothing if the value has no range: signals that are free, or weights that are no scores.
    pub(super) fn new(
        release: &'a NoisyCounts,
        numerator: &'a [f64],
        denominator: Option<&'a [f64]>,
        scope: Scope,
    ) -> Option<Self> {
        if !release.channel().is_exclusive() {
            return None;
        }
        let range = range(numerator, denominator)?;
        let raw = release.rates();
        let sums = [dot(&raw, numerator), denominator.map_or(1.0, |weights| dot(&raw, weights))];
        let little = LITTLE / release.n();
        let rates: Vec<f64> =
            release.plausible_rates().into_iter().map(|rate| rate + little).collect();
        let total: f64 = rates.iter().sum();
        let rates = rates.into_iter().map(|rate| rate / total).collect();
        Some(Self { release, numerator, denominator, scope, range, sums, rates })
    }

    /// Where the value can be.
    pub(super) fn range(&self) -> Interval {
        self.range
    }

    /// Whether a value is so far inside that its own variance will do.
    pub(super) fn is_far_inside(&self, value: f64) -> bool {
        self.range.contains(value) && self.standing(value).room.into_iter().all(|room| room >= FAR)
    }

    /// The values that the data does not contradict.
    pub(super) fn interval(&self, alpha: f64) -> Interval {
        let Interval { low, high } = self.range;
        let best = (self.sums[0] / self.sums[1]).clamp(low, high);
        let accepts = |value: f64| self.standing(value).is_accepted(alpha);
        let end = |bound: f64| furthest(best, bound, interval::HALVINGS, accepts);
        Interval { low: end(low), high: end(high) }
    }

    /// The data beside what is expected of it if the value is this one.
    fn standing(&self, value: f64) -> Standing {
        let Self { release, range, sums, .. } = self;
        let rates = self.tilted(value);
        let contrast: Vec<f64> = match self.denominator {
            None => self.numerator.to_vec(),
            Some(weights) => {
                self.numerator.iter().zip(weights).map(|(w, v)| w - value * v).collect()
            }
        };
        let [variance, third] = moments::of_one_report(release, &contrast, &rates, self.scope);
        let (n, noise) = (release.n(), release.noise());
        let weights = || count_weights(release, &contrast);
        let variance = variance / n + weights().map(|w| w * w).sum::<f64>() * noise.variance();
        let fourth = weights().map(|w| w.powi(4)).sum::<f64>() * noise.fourth_cumulant();
        let (deviation, some) = (variance.sqrt(), variance.max(f64::MIN_POSITIVE));
        let slope = self.denominator.map_or(1.0, |weights| dot(&rates, weights));
        let room = [value - range.low, range.high - value];
        Standing {
            distance: sums[0] - value * sums[1],
            deviation,
            room: room.map(|room| room * slope / some.sqrt()),
            skewness: third / (n * n) / some.powf(1.5),
            excess: fourth / (some * some),
        }
    }

    /// Rates with which the value is this one.
    fn tilted(&self, value: f64) -> Vec<f64> {
        let width = self.range.high - self.range.low;
        let position = |value: f64| ((value - self.range.low) / width).clamp(0.0, 1.0);
        let weight = |bin: usize| self.denominator.map_or(1.0, |weights| weights[bin]);
        // What counts in the value, by its place in the range.
        let bins = (0..self.rates.len()).filter(|bin| weight(*bin) > 0.0);
        let counted: Vec<Counted> = bins
            .map(|bin| Counted {
                bin,
                mass: weight(bin) * self.rates[bin],
                position: position(self.numerator[bin] / weight(bin)),
            })
            .collect();
        let factors = factors(&counted, position(value));
        let mut rates = self.rates.clone();
        for (Counted { bin, .. }, factor) in counted.iter().zip(factors) {
            rates[*bin] *= factor;
        }
        rates
    }
}

/// A bin that counts in the value.
struct Counted {
    bin: usize,
    mass: f64,
    /// From 0 to 1.
    position: f64,
}

/// What the masses are multiplied by so that their mean position is `target` and their sum stays.
fn factors(counted: &[Counted], target: f64) -> Vec<f64> {
    let total: f64 = counted.iter().map(|one| one.mass).sum();
    // Measured from the end that grows, so that nothing overflows.
    let tilt = |theta: f64| {
        let from = if theta > 0.0 { 1.0 } else { 0.0 };
        move |one: &Counted| (theta * (one.position - from)).exp()
    };
    let sums = |theta: f64| {
        let factor = tilt(theta);
        counted.iter().fold([0.0; 2], |[mass, moment], one| {
            let tilted = one.mass * factor(one);
            [mass + tilted, moment + tilted * one.position]
        })
    };
    let (mut low, mut high) = (-STEEPEST, STEEPEST);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        let [mass, moment] = sums(middle);
        if moment < target * mass { low = middle } else { high = middle }
    }
    let theta = f64::midpoint(low, high);
    let scale = total / sums(theta)[0];
    counted.iter().map(tilt(theta)).map(|factor| factor * scale).collect()
}

/// A value with so many deviations of room on both sides has an interval by its own variance.
const FAR: f64 = 8.0;
/// Devices that are added to each bin, so that each can be tilted to.
const LITTLE: f64 = 0.5;
/// A tilt that leaves nothing but one end.
const STEEPEST: f64 = 200.0;
const HALVINGS: u32 = 40;

/// The range of the scores `w_j/v_j`, if these are scores that differ.
fn range(numerator: &[f64], denominator: Option<&[f64]>) -> Option<Interval> {
    let mut range = Interval { low: f64::INFINITY, high: f64::NEG_INFINITY };
    for (bin, score) in numerator.iter().enumerate() {
        let weight = denominator.map_or(1.0, |weights| weights[bin]);
        if weight < 0.0 || (weight == 0.0 && *score != 0.0) {
            return None;
        }
        if weight > 0.0 {
            let score = score / weight;
            range = Interval { low: range.low.min(score), high: range.high.max(score) };
        }
    }
    (range.low < range.high).then_some(range)
}
