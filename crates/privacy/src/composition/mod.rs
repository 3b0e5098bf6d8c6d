//! Composition by privacy-loss distributions: what several releases reveal together.
//!
//! A mechanism's privacy-loss distribution says how large the log-likelihood ratio between two
//! neighbours is, and how often. For independent releases losses add up, so distributions are
//! convolved. All is *pessimistic*: each distribution here belongs to a pair that is at least as
//! easy to tell apart as any two neighbours, at every ε at once, and such pairs compose (also when
//! later questions depend on earlier releases, as long as the parameters were fixed before).
//!
//! Losses lie on a grid. A bound on the curve δ(ε), or a loss between two grid points, is brought
//! there by *connecting the dots* (Doroshenko, Ghazi, Kamath, Kumar and Manurangsi 2022): δ is
//! convex in e^ε, so the chords between values at grid points lie above it, and the pair whose
//! curve is made of these chords dominates. Convolution is direct, a sum of positive terms: a fast
//! Fourier transform would add errors of one sign and the other that are larger than the δ wanted.
//!
//! Proof obligations, and what covers them. Masses may add up to a little more than one, since a
//! pair of measures that dominates still does after its masses are raised; so each step rounds by
//! raising masses: a convolution of length `len` by `len·2^-50`, everything else by [`OUTWARD`].
//! Mass that is cut off at the upper end counts as an infinite loss, at the lower end as the
//! smallest loss that is kept.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "indices on the grid are far below 2^31"
)]

mod gaussian;

use super::amplification::search::pointwise;
use std::ops::Range;
use thiserror::Error;

pub use gaussian::{discrete_gaussian, discrete_laplace, discrete_laplace_epsilon};

/// What cannot be composed or made.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum CompositionError {
    /// A number outside its range.
    #[error("{name} = {value} must be {valid}")]
    OutOfRange {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What is possible.
        valid: &'static str,
    },
}

/// An upper bound on the privacy loss between neighbours, as a distribution on a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct PrivacyLoss {
    /// The distance of grid points.
    step: f64,
    /// The first mass is at `first · step`.
    first: i64,
    masses: Vec<f64>,
    /// The mass of an infinite loss.
    infinite: f64,
    /// Masses up to this may be moved up.
    negligible: f64,
}

/// Grid points above zero for one mechanism: about a sixteenth of a standard deviation apart. The
/// grid adds a sixth of a step squared to the variance, less than 0.1 % of it.
const POINTS: i64 = 128;
/// Beyond this many masses the grid is made coarser: by now steps are far below a hundredth of the
/// standard deviation.
const MOST_POINTS: usize = 3000;
/// The scans for a pointwise bound, each narrower than the one before, and the values of each.
const SCANS: u32 = 4;
const SCANNED: u32 = 24;
/// More than the relative error of a few roundings and of [`POINTS`] additions.
const OUTWARD: f64 = 1e-13;

impl PrivacyLoss {
    /// Nothing is revealed.
    pub fn none() -> Self {
        Self { step: 1.0, first: 0, masses: vec![1.0], infinite: 0.0, negligible: 0.0 }
    }

    /// What a mechanism with pure ε may reveal at most: the loss of randomized response.
    pub fn pure(epsilon: f64) -> Self {
        if epsilon <= 0.0 {
            return Self::none();
        }
        let up = 1.0 / (1.0 + (-epsilon).exp());
        let mut masses = vec![0.0; 65];
        masses[0] = (1.0 - up).max(0.0) * (1.0 + OUTWARD) + OUTWARD * up;
        masses[64] = up * (1.0 + OUTWARD);
        Self {
            // Exactly a part of it: then whole numbers stay whole.
            step: epsilon / 32.0,
            first: -32,
            masses,
            infinite: 0.0,
            negligible: 0.0,
        }
    }

    /// What an (ε, δ) mechanism may reveal at most: everything with probability δ, and otherwise
    /// what a pure one does.
    pub fn approximate(epsilon: f64, delta: f64) -> Self {
        let mut loss = Self::pure(epsilon);
        for mass in &mut loss.masses {
            *mass *= (1.0 - delta).max(0.0) * (1.0 + OUTWARD);
        }
        loss.infinite = delta;
        loss
    }

    /// From upper bounds on δ(ε), the same in both directions. `curve` gives them for ascending ε
    /// from 0 to `limit`; beyond, at most the last one is lost.
    pub(crate) fn from_curve(
        limit: f64,
        negligible: f64,
        curve: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Self {
        let step = (limit * (1.0 + OUTWARD)).max(f64::MIN_POSITIVE) / POINTS as f64;
        let epsilons: Vec<f64> = (0..=POINTS).map(|i| i as f64 * step).collect();
        let deltas = curve(&epsilons);
        // δ(-ε) = 1 - e^-ε·(1 - δ(ε)), of the other direction, which is the same.
        let mirrored = epsilons
            .iter()
            .zip(&deltas)
            .skip(1)
            .rev()
            .map(|(epsilon, delta)| (-epsilon).exp() * delta - (-epsilon).exp_m1());
        let deltas: Vec<f64> = mirrored.chain(deltas.iter().copied()).collect();
        let (masses, infinite) = connect(step, -POINTS, &deltas);
        Self { step, first: -POINTS, masses, infinite, negligible }
    }

    /// From a distribution of losses, in any order, as (loss, mass).
    pub(crate) fn from_losses(
        step: f64,
        negligible: f64,
        losses: &[(f64, f64)],
        infinite: f64,
    ) -> Self {
        let ends = losses
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), (loss, _)| (low.min(*loss), high.max(*loss)));
        let (first, last) = (floor_index(ends.0 / step), floor_index(ends.1 / step) + 1);
        let mut masses = vec![0.0; index(last - first) + 1];
        for (loss, mass) in losses {
            let below = floor_index(loss / step);
            // Of Q's mass e^-loss·mass each neighbour gets what keeps the sums of both.
            let up = -(below as f64 * step - loss).exp_m1() / -(-step).exp_m1();
            let up = up.clamp(0.0, 1.0);
            masses[index(below - first) + 1] += mass * (up + OUTWARD);
            masses[index(below - first)] += mass * (1.0 - up);
        }
        Self { step, first, masses, infinite, negligible }
    }

    /// Masses that cannot be seen when δ is read at `delta` or above.
    pub(crate) fn negligible(delta: f64) -> f64 {
        delta * 1e-7
    }

    /// The distribution of one release after the other.
    #[must_use]
    pub fn then(&self, other: &Self) -> Self {
        let negligible = match (self.negligible, other.negligible) {
            (none, some) | (some, none) if none <= 0.0 => some,
            (one, two) => one.min(two),
        };
        if self.masses.len() == 1 && self.first == 0 {
            return Self { infinite: self.infinite + other.infinite, negligible, ..other.clone() };
        }
        if other.masses.len() == 1 && other.first == 0 {
            return other.then(self);
        }
        // The finer grid, unless it would have too many points.
        let range = |loss: &Self| loss.masses.len() as f64 * loss.step;
        let least = (range(self) + range(other)) / MOST_POINTS as f64;
        let same = self.is_on_grid(other.step);
        let step = if same { self.step } else { self.step.min(other.step).max(least) };
        let (one, two) = (self.on_grid(step), other.on_grid(step));
        let (sum_one, sum_two) = (one.total(), two.total());
        let infinite = (one.infinite * sum_two + two.infinite * sum_one) * (1.0 + OUTWARD);
        let masses = convolve(&one.masses, &two.masses);
        let first = one.first + two.first;
        Self { step, first, masses, infinite, negligible }.trimmed()
    }

    /// The distribution of `times` such releases.
    #[must_use]
    pub fn repeated(&self, times: u64) -> Self {
        let mut result = Self::none();
        let mut power = self.clone();
        let mut left = times;
        while left > 0 {
            if left % 2 == 1 {
                result = result.then(&power);
            }
            left /= 2;
            if left > 0 {
                power = power.then(&power);
            }
        }
        result
    }

    /// An upper bound on δ at an ε.
    pub fn delta(&self, epsilon: f64) -> f64 {
        let above = self.masses.iter().enumerate().rev().map(|(i, mass)| (self.loss(i), mass));
        let losses = above.take_while(|(loss, _)| *loss > epsilon);
        let sum: f64 = losses.map(|(loss, mass)| -mass * (epsilon - loss).exp_m1()).sum();
        // The rounding of a loss of a few tens moves its term by 1e-14.
        (sum * (1.0 + 1e-9) + self.infinite).min(1.0)
    }

    /// The smallest ε whose δ is at most this, up to 1e-9 of a step; `None` if there is none.
    pub fn epsilon(&self, delta: f64) -> Option<f64> {
        if self.infinite > delta || delta.is_nan() {
            return None;
        }
        if self.delta(0.0) <= delta {
            return Some(0.0);
        }
        // δ at the last loss is the infinite one's.
        let (mut low, mut high) = (0.0, self.loss(self.masses.len() - 1).max(0.0));
        while high - low > 1e-9 * self.step + 1e-12 * high {
            let middle = f64::midpoint(low, high);
            if self.delta(middle) <= delta { high = middle } else { low = middle }
        }
        Some(high)
    }

    /// What the privacy loss of any pair of neighbours exceeds with a probability of at most `delta`;
    /// `None` if nothing is proved. The distribution's own tail would not do: that of a pair that it
    /// dominates may be heavier. Its curve does, as [`search`](super::amplification::search) says.
    pub fn pointwise(&self, delta: f64) -> Option<f64> {
        let from = self.epsilon(delta)?;
        let last = self.loss(self.masses.len() - 1).max(0.0);
        let proved = |epsilon: f64| pointwise(epsilon, self.delta(epsilon), delta);
        let (mut low, mut width) = (from, (last - from).max(0.0));
        let mut best = proved(last);
        // Values near the best are all near the best, so that a few rounds of a scan find it, whatever
        // the curve's steps.
        for _ in 0..SCANS {
            let at = |i: u32| low + width * f64::from(i) / f64::from(SCANNED);
            let values = (0..=SCANNED).map(|i| (proved(at(i)), at(i)));
            let (found, place) =
                values.fold((f64::INFINITY, low), |a, b| if b.0 < a.0 { b } else { a });
            best = best.min(found);
            width *= 2.0 / f64::from(SCANNED);
            low = (place - width / 2.0).max(from);
        }
        best.is_finite().then_some(best)
    }

    fn loss(&self, index: usize) -> f64 {
        (self.first + index as i64) as f64 * self.step
    }

    fn total(&self) -> f64 {
        (self.masses.iter().sum::<f64>() + self.infinite) * (1.0 + 1e-12)
    }

    #[expect(clippy::float_cmp, reason = "almost the same grid is another grid")]
    fn is_on_grid(&self, step: f64) -> bool {
        self.step == step
    }

    /// The same on another grid, coarser or finer.
    fn on_grid(&self, step: f64) -> Self {
        if self.is_on_grid(step) {
            return self.clone();
        }
        let losses: Vec<(f64, f64)> =
            self.masses.iter().enumerate().map(|(i, mass)| (self.loss(i), *mass)).collect();
        Self::from_losses(step, self.negligible, &losses, self.infinite)
    }

    /// Without negligible ends, and on a coarser grid if there are too many points.
    fn trimmed(mut self) -> Self {
        let kept = kept(&self.masses, self.negligible);
        self.infinite += self.masses[kept.end..].iter().sum::<f64>() * (1.0 + OUTWARD);
        let low: f64 = self.masses[..kept.start].iter().sum();
        self.masses.truncate(kept.end);
        self.masses.drain(..kept.start);
        self.masses[0] += low * (1.0 + OUTWARD);
        self.first += kept.start as i64;
        if self.masses.len() > MOST_POINTS { self.on_grid(self.step * 2.0) } else { self }
    }
}

/// The masses of the pair whose curve connects these values of δ, which are at `e^(i·step)` for i
/// from `first` on, and the mass of an infinite loss. Values that rounding made not convex are
/// raised until they are.
fn connect(step: f64, first: i64, deltas: &[f64]) -> (Vec<f64>, f64) {
    let mut masses = vec![0.0; deltas.len()];
    let infinite = deltas.last().copied().unwrap_or(1.0).max(0.0);
    // From the top down: the curve's height, and its slope (in e^ε, downwards), which is the mass
    // that Q has above.
    let (mut height, mut slope, mut total) = (infinite, 0.0_f64, infinite);
    for i in (0..deltas.len().saturating_sub(1)).rev() {
        let e = ((first + i as i64) as f64 * step).exp();
        let distance = e * step.exp_m1();
        let steeper = slope.max((deltas[i] - height) / distance);
        let upper = ((first + i as i64 + 1) as f64 * step).exp();
        masses[i + 1] = upper * (steeper - slope) * (1.0 + OUTWARD);
        total += masses[i + 1];
        slope = steeper;
        height += slope * distance;
    }
    // Below the first point the chord from there to the whole mass at e^ε = 0.
    masses[0] = (1.0 - total).max(0.0) + 4.0 * OUTWARD;
    (masses, infinite)
}

/// All products, each rounding up; the longer one inside, for the processor's sake.
fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (outer, inner) = if a.len() < b.len() { (a, b) } else { (b, a) };
    let mut sums = vec![0.0; a.len() + b.len() - 1];
    for (i, mass) in outer.iter().enumerate() {
        if *mass > 0.0 {
            let target = &mut sums[i..i + inner.len()];
            for (sum, other) in target.iter_mut().zip(inner) {
                *sum += mass * other;
            }
        }
    }
    let up = 1.0 + (outer.len() + 8) as f64 * 4.0 * f64::EPSILON;
    for sum in &mut sums {
        *sum *= up;
    }
    sums
}

/// The indices between which all but `negligible` mass at either end is; never empty.
fn kept(masses: &[f64], negligible: f64) -> Range<usize> {
    let few = |masses: &mut dyn Iterator<Item = &f64>| {
        let mut sum = 0.0;
        masses
            .take_while(|mass| {
                sum += **mass;
                sum <= negligible
            })
            .count()
    };
    let start = few(&mut masses.iter()).min(masses.len() - 1);
    let end = masses.len() - few(&mut masses[start + 1..].iter().rev());
    start..end
}

fn floor_index(value: f64) -> i64 {
    value.floor() as i64
}

fn index(difference: i64) -> usize {
    usize::try_from(difference).unwrap_or(0)
}

#[cfg(test)]
mod tests;
