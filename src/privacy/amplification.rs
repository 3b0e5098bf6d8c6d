//! Amplification by aggregation: what a batch reveals of one report when only its sum is seen.
//!
//! k-ary randomized response reports, with probability γ = ka, a uniformly random bin: a
//! *blanket* that the target hides in (Balle, Bell, Gascón and Nissim, 2019, "The Privacy Blanket
//! of the Shuffle Model"). Revealing every report that is not part of the blanket leaves, with
//! `(h0, h1, hr)` drawn from a multinomial of n trials with probabilities a, a and (k-2)a,
//!
//! ```text
//! δ(ε) = (1/n) · E[ ((p-1)(h0 - e^ε·h1) - (e^ε-1)(h0+h1+hr))₊ ]
//! ```
//!
//! which holds for every dataset of the other users and in both directions. It is evaluated
//! exactly, as a sum of non-negative terms, and rounded outward. The published "variation-ratio"
//! parameters for k ≥ 4 are smaller than the truth and must not be used.
//!
//! With T the size of the blanket and u = h0+h1, the expectation is taken over T ~ Bin(n, ka), then
//! u ~ Bin(T, 2/k), then h0 ~ Bin(u, ½). Where there are many T they are taken in blocks: the inner
//! expectation divided by T does not grow with T, since one more blanket report is
//! post-processing, so the value at a block's beginning bounds the whole block.

use super::{
    randomizer::KaryRandomizer,
    units::{Delta, Epsilon},
};

/// The smallest ε that is proved for `honest` reports (the target's included) at `delta`; `None`
/// if nothing is: no report, or δ = 0.
pub fn epsilon_upper(randomizer: &KaryRandomizer, honest: u64, delta: Delta) -> Option<Epsilon> {
    if honest == 0 || delta == Delta::ZERO {
        return None;
    }
    let blanket = Blanket::new(randomizer, honest);
    let (mut low, mut high) = (0.0, randomizer.epsilon().get());
    while high - low > RESOLUTION * high.max(RESOLUTION) {
        let middle = f64::midpoint(low, high);
        if blanket.delta_upper(middle) <= delta.get() { high = middle } else { low = middle }
    }
    Epsilon::new(high).ok()
}

/// An upper bound on δ at `epsilon` for `honest` reports, the target's included.
pub fn delta_upper(randomizer: &KaryRandomizer, honest: u64, epsilon: Epsilon) -> f64 {
    if honest == 0 {
        return if epsilon >= randomizer.epsilon() { 0.0 } else { 1.0 };
    }
    Blanket::new(randomizer, honest).delta_upper(epsilon.get())
}

/// Relative width at which bisection stops; its high end is returned.
const RESOLUTION: f64 = 1e-5;
/// The sizes of the blanket are cut into this many blocks, up to twice as many.
const BLOCKS: usize = 400;
/// Terms below this, relative to the largest, are cut off and accounted for.
const CUT: f64 = 1e-25;
/// More than the relative error of a few roundings.
const OUTWARD: f64 = 4.0 * f64::EPSILON;
/// Covers the cancellation in `D·S1 - c·S0`, by a factor of 25 to 100 of a few 1e-12.
const CANCELLATION: f64 = 1e-10;

/// The size of the blanket and, for each block of sizes, the number of reports in the two bins.
struct Blanket {
    reports: f64,
    /// `e^ε0`, rounded up.
    p: f64,
    blocks: Vec<Block>,
    /// Probability mass that was cut off.
    tail: f64,
}

/// Sizes of the blanket from `size` up to the next block's.
struct Block {
    size: f64,
    /// `E[T; T in block]`.
    mass: f64,
    /// The distribution of u given that T is `size`.
    pair: Window,
}

impl Blanket {
    fn new(randomizer: &KaryRandomizer, reports: u64) -> Self {
        let bins = f64::from(randomizer.bins());
        let blanket = (bins * randomizer.lie_probability()).min(1.0);
        let sizes = Window::binomial(reports, blanket);
        let step = (sizes.probabilities.len() / BLOCKS).max(1);
        let reports = to_float(reports);
        let mut blocks = Vec::new();
        let first = usize::from(sizes.first == 0);
        let indices: Vec<usize> = (first..sizes.probabilities.len()).step_by(step).collect();
        for (i, &start) in indices.iter().enumerate() {
            let end = indices.get(i + 1).copied().unwrap_or(sizes.probabilities.len());
            let size = sizes.first + start as u64;
            let mass = (start..end)
                .map(|t| to_float(sizes.first + t as u64) * sizes.probabilities[t])
                .sum();
            let pair = Window::binomial(size, (2.0 / bins).min(1.0));
            blocks.push(Block { size: to_float(size), mass, pair });
        }
        let p = randomizer.epsilon().get().exp() * (1.0 + OUTWARD);
        Self { reports, p, blocks, tail: sizes.tail }
    }

    /// An upper bound on δ(ε).
    fn delta_upper(&self, epsilon: f64) -> f64 {
        let p = self.p;
        let e = epsilon.exp() * (1.0 - OUTWARD);
        if e >= p {
            return 0.0;
        }
        let d = (p - 1.0) * (e + 1.0);
        let mut inner = vec![0.0; self.blocks.len()];
        let lowest = self.blocks.iter().map(|block| block.pair.first).min().unwrap_or(0).max(1);
        let highest = self.blocks.iter().map(|block| block.pair.last()).max().unwrap_or(0);
        let mut sums = Suffix::default();
        for u in lowest..=highest {
            sums.fill(u);
            let u_float = to_float(u);
            for (block, inner) in self.blocks.iter().zip(&mut inner) {
                let Some(weight) = block.pair.probability(u) else { continue };
                let c = (p - 1.0) * e * u_float + (e - 1.0) * block.size;
                let (s0, s1) = sums.above((c / d).floor() + 1.0);
                let value = d * s1 - c * s0;
                if value > 0.0 {
                    *inner += weight * (value + CANCELLATION * d * s1);
                }
                *inner += weight * d * u_float * sums.tail;
            }
        }
        let blocks = self.blocks.iter().zip(inner);
        let sum: f64 = blocks.map(|(block, inner)| inner / block.size * block.mass).sum();
        // The tails of T and u: the integrand is at most n and at most T's share of it.
        let cut: f64 = self.tail
            + self.blocks.iter().map(|b| b.pair.tail * d * b.mass / self.reports).sum::<f64>();
        // The rounding of a moves each Pr[T] by at most n·2^-49 of itself.
        let slack = 1.0 + 1e-9 + self.reports * (4.0 * OUTWARD);
        sum / self.reports * slack + cut + 1e-18
    }
}

/// Σ b(h) and Σ h·b(h) from each h on, for b = Bin(u, ½).
#[derive(Default)]
struct Suffix {
    window: Window,
    sums: Vec<(f64, f64)>,
    tail: f64,
}

impl Suffix {
    fn fill(&mut self, u: u64) {
        self.window.fill(u, 0.5);
        self.tail = self.window.tail;
        let len = self.window.probabilities.len();
        self.sums.clear();
        self.sums.resize(len + 1, (0.0, 0.0));
        for i in (0..len).rev() {
            let b = self.window.probabilities[i];
            let (s0, s1) = self.sums[i + 1];
            self.sums[i] = (s0 + b, s1 + b * to_float(self.window.first + i as u64));
        }
    }

    /// The sums over h at or above `threshold`, a whole number that is not negative.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the window first"
    )]
    fn above(&self, threshold: f64) -> (f64, f64) {
        let last = to_float(self.sums.len() as u64 - 1);
        let index = (threshold - to_float(self.window.first)).clamp(0.0, last);
        self.sums[index as usize]
    }
}

/// The part of a binomial distribution that matters: relative errors below 3e-12.
#[derive(Default)]
struct Window {
    first: u64,
    probabilities: Vec<f64>,
    /// A bound on what lies outside.
    tail: f64,
}

impl Window {
    fn binomial(trials: u64, probability: f64) -> Self {
        let mut window = Self::default();
        window.fill(trials, probability);
        window
    }

    /// By ratios from the mode, normalised by their own sum: no special function is needed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the mode is between 0 and the number of trials"
    )]
    fn fill(&mut self, trials: u64, probability: f64) {
        self.probabilities.clear();
        self.tail = 0.0;
        if probability <= 0.0 || probability >= 1.0 {
            self.first = if probability >= 1.0 { trials } else { 0 };
            self.probabilities.push(1.0);
            return;
        }
        let odds = probability / (1.0 - probability);
        let mode = (((to_float(trials) + 1.0) * probability) as u64).min(trials);
        let (mut x, mut ratio) = (mode, 1.0);
        while x > 0 && ratio >= CUT {
            self.probabilities.push(ratio);
            ratio *= to_float(x) / (to_float(trials - x + 1) * odds);
            x -= 1;
        }
        if x == 0 && ratio >= CUT {
            self.probabilities.push(ratio);
        } else {
            x += 1;
        }
        self.first = x;
        self.probabilities.reverse();
        let (mut x, mut ratio) = (mode, 1.0);
        while x < trials {
            ratio *= to_float(trials - x) * odds / to_float(x + 1);
            x += 1;
            if ratio < CUT {
                break;
            }
            self.probabilities.push(ratio);
        }
        let sum: f64 = self.probabilities.iter().sum();
        self.probabilities.iter_mut().for_each(|probability| *probability /= sum);
        self.tail = 2.0 * to_float(trials) * CUT / sum;
    }

    fn last(&self) -> u64 {
        self.first + self.probabilities.len() as u64 - 1
    }

    fn probability(&self, x: u64) -> Option<f64> {
        let index = usize::try_from(x.checked_sub(self.first)?).ok()?;
        self.probabilities.get(index).copied()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of reports are below 2^53")]
fn to_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn randomizer(bins: u32, epsilon: f64) -> KaryRandomizer {
        KaryRandomizer::new(bins, Epsilon::new(epsilon).unwrap()).unwrap()
    }

    /// Every row of the reference values: at or above what a dataset attains, and at most 0.2 %
    /// above the reference bound.
    #[test]
    fn the_bound_lies_between_what_is_attained_and_the_reference() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/privacy/reference_values.csv");
        let text = std::fs::read_to_string(path).unwrap();
        let mut rows = 0;
        for line in text.lines().filter(|line| line.contains("krr_blanket")) {
            let field: Vec<&str> = line.split(',').collect();
            let number = |i: usize| field[i].parse::<f64>().unwrap();
            let randomizer = randomizer(field[2].parse().unwrap(), number(3));
            let delta = Delta::new(number(5)).unwrap();
            let bound = epsilon_upper(&randomizer, field[4].parse().unwrap(), delta).unwrap().get();
            assert!(bound <= number(6) * 1.002, "{line}: {bound}");
            let attained = field[7].parse().unwrap_or(number(6) * 0.998);
            assert!(bound >= attained, "{line}: {bound}");
            rows += 1;
        }
        assert!(rows >= 10, "only {rows} rows");
    }

    #[test]
    fn delta_agrees_with_values_worked_out_elsewhere() {
        for (bins, epsilon0, reports, epsilon, expected) in [
            (3, 2.0, 1000, 0.2, 6.011_061_6e-4),
            (6, 4.0, 10_000, 0.25, 2.028_153_4e-4),
            (2, 3.0, 1000, 0.5, 3.275_070_1e-4),
        ] {
            let epsilon = Epsilon::new(epsilon).unwrap();
            let delta = delta_upper(&randomizer(bins, epsilon0), reports, epsilon);
            assert!(delta >= expected * (1.0 - 1e-7), "{delta} is below {expected}");
            assert!(delta <= expected * 1.002, "{delta} is far above {expected}");
        }
    }

    /// The definition, summed over all outcomes.
    fn brute_force(bins: u32, epsilon0: f64, reports: u64, epsilon: f64) -> f64 {
        let (p, e) = (epsilon0.exp(), epsilon.exp());
        let a = 1.0 / (p + f64::from(bins) - 1.0);
        let factorial = |n: u64| (1..=n).map(to_float).product::<f64>();
        let mut sum = 0.0;
        for h0 in 0..=reports {
            for h1 in 0..=reports - h0 {
                for hr in 0..=reports - h0 - h1 {
                    let rest = reports - h0 - h1 - hr;
                    let ways = factorial(reports)
                        / [h0, h1, hr, rest].map(factorial).iter().product::<f64>();
                    let power = |base: f64, n: u64| base.powi(i32::try_from(n).unwrap());
                    let probability = ways
                        * power(a, h0 + h1)
                        * power((f64::from(bins) - 2.0) * a, hr)
                        * power(1.0 - f64::from(bins) * a, rest);
                    let [f0, f1, fr] = [h0, h1, hr].map(to_float);
                    let value = (p - 1.0) * (f0 - e * f1) - (e - 1.0) * (f0 + f1 + fr);
                    sum += probability * value.max(0.0);
                }
            }
        }
        sum / to_float(reports)
    }

    #[test]
    fn small_batches_agree_with_the_definition() {
        for (bins, reports) in [(2, 1), (2, 7), (3, 5), (4, 12), (6, 9)] {
            for epsilon in [0.1, 0.5, 1.2] {
                let exact = brute_force(bins, 1.5, reports, epsilon);
                let bound =
                    delta_upper(&randomizer(bins, 1.5), reports, Epsilon::new(epsilon).unwrap());
                assert!(
                    bound >= exact * (1.0 - 1e-12) && bound <= exact * (1.0 + 1e-6) + 1e-12,
                    "k = {bins}, n = {reports}, ε = {epsilon}: {bound} for {exact}"
                );
            }
        }
    }

    #[test]
    fn more_reports_or_delta_or_less_budget_never_hurt() {
        let epsilon = |bins, epsilon0, reports, delta| {
            let delta = Delta::new(delta).unwrap();
            epsilon_upper(&randomizer(bins, epsilon0), reports, delta).unwrap().get()
        };
        assert!(epsilon(6, 4.0, 2000, 1e-6) <= epsilon(6, 4.0, 1000, 1e-6));
        assert!(epsilon(6, 4.0, 1000, 1e-5) <= epsilon(6, 4.0, 1000, 1e-6));
        assert!(epsilon(6, 3.0, 1000, 1e-6) <= epsilon(6, 4.0, 1000, 1e-6));
    }

    #[test]
    fn without_reports_or_delta_there_is_no_amplification() {
        let some = Delta::new(1e-6).unwrap();
        assert_eq!(epsilon_upper(&randomizer(3, 1.0), 0, some), None);
        assert_eq!(epsilon_upper(&randomizer(3, 1.0), 100, Delta::ZERO), None);
        let one = epsilon_upper(&randomizer(3, 1.0), 1, some).unwrap();
        assert!(one <= randomizer(3, 1.0).epsilon() && one.get() > 0.999);
    }
}
