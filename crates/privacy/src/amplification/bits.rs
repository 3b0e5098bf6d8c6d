//! Bitwise randomized response: each coordinate of the sum by a scan over what the others answered.
//!
//! One coordinate of the sum is the target's randomized bit plus `S_m = Bin(m, 1-q) + Bin(N-m, q)`
//! when m of the N = n-1 others have a one. With f the distribution of S_m, `e = e^ε`,
//! `A = (1-q) - e·q` and `B = e·(1-q) - q`,
//!
//! ```text
//! δ_m(ε) = Σ_s (A·f(s-1) - B·f(s))₊ = max over t of A·f(t-1) - (e-1)·Pr[S_m >= t]
//! ```
//!
//! since f is log-concave, so that the positive terms are those from some t on. The other direction
//! is the same for N-m, so the worst over all m is the bound for any others, in both directions.
//! It is usually, but not always, at an end; so all m are looked at, in blocks `m1..=m2`: S_m is
//! then the sum of `Bin(m1, 1-q) + Bin(N-m2, q)`, common to the block, and an independent rest, and
//! leaving out the rest can only reveal more. Blocks are of one m up to [`BLOCKS`] others.
//!
//! Given the inputs, coordinates are independent. So answers that differ in several are told apart
//! at most as well as by the product of that many worst coordinates, whose privacy-loss
//! distribution is built from the curve δ(ε) and composed with itself.
//!
//! Proof obligations, and what covers them: e is rounded down and A up; windows leave out mass,
//! which is added; a threshold t that is off where both terms almost cancel, and the rounding of
//! both, err by less than 1e-10 of `A·(f(t-1) + Pr[S >= t])`, of which `CANCELLATION` is added;
//! the rounding of q moves f by at most n·2^-51 of itself: `slack`.

use super::{
    Amplified, MOST_REPORTS,
    binomial::{Window, floor_to_count, to_float},
    search::{self, Search},
};
use crate::{
    composition::PrivacyLoss,
    randomizer::{BitRandomizer, Changed},
    units::{Delta, Epsilon},
};

/// The smallest ε that is proved for `honest` reports (the target's included) at `delta`, when
/// the bits that `changed` says may differ, at most the randomizer's own; `None` if nothing is: no
/// report, or δ = 0.
pub fn epsilon_upper(
    randomizer: &BitRandomizer,
    changed: Changed,
    honest: u64,
    delta: Delta,
) -> Option<Epsilon> {
    let coordinates = changed.coordinates(randomizer.bits());
    if coordinates == 1 {
        return coordinate_epsilon_upper(randomizer, honest, delta);
    }
    let loss = privacy_loss(randomizer, changed, honest, delta)?;
    let pure = randomizer.epsilon(changed);
    let composed = loss.epsilon(delta.get()).and_then(|epsilon| Epsilon::new(epsilon).ok());
    Some(composed.filter(|epsilon| *epsilon < pure).unwrap_or(pure))
}

/// The same with the pointwise figure.
pub fn amplified(
    randomizer: &BitRandomizer,
    changed: Changed,
    honest: u64,
    delta: Delta,
) -> Option<Amplified> {
    let own = randomizer.epsilon(changed);
    if changed.coordinates(randomizer.bits()) == 1 {
        if honest == 0 || delta == Delta::ZERO {
            return None;
        }
        let scan = Scan::new(randomizer, honest, delta.get());
        let epsilon = scan.smallest_epsilon(delta.get());
        return Amplified::new(epsilon, scan.pointwise(epsilon, delta.get()), own);
    }
    let loss = privacy_loss(randomizer, changed, honest, delta)?;
    let [epsilon, pointwise] = [loss.epsilon(delta.get()), loss.pointwise(delta.get())]
        .map(|proved| proved.unwrap_or(f64::INFINITY));
    Amplified::new(epsilon, pointwise, own)
}

/// The same for one bit that differs: what most publications state.
pub fn coordinate_epsilon_upper(
    randomizer: &BitRandomizer,
    honest: u64,
    delta: Delta,
) -> Option<Epsilon> {
    if honest == 0 || delta == Delta::ZERO {
        return None;
    }
    let scan = Scan::new(randomizer, honest, delta.get());
    Epsilon::new(scan.smallest_epsilon(delta.get())).ok()
}

/// An upper bound on δ at `epsilon` for one bit that differs.
pub fn coordinate_delta_upper(randomizer: &BitRandomizer, honest: u64, epsilon: Epsilon) -> f64 {
    if honest == 0 {
        return if epsilon >= randomizer.epsilon_per_bit() { 0.0 } else { 1.0 };
    }
    Scan::new(randomizer, honest, 0.0).worst(epsilon.get()).delta
}

/// What one report in one batch of `honest` ones may lose, to be composed with others and read at
/// values of δ not far below `delta`; `None` if nothing is proved.
pub fn privacy_loss(
    randomizer: &BitRandomizer,
    changed: Changed,
    honest: u64,
    delta: Delta,
) -> Option<PrivacyLoss> {
    if honest == 0 || delta == Delta::ZERO {
        return None;
    }
    let coordinates = changed.coordinates(randomizer.bits());
    let negligible = PrivacyLoss::negligible(delta.get() / f64::from(coordinates));
    let scan = Scan::new(randomizer, honest, negligible);
    // The curve at its end is looked up again below: this needs no proof.
    let limit = scan.likely_epsilon(negligible, &scan.likely_worst());
    let one = PrivacyLoss::from_curve(limit, negligible, |epsilons| scan.curve(epsilons));
    Some(one.repeated(coordinates.into()))
}

/// Others beyond this many are taken in this many blocks; it costs a part in twice as many in ε.
const BLOCKS: u64 = 1000;
/// More than the relative error of a few roundings.
const OUTWARD: f64 = 4.0 * f64::EPSILON;
/// Covers the errors of both terms of a value.
const CANCELLATION: f64 = 1e-9;

/// Newton's steps before halving takes over: two or three are usual.
const NEWTON_STEPS: u32 = 6;

/// All that the others may have answered.
struct Scan {
    others: u64,
    width: u64,
    keep: f64,
    flip: f64,
    pure: f64,
    cut: f64,
}

/// What a value of ε asks of every block.
struct Level {
    /// A, rounded up; 0 where nothing is lost.
    a: f64,
    /// B.
    b: f64,
    /// e - 1.
    excess: f64,
    /// `ln B/A`.
    aim: f64,
}

/// The largest value of a scan, and the number of ones that its block begins with.
#[derive(Clone, Copy)]
struct Worst {
    delta: f64,
    ones: u64,
}

impl Scan {
    fn new(randomizer: &BitRandomizer, honest: u64, delta: f64) -> Self {
        let others = honest.min(MOST_REPORTS) - 1;
        Self {
            others,
            width: others.div_ceil(BLOCKS).max(1),
            keep: randomizer.truth_probability(),
            flip: randomizer.flip_probability(),
            pure: randomizer.epsilon_per_bit().get(),
            cut: search::cut(delta),
        }
    }

    fn level(&self, epsilon: f64) -> Level {
        let e = epsilon.exp() * (1.0 - OUTWARD);
        let a = if epsilon >= self.pure { 0.0 } else { (self.keep - e * self.flip) + OUTWARD };
        let b = e * self.keep - self.flip;
        Level { a: a.max(0.0), b, excess: e - 1.0, aim: (b / a).ln() }
    }

    /// How many of the others have a one, at the beginnings of blocks.
    fn starts(&self) -> impl Iterator<Item = u64> + use<> {
        (0..=self.others / self.width).map({
            let width = self.width;
            move |block| block * width
        })
    }

    fn block(&self, ones: u64) -> Block {
        let last = (ones + self.width - 1).min(self.others);
        Block::new(self, ones, self.others - last)
    }

    /// Upper bounds on δ at each of `epsilons`, which rise.
    fn curve(&self, epsilons: &[f64]) -> Vec<f64> {
        let levels: Vec<_> = epsilons.iter().map(|epsilon| self.level(*epsilon)).collect();
        let mut worst = vec![0.0_f64; epsilons.len()];
        for ones in self.starts() {
            let mut block = self.block(ones);
            block.tabulate_for(epsilons.len());
            for (worst, level) in worst.iter_mut().zip(&levels) {
                *worst = worst.max(block.delta_upper(level));
            }
        }
        worst
    }

    /// The largest δ over all blocks.
    fn worst(&self, epsilon: f64) -> Worst {
        let level = self.level(epsilon);
        let worst = |ones| Worst { delta: self.block(ones).delta_upper(&level), ones };
        let all = self.starts().map(worst);
        let none = Worst { delta: 0.0, ones: 0 };
        all.fold(none, |worst, next| if next.delta > worst.delta { next } else { worst })
    }

    /// Blocks among which the worst usually is.
    fn likely_worst(&self) -> Vec<Block> {
        let last = self.others / self.width;
        let mut likely: Vec<u64> = (0..=4).map(|i| last * i / 4 * self.width).collect();
        likely.dedup();
        likely.into_iter().map(|ones| self.block(ones)).collect()
    }

    fn likely_epsilon(&self, delta: f64, blocks: &[Block]) -> f64 {
        let deviation = 1.0 / (to_float(self.others + 1) * self.keep * self.flip).sqrt();
        let guess = deviation * (0.9 * (-2.0 * delta.ln()).sqrt() - 0.4).max(0.1);
        search::smallest(Search { most: self.pure, delta, guess }, |epsilon| {
            let level = self.level(epsilon);
            blocks.iter().map(|block| block.delta_upper(&level)).fold(0.0, f64::max)
        })
    }

    /// Searches in a few blocks for where to look at all.
    fn pointwise(&self, epsilon: f64, delta: f64) -> f64 {
        let likely = self.likely_worst();
        let search = Search { most: self.pure, delta, guess: epsilon };
        let (_, place) = search::smallest_pointwise(search, |epsilon| {
            let level = self.level(epsilon);
            likely.iter().map(|block| block.delta_upper(&level)).fold(0.0, f64::max)
        });
        search::pointwise(place, self.worst(place).delta, delta).min(self.pure)
    }

    /// Searches in a few blocks, then looks at all; if another is worse, searches there too.
    fn smallest_epsilon(&self, delta: f64) -> f64 {
        let mut blocks = self.likely_worst();
        loop {
            let epsilon = self.likely_epsilon(delta, &blocks);
            if epsilon >= self.pure {
                return self.pure;
            }
            let worst = self.worst(epsilon);
            // Every round adds a block that was not there, since its δ was not small enough.
            if worst.delta <= delta {
                return epsilon;
            }
            blocks.push(self.block(worst.ones));
        }
    }
}

/// The part of the others' sum that is common to a block: a sum of two binomials.
struct Block {
    ones: Window,
    /// The zeros' probabilities from the last to the first, so that the two meet in one pass.
    zeros: Vec<f64>,
    /// The sums of these up to and including each: `Pr[zeros >= ..]`.
    zeros_from: Vec<f64>,
    /// `Pr[ones >= ..]`, with a zero at the end.
    ones_from: Vec<f64>,
    /// The smallest sum inside both windows.
    first: u64,
    mean: f64,
    variance: f64,
    tail: f64,
    slack: f64,
    /// Every sum's probability, if so many are looked up that this is less work.
    table: Option<Table>,
}

/// The distribution of a block's sum.
struct Table {
    probabilities: Vec<f64>,
    /// `Pr[sum >= ..]`, with a zero at the end.
    from: Vec<f64>,
}

impl Table {
    /// The same as [`Block::threshold`], step by step from a guess.
    fn threshold(&self, a: f64, b: f64, guess: usize) -> usize {
        let f = &self.probabilities;
        let end = f.len();
        let is_positive = |t: usize| t >= end || a * f[t - 1] >= b * f[t];
        let mut t = guess.clamp(1, end);
        while t > 1 && is_positive(t - 1) {
            t -= 1;
        }
        while !is_positive(t) {
            t += 1;
        }
        t
    }
}

impl Block {
    fn new(scan: &Scan, ones: u64, zeros: u64) -> Self {
        let ones_window = Window::binomial(ones, scan.keep, scan.flip, scan.cut);
        let zeros_window = Window::binomial(zeros, scan.flip, scan.keep, scan.cut);
        let mut reversed = zeros_window.probabilities;
        reversed.reverse();
        let running = |sum: &mut f64, probability: &f64| {
            *sum += probability;
            Some(*sum)
        };
        let zeros_from = reversed.iter().scan(0.0, running).collect();
        let mut ones_from: Vec<f64> =
            ones_window.probabilities.iter().rev().scan(0.0, running).collect();
        ones_from.reverse();
        ones_from.push(0.0);
        let reports = to_float(ones + zeros);
        Self {
            first: ones_window.first + zeros_window.first,
            tail: ones_window.tail + zeros_window.tail,
            ones: ones_window,
            zeros: reversed,
            zeros_from,
            ones_from,
            mean: to_float(ones) * scan.keep + to_float(zeros) * scan.flip,
            variance: reports * scan.keep * scan.flip,
            slack: 1.0 + 1e-9 + reports * (4.0 * OUTWARD),
            table: None,
        }
    }

    /// Works out all sums at once, of the same positive terms, if that is less work than for so
    /// many values of ε, each of which looks at about four sums, to add up those it needs.
    fn tabulate_for(&mut self, epsilons: usize) {
        let (ones, zeros) = (&self.ones.probabilities, &self.zeros);
        if ones.len().min(zeros.len()) > 4 * epsilons {
            return;
        }
        let forward: Vec<f64> = zeros.iter().rev().copied().collect();
        let mut probabilities = vec![0.0; ones.len() + zeros.len() - 1];
        for (i, one) in ones.iter().enumerate() {
            for (sum, zero) in probabilities[i..].iter_mut().zip(&forward) {
                *sum += one * zero;
            }
        }
        let mut from = vec![0.0; probabilities.len() + 1];
        for (i, probability) in probabilities.iter().enumerate().rev() {
            from[i] = from[i + 1] + probability;
        }
        self.table = Some(Table { probabilities, from });
    }

    /// An upper bound on δ for all m of the block, in one direction.
    fn delta_upper(&self, level: &Level) -> f64 {
        let Level { a, excess, .. } = *level;
        if a <= 0.0 {
            return 0.0;
        }
        let threshold = self.threshold(level);
        let (point, tail) = (self.point(threshold - 1), self.at_least(threshold));
        let value = a * point - excess * tail + CANCELLATION * a * (point + tail);
        (value.max(0.0) * self.slack + a * self.tail).min(1.0)
    }

    /// The smallest t, counted from the smallest sum, with `A·f(t-1) >= B·f(t)`: from there on all
    /// terms are positive. As `ln f(t-1)/f(t)` is nearly a straight line of a slope of one over the
    /// variance, Newton's steps find it at once; the bracket makes sure of it.
    fn threshold(&self, level: &Level) -> usize {
        let Level { a, b, aim, .. } = *level;
        // Below 1 no term is positive, from the end on all are.
        let mut low = 0;
        let mut high = self.ones.probabilities.len() + self.zeros.len() - 1;
        let mut next = self.mean + 0.5 + self.variance * aim - to_float(self.first);
        if let Some(table) = &self.table {
            return table.threshold(
                a,
                b,
                usize::try_from(floor_to_count(next.max(0.0))).unwrap_or(high),
            );
        }
        let mut steps = 0;
        while high - low > 1 {
            steps += 1;
            let newton = usize::try_from(floor_to_count(next.max(0.0))).unwrap_or(high);
            let halving = steps > NEWTON_STEPS || next.is_nan();
            let t = if halving { low + (high - low) / 2 } else { newton.clamp(low + 1, high - 1) };
            let (before, at) = (self.point(t - 1), self.point(t));
            (low, high) = if a * before >= b * at { (low, t) } else { (t, high) };
            next = to_float(t as u64) + (self.variance * (aim - (before / at).ln())).ceil();
        }
        high
    }

    /// `f` at a sum, counted from the smallest.
    fn point(&self, sum: usize) -> f64 {
        if let Some(table) = &self.table {
            return table.probabilities.get(sum).copied().unwrap_or(0.0);
        }
        let (ones, zeros) = (&self.ones.probabilities, &self.zeros);
        let from = (sum + 1).saturating_sub(zeros.len());
        let to = (sum + 1).min(ones.len());
        if from >= to {
            return 0.0;
        }
        dot(&ones[from..to], &zeros[zeros.len() + from - 1 - sum..])
    }

    /// `Pr[S >= sum]`, counted from the smallest.
    fn at_least(&self, sum: usize) -> f64 {
        if let Some(table) = &self.table {
            return table.from[sum.min(table.from.len() - 1)];
        }
        let (ones, zeros_from) = (&self.ones.probabilities, &self.zeros_from);
        let from = (sum + 1).saturating_sub(zeros_from.len()).min(ones.len());
        let to = (sum + 1).min(ones.len());
        // With more ones than this, any number of zeros is enough.
        let any = self.ones_from[to] * zeros_from.last().copied().unwrap_or(1.0);
        if from >= to {
            return any;
        }
        any + dot(&ones[from..to], &zeros_from[zeros_from.len() + from - 1 - sum..])
    }
}

/// Σ a·b over the length of `a`, in four sums that the processor can keep apart.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let b = &b[..a.len()];
    let mut sums = [0.0; 4];
    let (a_chunks, b_chunks) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests;
