//! Exact figures of one large batch: what a device's reports show when all others give the third of
//! three answers. They are a lower bound on the truth.

use super::exact::probabilities;
use sottovoce_privacy::{noise::AggregatorNoise, randomizer::KaryRandomizer};

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

/// The counts in the first two bins by a device's own reports, with the probability of both under
/// the first answer and under the second.
fn own_counts(randomizer: &KaryRandomizer, reports: usize) -> Vec<(usize, usize, f64, f64)> {
    assert_eq!(randomizer.bins(), 3);
    let chances = [randomizer.truth_probability(), randomizer.lie_probability()];
    let table = two_counts(reports, chances, reports + 1);
    let each = |i: usize| (0..=reports - i).map(move |j| (i, j));
    (0..=reports).flat_map(each).map(|(i, j)| (i, j, table[i][j], table[j][i])).collect()
}

/// `reports` of a device that always gives the first answer, or always the second, each drawn by
/// itself and counted `times`, in a batch of `honest` reports, without noise.
pub(crate) fn in_a_crowd(
    randomizer: &KaryRandomizer,
    honest: usize,
    reports: usize,
    times: usize,
) -> Pair {
    let lie = randomizer.lie_probability();
    let mean = honest as f64 * lie;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a window")]
    let width = (mean + 20.0 * mean.sqrt()) as usize + reports * times + 20;
    let others = two_counts(honest - reports, [lie, lie], width);
    let others = |x: usize, y: usize| others[x][y];
    together(width, &own_counts(randomizer, reports), times, others)
}

/// The same where all others' reports are known and each count has noise; the third count is not
/// looked at, which can only show less.
pub(crate) fn in_noise(
    randomizer: &KaryRandomizer,
    noise: AggregatorNoise,
    reports: usize,
    times: usize,
) -> Pair {
    let noise = probabilities(noise);
    let at = |x: usize| noise.get(x).copied().unwrap_or(0.0);
    let width = noise.len() + reports * times;
    together(width, &own_counts(randomizer, reports), times, |x, y| at(x) * at(y))
}

/// All totals of what a device adds to what is there without it.
fn together(
    width: usize,
    own: &[(usize, usize, f64, f64)],
    times: usize,
    rest: impl Fn(usize, usize) -> f64,
) -> Pair {
    let total = |(x, y): (usize, usize)| {
        own.iter().fold((0.0, 0.0), |(one, two), (i, j, first, second)| {
            let below = (x.checked_sub(i * times), y.checked_sub(j * times));
            let (Some(x), Some(y)) = below else { return (one, two) };
            let rest = rest(x, y);
            (one + first * rest, two + second * rest)
        })
    };
    let all = (0..width).flat_map(|x| (0..width).map(move |y| (x, y)));
    Pair(all.map(total).collect())
}
