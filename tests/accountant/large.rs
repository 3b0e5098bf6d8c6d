//! Exact figures of one large batch: what a device's reports show when all others give the third of
//! three answers. They are a lower bound on the truth.

use super::exact::probabilities;
use sottovoce::privacy::{noise::AggregatorNoise, randomizer::KaryRandomizer};

/// Pairs of probabilities of the same outcome, under one answer and under another.
pub(crate) struct Pair(Vec<(f64, f64)>);

impl Pair {
    /// δ at ε, in the worse direction.
    pub(crate) fn delta(&self, epsilon: f64) -> f64 {
        let e = epsilon.exp();
        let one = self.0.iter().map(|(p, q)| (p - e * q).max(0.0)).sum::<f64>();
        one.max(self.0.iter().map(|(p, q)| (q - e * p).max(0.0)).sum())
    }

    /// The smallest ε at δ.
    pub(crate) fn epsilon(&self, delta: f64) -> f64 {
        smallest(|epsilon| self.delta(epsilon) <= delta)
    }

    /// The probability, under either, that the loss is above ε.
    pub(crate) fn exceeds(&self, epsilon: f64) -> f64 {
        let e = epsilon.exp();
        let one: f64 = self.0.iter().filter(|(p, q)| *p > e * q).map(|(p, _)| p).sum();
        one.max(self.0.iter().filter(|(p, q)| *q > e * p).map(|(_, q)| q).sum())
    }

    /// The smallest ε that the loss exceeds with a probability of at most δ.
    pub(crate) fn pointwise(&self, delta: f64) -> f64 {
        smallest(|epsilon| self.exceeds(epsilon) <= delta)
    }
}

fn smallest(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 200.0);
    while high - low > 1e-7 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

/// `ln n!` for all n up to a number.
fn log_factorials(most: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let steps = (1..=most).map(|n| {
        sum += (n as f64).ln();
        sum
    });
    std::iter::once(0.0).chain(steps.collect::<Vec<_>>()).collect()
}

/// The probabilities of counts in the first two of three bins, by `n` reports with these chances.
fn two_counts(n: usize, chances: [f64; 2], width: usize) -> Vec<Vec<f64>> {
    let logs = log_factorials(n);
    let rest = (1.0 - chances[0] - chances[1]).ln();
    let [one, two] = chances.map(f64::ln);
    let probability = |i: usize, j: usize| {
        if i + j > n {
            return 0.0;
        }
        let ways = logs[n] - logs[i] - logs[j] - logs[n - i - j];
        (ways + i as f64 * one + j as f64 * two + (n - i - j) as f64 * rest).exp()
    };
    (0..width).map(|i| (0..width).map(|j| probability(i, j)).collect()).collect()
}

/// `reports` of a device that always gives the first answer, or always the second, each drawn by
/// itself and counted `times`, in a batch of `honest` reports, without noise.
pub(crate) fn in_a_crowd(
    randomizer: &KaryRandomizer,
    honest: usize,
    reports: usize,
    times: usize,
) -> Pair {
    assert_eq!(randomizer.bins(), 3);
    let (truth, lie) = (randomizer.truth_probability(), randomizer.lie_probability());
    let mean = honest as f64 * lie;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a window")]
    let width = (mean + 20.0 * mean.sqrt()) as usize + reports * times + 20;
    let others = two_counts(honest - reports, [lie, lie], width);
    let own = two_counts(reports, [truth, lie], reports + 1);
    let mut pairs = Vec::with_capacity(width * width);
    for x in 0..width {
        for y in 0..width {
            let (mut one, mut two) = (0.0, 0.0);
            for i in 0..=reports.min(x / times) {
                for j in 0..=(reports - i).min(y / times) {
                    one += own[i][j] * others[x - i * times][y - j * times];
                }
            }
            for i in 0..=reports.min(x / times) {
                for j in 0..=(reports - i).min(y / times) {
                    two += own[j][i] * others[x - i * times][y - j * times];
                }
            }
            pairs.push((one, two));
        }
    }
    Pair(pairs)
}

/// The same where all others' reports are known and each count has noise; the third count is not
/// looked at, which can only show less.
pub(crate) fn in_noise(
    randomizer: &KaryRandomizer,
    noise: AggregatorNoise,
    reports: usize,
    times: usize,
) -> Pair {
    let (truth, lie) = (randomizer.truth_probability(), randomizer.lie_probability());
    let noise = probabilities(noise);
    let own = two_counts(reports, [truth, lie], reports + 1);
    let width = noise.len() + reports * times;
    let at = |x: usize, shift: usize| {
        x.checked_sub(shift).and_then(|x| noise.get(x)).copied().unwrap_or(0.0)
    };
    let mut pairs = Vec::with_capacity(width * width);
    for x in 0..width {
        for y in 0..width {
            let (mut one, mut two) = (0.0, 0.0);
            for i in 0..=reports {
                let first = at(x, i * times);
                for j in 0..=reports - i {
                    let both = first * at(y, j * times);
                    one += own[i][j] * both;
                    two += own[j][i] * both;
                }
            }
            pairs.push((one, two));
        }
    }
    Pair(pairs)
}
