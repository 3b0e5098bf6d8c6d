//! k-ary randomized response: the privacy blanket, evaluated exactly.
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
//! parameters for k ≥ 4 are smaller than the truth and must not be used; a test keeps the proof.
//!
//! With T the size of the blanket and u = h0+h1, the expectation is taken over T ~ Bin(n, ka), then
//! u ~ Bin(T, 2/k), then h0 ~ Bin(u, ½), where with `D = (p-1)(e^ε+1)` and `c/D` a line in u and T
//!
//! ```text
//! E[(D·h0 - c)₊] = D·( (t/2)·Pr[h0 = t] - (c/D - u/2)·Pr[h0 >= t] ),   t = floor(c/D) + 1
//! ```
//!
//! so that one walk along the tail of a fair coin's distribution, u falling by one at each step,
//! gives all terms of a T. Sizes T are taken in blocks no wider than a part of themselves: the inner
//! expectation divided by T does not grow with T, since one more blanket report is
//! post-processing, so the value at a block's beginning bounds the whole block. Where blocks begin
//! does not depend on n, so that the bound itself never grows with n.
//!
//! Proof obligations, and what covers them: p and 1/a are rounded so that the bound grows, e^ε is
//! rounded down; both terms above err by less than 1e-10 each ([`Window`], [`FairTail`]) and
//! `CANCELLATION` of their sum is added; the rounding of a moves each `Pr[T]` by at most n·2^-50 of
//! itself, and the sums' roundings by less than 1e-10: `slack`; all mass that was cut off is added
//! with the largest value it can have.

use super::{
    Amplified, MOST_REPORTS,
    binomial::{FairTail, Window, to_float},
    search::{self, Search},
};
use crate::{
    composition::PrivacyLoss,
    randomizer::KaryRandomizer,
    units::{Delta, Epsilon},
};

/// The smallest ε that is proved for `honest` reports (the target's included) at `delta`, at most
/// the randomizer's own; `None` if nothing is: no report, or δ = 0.
pub fn epsilon_upper(randomizer: &KaryRandomizer, honest: u64, delta: Delta) -> Option<Epsilon> {
    if honest == 0 || delta == Delta::ZERO {
        return None;
    }
    let blanket = Blanket::new(randomizer, honest, delta.get());
    Epsilon::new(blanket.smallest_epsilon(randomizer, delta.get())).ok()
}

/// The same with the pointwise figure.
pub fn amplified(randomizer: &KaryRandomizer, honest: u64, delta: Delta) -> Option<Amplified> {
    if honest == 0 || delta == Delta::ZERO {
        return None;
    }
    let blanket = Blanket::new(randomizer, honest, delta.get());
    let (own, delta) = (randomizer.epsilon(), delta.get());
    let epsilon = blanket.smallest_epsilon(randomizer, delta);
    let search = Search { most: own.get(), delta, guess: epsilon };
    let (pointwise, _) = search::smallest_pointwise(search, |epsilon| blanket.delta_upper(epsilon));
    Amplified::new(epsilon, pointwise, own)
}

/// Whether [`epsilon_upper`] is at most `target`: one evaluation, where the smallest ε takes several.
pub(crate) fn meets(
    randomizer: &KaryRandomizer,
    honest: u64,
    target: Epsilon,
    delta: Delta,
) -> bool {
    let blanket = Blanket::new(randomizer, honest, delta.get());
    honest > 0 && blanket.delta_upper(target.get()) <= delta.get() * (1.0 - 2.0 * search::CLOSE)
}

/// What one report in one batch of `honest` ones may lose, to be composed with others and read at
/// values of δ not far below `delta`; `None` if nothing is proved.
pub fn privacy_loss(randomizer: &KaryRandomizer, honest: u64, delta: Delta) -> Option<PrivacyLoss> {
    if honest == 0 || delta == Delta::ZERO {
        return None;
    }
    let negligible = PrivacyLoss::negligible(delta.get());
    let blanket = Blanket::new(randomizer, honest, negligible);
    let limit = blanket.smallest_epsilon(randomizer, negligible);
    let curve = |epsilons: &[f64]| epsilons.iter().map(|e| blanket.delta_upper(*e)).collect();
    Some(PrivacyLoss::from_curve(limit, negligible, curve))
}

/// An upper bound on δ at `epsilon` for `honest` reports, the target's included.
pub fn delta_upper(randomizer: &KaryRandomizer, honest: u64, epsilon: Epsilon) -> f64 {
    if honest == 0 {
        return if epsilon >= randomizer.epsilon() { 0.0 } else { 1.0 };
    }
    Blanket::new(randomizer, honest, 0.0).delta_upper(epsilon.get())
}

/// More than the relative error of a few roundings.
const OUTWARD: f64 = 4.0 * f64::EPSILON;
/// Covers the errors of both terms of an expectation.
const CANCELLATION: f64 = 1e-9;
/// Beyond this many standard deviations of h0 (half of the square root of u each), a tail is below
/// `FAR` (Hoeffding: e^(-z²/2)).
const FAR_DEVIATIONS: f64 = 30.0;
const FAR: f64 = 1e-190;

/// The size of the blanket and, for each block of sizes, the number of reports in the two bins.
pub(crate) struct Blanket {
    reports: f64,
    /// `e^ε0`, rounded up.
    p: f64,
    /// The probability of each lie.
    lie: f64,
    bins: f64,
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
    /// For `reports` honest ones, and values of δ that are not far below `delta`.
    pub(crate) fn new(randomizer: &KaryRandomizer, reports: u64, delta: f64) -> Self {
        let reports = reports.min(MOST_REPORTS);
        let bins = f64::from(randomizer.bins());
        let lie = randomizer.lie_probability();
        // 1 - ka = T/2^64 - w/2^64.
        let bare = randomizer.truth_probability() - lie;
        let cut = search::cut(delta);
        let sizes = Window::binomial(reports, (bins * lie).min(1.0), bare.max(0.0), cut);
        let (pair, other) = (2.0 / bins, (bins - 2.0) / bins);
        // An empty blanket contributes nothing.
        let blocks = sizes.blocks(1).map(|(size, indices)| {
            let mass = |i: usize| to_float(sizes.first + i as u64) * sizes.probabilities[i];
            let mass = indices.map(mass).sum();
            Block { size: to_float(size), mass, pair: Window::binomial(size, pair, other, cut) }
        });
        Self {
            reports: to_float(reports),
            p: randomizer.epsilon().get().exp() * (1.0 + OUTWARD),
            lie,
            bins,
            blocks: blocks.collect(),
            tail: sizes.tail,
        }
    }

    /// An upper bound on δ(ε).
    pub(crate) fn delta_upper(&self, epsilon: f64) -> f64 {
        let e = epsilon.exp() * (1.0 - OUTWARD);
        if e >= self.p {
            return 0.0;
        }
        let d = (self.p - 1.0) * (e + 1.0);
        let inner = |block: &Block| block.inner(e, d) / block.size * block.mass;
        let sum: f64 = self.blocks.iter().map(inner).sum();
        // Outside the windows the integrand is at most p·T, and D·u, of which T's share counts.
        let pair_tail = |block: &Block| block.pair.tail * d * block.mass / self.reports;
        let cut = self.tail * self.p + self.blocks.iter().map(pair_tail).sum::<f64>();
        // The rounding of a, and that of the sums.
        let slack = 1.0 + 1e-9 + self.reports * (4.0 * OUTWARD);
        (sum / self.reports * slack + cut).min(1.0)
    }

    fn smallest_epsilon(&self, randomizer: &KaryRandomizer, delta: f64) -> f64 {
        let most = randomizer.epsilon().get();
        let guess = self.gaussian_epsilon(delta);
        search::smallest(Search { most, delta, guess }, |epsilon| self.delta_upper(epsilon))
    }

    /// About the ε at `delta`, as if the noise were Gaussian; a place to begin a search.
    fn gaussian_epsilon(&self, delta: f64) -> f64 {
        let deviation =
            (2.0 / (self.reports * self.lie)).sqrt() * (1.0 - self.bins * self.lie).max(0.01);
        deviation * (0.9 * (-2.0 * delta.ln()).sqrt() - 0.4).max(0.1)
    }
}

impl Block {
    /// `E[(D·h0 - c)₊]` over u and h0, given that T is `size`.
    fn inner(&self, e: f64, d: f64) -> f64 {
        let slope = e / (e + 1.0);
        let shift = (e - 1.0) * self.size / d;
        let mut fair: Option<FairTail> = None;
        let mut sum = 0.0;
        for (i, weight) in self.pair.probabilities.iter().enumerate().rev() {
            let u = self.pair.first + i as u64;
            let u_float = to_float(u);
            let level = slope * u_float + shift;
            let threshold = level.floor() + 1.0;
            if threshold > u_float {
                break; // as u falls, the level falls less: no h0 reaches it any more
            }
            let above = threshold - u_float / 2.0;
            if above > 0.0 && 4.0 * above * above > FAR_DEVIATIONS * FAR_DEVIATIONS * u_float {
                // The distance in deviations falls and then rises along the way.
                if fair.is_some() {
                    break;
                }
                continue;
            }
            let at = super::binomial::floor_to_count(threshold);
            let fair = match &mut fair {
                Some(fair) => {
                    fair.descend(at);
                    fair
                }
                none => none.insert(FairTail::new(u, at)),
            };
            let first = threshold / 2.0 * fair.point;
            let second = (level - u_float / 2.0) * fair.tail;
            let value = first - second + CANCELLATION * (first + second.abs());
            sum += weight * value.max(0.0);
        }
        d * (sum + self.size * FAR)
    }
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
            assert!(delta <= expected * 1.005, "{delta} is far above {expected}");
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
