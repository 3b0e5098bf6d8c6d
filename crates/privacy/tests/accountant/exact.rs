//! Exact distributions of small batches, with and without noise: what every claim is held against.
//!
//! A batch's total is a point of a grid, one axis for each count; distributions are dense over it.
//! All answers of the others are tried, and all pairs of answers of the target. Noise is cut off
//! where less than `REST` of it is left, which is far below every δ here.

use sottovoce_privacy::{
    guarantee::{Mechanism, MechanismKind},
    noise::AggregatorNoise,
    units::Epsilon,
};

/// What of a noise is left out.
const REST: f64 = 1e-13;

/// A distribution over totals.
#[derive(Clone)]
pub(crate) struct Totals {
    counts: usize,
    width: usize,
    pub(crate) probabilities: Vec<f64>,
}

impl Totals {
    fn nothing(counts: usize, width: usize) -> Self {
        let mut probabilities = vec![0.0; width.pow(u32::try_from(counts).unwrap())];
        probabilities[0] = 1.0;
        Self { counts, width, probabilities }
    }

    fn stride(&self, axis: usize) -> usize {
        self.width.pow(u32::try_from(axis).unwrap())
    }

    /// With one more report.
    fn with(&self, report: &[(Vec<usize>, f64)]) -> Self {
        let mut sum = Self { probabilities: vec![0.0; self.probabilities.len()], ..self.clone() };
        for (vector, weight) in report {
            let shift: usize = vector.iter().enumerate().map(|(i, n)| n * self.stride(i)).sum();
            for (from, probability) in self.probabilities.iter().enumerate() {
                if *probability > 0.0 {
                    sum.probabilities[from + shift] += weight * probability;
                }
            }
        }
        sum
    }

    /// With independent noise on each count.
    fn with_noise(&self, noise: &[f64]) -> Self {
        (0..self.counts).fold(self.clone(), |totals, axis| {
            let mut next = vec![0.0; totals.probabilities.len()];
            for (from, probability) in totals.probabilities.iter().enumerate() {
                if *probability > 0.0 {
                    for (i, weight) in noise.iter().enumerate() {
                        next[from + i * totals.stride(axis)] += probability * weight;
                    }
                }
            }
            Self { probabilities: next, ..totals }
        })
    }

    /// One total after the other, both seen.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let pairs = self
            .probabilities
            .iter()
            .flat_map(|one| other.probabilities.iter().map(move |two| one * two));
        Self { probabilities: pairs.collect(), ..self.clone() }
    }
}

/// The δ of a pair at an ε.
pub(crate) fn divergence(one: &Totals, other: &Totals, epsilon: f64) -> f64 {
    let e = epsilon.exp();
    let pairs = one.probabilities.iter().zip(&other.probabilities);
    pairs.map(|(p, q)| (p - e * q).max(0.0)).sum()
}

/// The probability, under the first, that the privacy loss is above ε.
pub(crate) fn exceeds(one: &Totals, other: &Totals, epsilon: f64) -> f64 {
    let e = epsilon.exp();
    let pairs = one.probabilities.iter().zip(&other.probabilities);
    // What is on the edge, but for rounding, is not above it.
    pairs.filter(|(p, q)| **p > e * **q * (1.0 + 1e-9)).map(|(p, _)| p).sum()
}

/// The probabilities of a noise from the smallest value that is kept to the largest.
pub(crate) fn probabilities(noise: AggregatorNoise) -> Vec<f64> {
    let weight = |x: i32| match noise {
        AggregatorNoise::DiscreteLaplace { scale } => (-f64::from(x.abs()) / scale.counts()).exp(),
        AggregatorNoise::DiscreteGaussian { sigma } => {
            (-f64::from(x).powi(2) / (2.0 * sigma.counts().powi(2))).exp()
        }
    };
    let total: f64 = (-2000..=2000).map(weight).sum();
    let reach = (0..2000).find(|x| weight(*x) / total < REST).unwrap();
    (-reach..=reach).map(|x| weight(x) / total).collect()
}

/// The answers that a device can give, in a mechanism.
fn answers(mechanism: &Mechanism) -> usize {
    match mechanism.kind() {
        MechanismKind::Krr | MechanismKind::Bits => mechanism.bins() as usize,
        MechanismKind::Signals => 1 << mechanism.bins(),
    }
}

/// What a device that gives an answer reports, `times` as often as drawn.
fn report(mechanism: &Mechanism, answer: usize, times: usize) -> Vec<(Vec<usize>, f64)> {
    let bins = mechanism.bins() as usize;
    match mechanism {
        Mechanism::Krr(randomizer) => {
            let one = |bin: usize| {
                let vector = (0..bins).map(|i| times * usize::from(i == bin)).collect();
                let truth = bin == answer;
                let (keep, lie) = (randomizer.truth_probability(), randomizer.lie_probability());
                (vector, if truth { keep } else { lie })
            };
            (0..bins).map(one).collect()
        }
        Mechanism::Bits(randomizer) | Mechanism::Signals(randomizer) => {
            let one_hot = matches!(mechanism, Mechanism::Bits(_));
            let bits = if one_hot { 1 << answer } else { answer };
            let (keep, flip) = (randomizer.truth_probability(), randomizer.flip_probability());
            let one = |output: usize| {
                let vector = (0..bins).map(|i| times * (output >> i & 1)).collect();
                let turned = (output ^ bits).count_ones().cast_signed();
                let kept = i32::try_from(bins).unwrap() - turned;
                (vector, flip.powi(turned) * keep.powi(kept))
            };
            (0..1 << bins).map(one).collect()
        }
    }
}

/// How a device's answers enter a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Entry {
    /// One report.
    Once,
    /// So many reports, each drawn by itself.
    Drawn(usize),
    /// One draw, counted so many times.
    Counted(usize),
}

/// A small batch, of which all that others may answer is tried.
pub(crate) struct Batch<'a> {
    pub(crate) mechanism: &'a Mechanism,
    pub(crate) noise: Option<AggregatorNoise>,
    /// The other devices.
    pub(crate) others: usize,
    pub(crate) entry: Entry,
}

impl Batch<'_> {
    /// For each set of answers of the others, the total's distribution for each answer of the target.
    pub(crate) fn all(&self) -> Vec<Vec<Totals>> {
        let noise = self.noise.map_or_else(|| vec![1.0], probabilities);
        let (own, times) = match self.entry {
            Entry::Once => (1, 1),
            Entry::Drawn(reports) => (reports, 1),
            Entry::Counted(times) => (1, times),
        };
        let width = self.others + own * times + noise.len();
        let (answers, counts) = (answers(self.mechanism), self.mechanism.bins() as usize);
        let reports: Vec<_> =
            (0..answers).map(|answer| report(self.mechanism, answer, 1)).collect();
        let total = |others: &[usize], target: usize| {
            let mut totals = Totals::nothing(counts, width);
            for other in others {
                totals = totals.with(&reports[*other]);
            }
            let mine = report(self.mechanism, target, times);
            (0..own).fold(totals, |totals, _| totals.with(&mine)).with_noise(&noise)
        };
        let each = |others: Vec<usize>| (0..answers).map(|target| total(&others, target)).collect();
        sorted(answers, self.others).into_iter().map(each).collect()
    }

    /// The largest value of a pair's figure.
    pub(crate) fn worst(&self, figure: impl Fn(&Totals, &Totals) -> f64) -> f64 {
        let all = self.all();
        all.iter().map(|targets| worst_pair(targets, &figure)).fold(0.0, f64::max)
    }
}

/// The largest figure of all pairs.
pub(crate) fn worst_pair(targets: &[Totals], figure: impl Fn(&Totals, &Totals) -> f64) -> f64 {
    let mut worst = 0.0_f64;
    for (i, one) in targets.iter().enumerate() {
        for (_, other) in targets.iter().enumerate().filter(|(j, _)| *j != i) {
            worst = worst.max(figure(one, other));
        }
    }
    worst
}

/// All multisets of so many answers: the order of devices does not matter.
fn sorted(answers: usize, devices: usize) -> Vec<Vec<usize>> {
    let mut sets = vec![Vec::new()];
    for _ in 0..devices {
        sets = sets
            .into_iter()
            .flat_map(|set: Vec<usize>| {
                let from = set.last().copied().unwrap_or(0);
                (from..answers).map(move |answer| [set.clone(), vec![answer]].concat())
            })
            .collect();
    }
    sets
}

/// A mechanism by its kind.
pub(crate) fn mechanism(kind: MechanismKind, bins: u32, epsilon0: f64) -> Mechanism {
    Mechanism::new(kind, bins, Epsilon::new(epsilon0).unwrap()).unwrap()
}
