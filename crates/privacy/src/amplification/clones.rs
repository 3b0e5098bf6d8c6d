//! Any randomizer with a local budget: the clones of Feldman, McMillan and Talwar.
//!
//! Whatever an ε0-private randomizer does, each of the n-1 others acts, with probability
//! `e^-ε0`, as if it had one of the target's two answers, each equally often ("Hiding Among the
//! Clones", FOCS 2021). So no two answers are told apart better than
//!
//! ```text
//! (A + Δ, C - A + 1 - Δ),   C ~ Bin(n-1, e^-ε0),  A ~ Bin(C, ½),  Δ ~ Bernoulli(p/(p+1)),  p = e^ε0
//! ```
//!
//! from its mirror image. Given C = c this is one bit among c fair ones: with `e = e^ε`,
//! `a = (p - e)/(p+1)` and f the distribution of A,
//! `δ_c = max over t of a·f(t-1) - (e-1)·Pr[A >= t]`. It is the fallback: bounds made for one
//! randomizer are far smaller.
//!
//! Proof obligations, and what covers them: `e^-ε0` and e are rounded down, a up; δ_c does not grow
//! with c (one more fair bit is post-processing), so that a block's beginning bounds it; rounding
//! errs by less than 1e-10 of both terms, of whose sum `CANCELLATION` is added.

use super::{
    MOST_REPORTS,
    binomial::{FairTail, Window, floor_to_count, to_float},
    search::{self, Search},
};
use crate::units::{Delta, Epsilon};

/// The smallest ε that is proved for `honest` reports (the target's included) of any randomizer
/// with the pure budget `epsilon0` at `delta`, at most `epsilon0`; `None` if nothing is: no report,
/// or δ = 0.
pub fn epsilon_upper(epsilon0: Epsilon, honest: u64, delta: Delta) -> Option<Epsilon> {
    if honest == 0 || delta == Delta::ZERO {
        return None;
    }
    let most = epsilon0.get();
    let clones = Clones::new(most, honest, delta.get());
    let deviation = 2.0 / (to_float(honest) * (-most).exp()).sqrt();
    let guess = deviation * (0.9 * (-2.0 * delta.get().ln()).sqrt() - 0.4).max(0.1);
    let search = Search { most, delta: delta.get(), guess };
    Epsilon::new(search::smallest(search, |epsilon| clones.delta_upper(epsilon))).ok()
}

/// An upper bound on δ at `epsilon` for `honest` reports, the target's included.
pub fn delta_upper(epsilon0: Epsilon, honest: u64, epsilon: Epsilon) -> f64 {
    if honest == 0 {
        return if epsilon >= epsilon0 { 0.0 } else { 1.0 };
    }
    Clones::new(epsilon0.get(), honest, 0.0).delta_upper(epsilon.get())
}

/// More than the relative error of a few roundings.
const OUTWARD: f64 = 4.0 * f64::EPSILON;
/// Covers the errors of both terms of a value.
const CANCELLATION: f64 = 1e-9;
/// Beyond this many standard deviations a tail is below `FAR` (Hoeffding: e^(-z²/2)).
const FAR_DEVIATIONS: f64 = 30.0;
const FAR: f64 = 1e-190;

/// How many of the others act as clones.
struct Clones {
    /// `e^ε0`, rounded up.
    p: f64,
    epsilon0: f64,
    reports: f64,
    count: Window,
}

impl Clones {
    fn new(epsilon0: f64, honest: u64, delta: f64) -> Self {
        let others = honest.min(MOST_REPORTS) - 1;
        let clone = (-epsilon0).exp() * (1.0 - OUTWARD);
        let count = Window::binomial(others, clone, -(-epsilon0).exp_m1(), search::cut(delta));
        let p = epsilon0.exp() * (1.0 + OUTWARD);
        Self { p, epsilon0, reports: to_float(others + 1), count }
    }

    fn delta_upper(&self, epsilon: f64) -> f64 {
        if epsilon >= self.epsilon0 {
            return 0.0;
        }
        let e = epsilon.exp() * (1.0 - OUTWARD);
        let a = (self.p - e) / (self.p + 1.0) + OUTWARD;
        let b = (e * self.p - 1.0) / (self.p + 1.0);
        let mut blocks: Vec<_> = self.count.blocks(0).collect();
        blocks.reverse();
        let mut fair: Option<FairTail> = None;
        let mut sum = 0.0;
        for (count, indices) in blocks {
            let probability: f64 = self.count.probabilities[indices].iter().sum();
            sum += probability * value(&mut fair, count, (a, b, e));
        }
        let slack = 1.0 + 1e-9 + self.reports * (4.0 * OUTWARD);
        (sum * slack + self.count.tail).min(1.0)
    }
}

/// `δ_c`; the walk comes from a larger count.
fn value(fair: &mut Option<FairTail>, count: u64, (a, b, e): (f64, f64, f64)) -> f64 {
    // f(t-1)/f(t) = t/(c-t+1) is at least b/a from here on.
    let at = |count: u64| {
        let threshold = (to_float(count) + 1.0) * b / (a + b);
        floor_to_count((threshold.ceil() - 1.0).max(0.0)).min(count)
    };
    let above = to_float(at(count)) - to_float(count) / 2.0;
    if 4.0 * above * above > FAR_DEVIATIONS * FAR_DEVIATIONS * to_float(count) && above > 15.0 {
        return FAR;
    }
    let fair = fair.get_or_insert_with(|| FairTail::new(count, at(count)));
    while fair.trials() > count {
        fair.descend(at(fair.trials() - 1));
    }
    let (first, second) = ((a + (e - 1.0)) * fair.point, (e - 1.0) * fair.tail);
    (first - second).max(0.0) + CANCELLATION * (first + second.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epsilon(value: f64) -> Epsilon {
        Epsilon::new(value).unwrap()
    }

    /// The definition, summed over all outcomes.
    fn brute_force(epsilon0: f64, reports: u64, at: f64) -> f64 {
        let factorial = |n: u64| (1..=n).map(to_float).product::<f64>();
        let choose = |n: u64, k: u64| factorial(n) / factorial(k) / factorial(n - k);
        let (clone, up) = ((-epsilon0).exp(), epsilon0.exp() / (epsilon0.exp() + 1.0));
        let power = |base: f64, n: u64| base.powi(i32::try_from(n).unwrap());
        let others = reports - 1;
        let mut sum = 0.0;
        for count in 0..=others {
            let weight =
                choose(others, count) * power(clone, count) * power(1.0 - clone, others - count);
            let fair = |ones: u64| {
                if ones > count { 0.0 } else { choose(count, ones) * power(0.5, count) }
            };
            for ones in 0..=count + 1 {
                let before = if ones == 0 { 0.0 } else { fair(ones - 1) };
                let here = before * up + fair(ones) * (1.0 - up);
                let there = before * (1.0 - up) + fair(ones) * up;
                sum += weight * (here - at.exp() * there).max(0.0);
            }
        }
        sum
    }

    #[test]
    fn small_batches_agree_with_the_definition() {
        for (epsilon0, reports) in [(1.0, 1), (0.3, 4), (1.0, 9), (2.0, 25), (4.0, 60)] {
            for at in [0.0, 0.1, 0.7, 1.9] {
                let exact = if at < epsilon0 { brute_force(epsilon0, reports, at) } else { 0.0 };
                let bound = delta_upper(epsilon(epsilon0), reports, epsilon(at));
                assert!(
                    bound >= exact * (1.0 - 1e-12) && bound <= exact * (1.0 + 1e-6) + 1e-12,
                    "ε0 = {epsilon0}, n = {reports}, ε = {at}: {bound} for {exact}"
                );
            }
        }
    }

    #[test]
    fn the_bound_agrees_with_the_reference() {
        for (epsilon0, reports, expected) in
            [(1.0, 1000, 0.182_412_35), (2.0, 10_000, 0.155_045_24), (4.0, 100_000, 0.169_769_75)]
        {
            let bound = epsilon_upper(epsilon(epsilon0), reports, Delta::new(1e-6).unwrap());
            let bound = bound.unwrap().get();
            assert!(bound >= expected * (1.0 - 1e-7) && bound <= expected * 1.002, "{bound}");
        }
    }

    #[test]
    fn without_reports_or_delta_there_is_no_amplification() {
        let some = Delta::new(1e-6).unwrap();
        assert_eq!(epsilon_upper(epsilon(1.0), 0, some), None);
        assert_eq!(epsilon_upper(epsilon(1.0), 100, Delta::ZERO), None);
        assert!(epsilon_upper(epsilon(1.0), 1, some).unwrap() <= epsilon(1.0));
        assert!(epsilon_upper(epsilon(8.0), 3, some).unwrap() <= epsilon(8.0));
    }
}
