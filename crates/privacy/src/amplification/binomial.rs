//! Binomial probabilities without special functions, and what is known of their errors.
//!
//! [`Window`] is the part of a binomial distribution that matters; [`FairTail`] walks along the
//! tail of a fair coin's distribution from one number of tosses to the next.

use std::ops::Range;

/// Blocks of values are at most this part of them. Where they are taken in place of their
/// beginning, ε grows by at most a quarter of it, relative to itself: 0.06 %.
const BLOCK: u64 = 400;

/// The part of a binomial distribution that matters.
///
/// Each probability errs by at most `(8·len + 16)·2^-53` relative to itself (each ratio has four
/// roundings and two rounded odds, they multiply up from the mode, and the sum has `len` terms),
/// if both given probabilities are right to `2^-52`; below 1e-10 for up to 10^5 terms.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// The value that the first probability belongs to.
    pub(crate) first: u64,
    pub(crate) probabilities: Vec<f64>,
    /// An upper bound on the probability of all values outside.
    pub(crate) tail: f64,
}

impl Window {
    /// The distribution of successes among `trials`, without what is less than `cut` of the
    /// largest probability. `success` and `failure` add up to 1, and are both given since one
    /// minus the other has lost digits.
    pub(crate) fn binomial(trials: u64, success: f64, failure: f64, cut: f64) -> Self {
        let mut window = Self::default();
        window.fill(trials, success, failure, cut);
        window
    }

    /// The same in place.
    pub(crate) fn fill(&mut self, trials: u64, success: f64, failure: f64, cut: f64) {
        self.probabilities.clear();
        self.tail = 0.0;
        if success <= 0.0 || failure <= 0.0 {
            self.first = if success > 0.0 { trials } else { 0 };
            self.probabilities.push(1.0);
            return;
        }
        let odds = success / failure;
        let mode = floor_to_count((to_float(trials) + 1.0) * success).min(trials);
        let below = |x: u64| to_float(x) / (to_float(trials - x + 1) * odds);
        let down = self.extend((1..=mode).rev().map(below), 1.0, cut);
        self.first = mode - (self.probabilities.len() as u64);
        self.probabilities.reverse();
        self.probabilities.push(1.0);
        let above = |x: u64| to_float(trials - x) * odds / to_float(x + 1);
        let up = self.extend((mode..trials).map(above), 1.0, cut);
        let sum: f64 = self.probabilities.iter().sum();
        let scale = 1.0 / sum;
        self.probabilities.iter_mut().for_each(|probability| *probability *= scale);
        self.tail = (down + up) * scale * (1.0 + 1e-9);
    }

    /// Multiplies ratios up until the product falls below `cut`; a bound on all that follow. The
    /// ratios only fall (the distribution is log-concave), so what follows is at most geometric.
    fn extend(&mut self, ratios: impl Iterator<Item = f64>, start: f64, cut: f64) -> f64 {
        let mut product = start;
        for ratio in ratios {
            product *= ratio;
            if product < cut && ratio < 1.0 {
                return product / (1.0 - ratio);
            }
            self.probabilities.push(product);
        }
        0.0
    }

    /// The window's values from `least` on in blocks: where each block begins, which may be before
    /// the window, and the indices that it holds. Where blocks begin does not depend on the window:
    /// they are a power of two wide, at most the [`BLOCK`]th part of their values.
    pub(super) fn blocks(&self, least: u64) -> impl Iterator<Item = (u64, Range<usize>)> + use<> {
        let (first, end) = (self.first, self.last() + 1);
        let index = move |value: u64| usize::try_from(value - first).unwrap_or(usize::MAX);
        let mut next = first.max(least);
        std::iter::from_fn(move || {
            let value = next;
            let width = 1 << (value / BLOCK).max(1).ilog2();
            let start = value - value % width;
            next = (start + width).min(end);
            (value < end).then(|| (start, index(value)..index(next)))
        })
    }

    /// The last value inside.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.probabilities.len() as u64 - 1
    }
}

/// `Pr[X = at]` and `Pr[X >= at]` for X ~ Bin(`trials`, ½), carried along as both change.
///
/// `point` only ever multiplies, a few roundings a step. `tail` is a sum of positive terms when
/// made; one kind of step subtracts from it, and when the digits lost that way amount to a factor
/// of [`MOST_LOST`] it is summed anew. So after N steps both err by less than
/// `MOST_LOST·(6N + len + 100)·2^-53` relative to themselves: below 1e-9 for N = 10^5.
#[derive(Clone, Debug)]
pub(super) struct FairTail {
    trials: u64,
    at: u64,
    pub(super) point: f64,
    pub(super) tail: f64,
    lost: f64,
}

/// The factor by which subtractions may magnify the relative error of a tail.
const MOST_LOST: f64 = 8.0;
/// Terms below this, relative to the largest, cannot be seen in a sum.
const UNSEEN: f64 = 1e-25;

impl FairTail {
    /// At a value of at most `trials`.
    pub(super) fn new(trials: u64, at: u64) -> Self {
        let window = Window::binomial(trials, 0.5, 0.5, UNSEEN);
        let mode = trials / 2;
        let index = usize::try_from(mode - window.first).unwrap_or(usize::MAX);
        let mut point = window.probabilities.get(index).copied().unwrap_or(1.0);
        for x in mode..at {
            point *= to_float(trials - x) / to_float(x + 1);
        }
        for x in at..mode {
            point *= to_float(x + 1) / to_float(trials - x);
        }
        let mut fair = Self { trials, at, point, tail: 0.0, lost: 1.0 };
        fair.sum();
        fair
    }

    pub(super) fn trials(&self) -> u64 {
        self.trials
    }

    /// One toss fewer, at `at` or, if that is smaller, where it is.
    pub(super) fn descend(&mut self, at: u64) {
        let (trials, here, before) = (to_float(self.trials), to_float(self.at), self.tail);
        let one_less = here / trials;
        // Pr[the first tosses had one less than here and the last one came on].
        let step = self.point * one_less;
        self.trials -= 1;
        if at >= self.at {
            self.tail -= step;
            self.point *= 2.0 - 2.0 * one_less;
        } else {
            self.tail += step;
            self.point = 2.0 * step;
            self.at -= 1;
        }
        while self.at > at {
            self.point *= to_float(self.at) / to_float(self.trials - self.at + 1);
            self.at -= 1;
            self.tail += self.point;
        }
        // What was off by so much before is off by as much now, relative to more or to less.
        self.lost = (self.lost * before / self.tail.max(f64::MIN_POSITIVE)).max(1.0);
        if self.lost > MOST_LOST {
            self.sum();
        }
    }

    /// Sums the tail from its terms; what is left out is bounded by a geometric series and added.
    fn sum(&mut self) {
        let (mut term, mut sum) = (self.point, self.point);
        for x in self.at..self.trials {
            let ratio = to_float(self.trials - x) / to_float(x + 1);
            term *= ratio;
            sum += term;
            if term < 1e-17 * sum && ratio < 1.0 {
                sum += term * ratio / (1.0 - ratio);
                break;
            }
        }
        self.tail = sum;
        self.lost = 1.0;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of reports are below 2^53")]
pub(crate) fn to_float(count: u64) -> f64 {
    count as f64
}

/// The whole part of a number that is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and callers clamp"
)]
pub(crate) fn floor_to_count(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(trials: u64, success: f64) -> Vec<f64> {
        let mut row = vec![1.0];
        for _ in 0..trials {
            let mut next = vec![0.0; row.len() + 1];
            for (i, probability) in row.iter().enumerate() {
                next[i] += probability * (1.0 - success);
                next[i + 1] += probability * success;
            }
            row = next;
        }
        row
    }

    #[test]
    fn a_window_agrees_with_pascals_triangle() {
        for (trials, success) in [(0, 0.3), (1, 0.5), (7, 0.01), (40, 0.9), (300, 0.2)] {
            let window = Window::binomial(trials, success, 1.0 - success, 1e-12);
            let exact = exact(trials, success);
            let mut outside = 1.0;
            for (i, probability) in window.probabilities.iter().enumerate() {
                let expected = exact[usize::try_from(window.first).unwrap() + i];
                assert!((probability / expected - 1.0).abs() < 1e-10, "{trials} {success} {i}");
                outside -= expected;
            }
            assert!(outside <= window.tail + 1e-14, "{outside} is above {}", window.tail);
        }
    }

    #[test]
    fn blocks_hold_each_value_once_and_begin_at_or_before_it() {
        for (trials, success, least) in [(9, 0.3, 0), (9, 0.3, 1), (9_000, 0.5, 1), (0, 0.5, 1)] {
            let window = Window::binomial(trials, success, 1.0 - success, 1e-12);
            let mut next = usize::from(window.first < least);
            for (start, indices) in window.blocks(least) {
                assert_eq!(indices.start, next);
                let first = window.first + indices.start as u64;
                assert!(start <= first && first - start <= first / BLOCK);
                next = indices.end;
            }
            assert_eq!(next, window.probabilities.len());
        }
    }

    #[test]
    fn certain_outcomes_need_no_window() {
        assert_eq!(Window::binomial(9, 1.0, 0.0, 1e-9).first, 9);
        assert_eq!(Window::binomial(9, 0.0, 1.0, 1e-9).last(), 0);
    }

    #[test]
    fn walking_down_a_tail_agrees_with_summing_it() {
        for (slope, shift) in [(0.55, 10.0), (0.9, 2.0), (0.5, 40.0), (0.7, 0.0)] {
            let at = |trials: u64| floor_to_count(slope * to_float(trials) + shift);
            let mut fair = FairTail::new(300, at(300));
            for trials in (0..300).rev() {
                if at(trials) > trials {
                    break;
                }
                fair.descend(at(trials));
                let fresh = FairTail::new(trials, at(trials));
                assert!((fair.point / fresh.point - 1.0).abs() < 1e-12, "{slope} {trials}");
                assert!((fair.tail / fresh.tail - 1.0).abs() < 1e-11, "{slope} {trials}");
            }
        }
        let exact: f64 = exact(30, 0.5)[21..].iter().sum();
        assert!((FairTail::new(30, 21).tail / exact - 1.0).abs() < 1e-13);
    }
}
