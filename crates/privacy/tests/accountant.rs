//! The accountant against what is known: reference values, compositions worked out elsewhere, all
//! datasets of small batches (`claims`: exactly, for every mechanism, noise and trust model), and the
//! direction in which each parameter must move a bound.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

use proptest::prelude::*;
use sottovoce_privacy::{
    amplification::{bits, blanket, clones},
    composition::discrete_gaussian,
    guarantee::{Mechanism, MechanismKind, Release},
    randomizer::{BitRandomizer, Changed, KaryRandomizer},
    units::{Delta, Epsilon, TrustModel},
};
use std::collections::BTreeMap;

#[path = "accountant/claims.rs"]
mod claims;
#[path = "accountant/exact.rs"]
mod exact;
#[path = "accountant/large.rs"]
mod large;

fn epsilon(value: f64) -> Epsilon {
    Epsilon::new(value).unwrap()
}

fn delta(value: f64) -> Delta {
    Delta::new(value).unwrap()
}

fn kary(bins: u32, epsilon0: f64) -> KaryRandomizer {
    KaryRandomizer::new(bins, epsilon(epsilon0)).unwrap()
}

fn vector(bits: u32, epsilon0: f64) -> BitRandomizer {
    BitRandomizer::new(bits, epsilon(epsilon0)).unwrap()
}

/// Every row: at or above what a dataset attains, and at most 0.2 % above the reference bound.
#[test]
fn every_reference_value_is_met_from_above() {
    let mut rows = 0;
    for line in include_str!("vectors/privacy/reference_values.csv").lines().skip(1) {
        let field: Vec<&str> = line.split(',').collect();
        let number = |i: usize| field[i].parse::<f64>().ok();
        let (bins, reports) = (field[2].parse().unwrap(), field[4].parse().unwrap());
        let (epsilon0, delta) = (number(3).unwrap(), delta(number(5).unwrap()));
        let bound = match field[1] {
            "krr_blanket" => blanket::epsilon_upper(&kary(bins, epsilon0), reports, delta),
            "brr_exact" => bits::coordinate_epsilon_upper(&vector(1, epsilon0), reports, delta),
            "fmt21" => clones::epsilon_upper(epsilon(epsilon0), reports, delta),
            "onehot_bits_corner" => {
                bits::epsilon_upper(&vector(3, epsilon0), Changed::OneHot, reports, delta)
            }
            other => panic!("nothing is known of {other}"),
        };
        let (bound, upper) = (bound.unwrap().get(), number(6).unwrap());
        // What is exact, or an attained corner, must itself be reached.
        let attained = if field[1] == "krr_blanket" { number(7) } else { Some(upper) };
        assert!(bound <= upper * 1.002, "{line}: {bound}");
        assert!(bound >= attained.unwrap_or(upper) * (1.0 - 1e-7), "{line}: {bound}");
        rows += 1;
    }
    assert!(rows >= 20, "only {rows} rows");
}

/// The table of several windows, at most half a percent from above.
#[test]
fn windows_compose_to_the_known_values() {
    const WINDOWS: [u64; 8] = [1, 4, 7, 12, 30, 52, 90, 365];
    for (bins, epsilon0, reports, expected) in [
        (6, 4.0, 10_000, [0.3948, 0.8219, 1.1093, 1.4839, 2.4467, 3.3178, 4.5150, 10.195]),
        (6, 3.0, 1_000, [0.7305, 1.5035, 2.0315, 2.7262, 4.5418, 6.2169, 8.5632, 20.24]),
    ] {
        let loss = blanket::privacy_loss(&kary(bins, epsilon0), reports, delta(1e-6)).unwrap();
        for (windows, expected) in WINDOWS.into_iter().zip(expected) {
            let bound = loss.repeated(windows).epsilon(1e-6).unwrap();
            // The table is rounded to four digits, 20.24 by half a thousandth.
            let (low, high) = (expected * (1.0 - 2e-4), expected * 1.005);
            assert!((low..high).contains(&bound), "{windows}: {bound} for {expected}");
        }
    }
}

/// Certified values for vectors, worked out elsewhere.
#[test]
fn vectors_of_bits_agree_with_certified_values() {
    let bits = vector(8, 3.0);
    // The first is attained at .93706.
    for (changed, expected) in [(Changed::OneHot, 0.93752), (Changed::Free, 1.8335)] {
        let bound = bits::epsilon_upper(&bits, changed, 1_000, delta(1e-6)).unwrap().get();
        assert!(bound <= expected * 1.002 && bound >= expected * 0.9995, "{bound} {expected}");
    }
}

type Outcomes = BTreeMap<Vec<u8>, f64>;

/// The distribution of the sum of reports, each drawn from its own distribution.
fn sums(reports: &[Vec<(Vec<u8>, f64)>]) -> Outcomes {
    let empty = vec![0; reports[0][0].0.len()];
    reports.iter().fold(Outcomes::from([(empty, 1.0)]), |sums, report| {
        let mut next = Outcomes::new();
        for ((sum, weight), (add, probability)) in
            sums.iter().flat_map(|sum| report.iter().map(move |add| (sum, add)))
        {
            let sum: Vec<u8> = sum.iter().zip(add).map(|(a, b)| a + b).collect();
            *next.entry(sum).or_insert(0.0) += weight * probability;
        }
        next
    })
}

fn divergence(one: &Outcomes, other: &Outcomes, epsilon: f64) -> f64 {
    let term = |(sum, p): (&Vec<u8>, &f64)| {
        (p - epsilon.exp() * other.get(sum).copied().unwrap_or(0.0)).max(0.0)
    };
    one.iter().map(term).sum()
}

/// What a device with one of `bins` answers reports, k-ary.
fn kary_report(randomizer: &KaryRandomizer, answer: usize) -> Vec<(Vec<u8>, f64)> {
    let bins = randomizer.bins() as usize;
    let report = |bin: usize| {
        let one_hot = (0..bins).map(|i| u8::from(i == bin)).collect();
        let truth = bin == answer;
        let probability =
            if truth { randomizer.truth_probability() } else { randomizer.lie_probability() };
        (one_hot, probability)
    };
    (0..bins).map(report).collect()
}

/// What a device with these bits reports.
fn bits_report(randomizer: &BitRandomizer, answer: u32) -> Vec<(Vec<u8>, f64)> {
    let bits = randomizer.bits();
    let report = |output: u32| {
        let flips = (output ^ answer).count_ones();
        let probability = randomizer.flip_probability().powi(flips.cast_signed())
            * randomizer.truth_probability().powi((bits - flips).cast_signed());
        let vector = (0..bits).map(|i| u8::try_from(output >> i & 1).unwrap()).collect();
        (vector, probability)
    };
    (0..1 << bits).map(report).collect()
}

/// The largest divergence over all answers of the others and all pairs of answers of the target.
fn worst(
    answers: &[u32],
    others: usize,
    epsilon: f64,
    report: impl Fn(u32) -> Vec<(Vec<u8>, f64)>,
) -> f64 {
    let count = answers.len();
    let datasets = (0..count.pow(u32::try_from(others).unwrap())).map(|code| {
        (0..others).map(|i| code / count.pow(u32::try_from(i).unwrap()) % count).collect::<Vec<_>>()
    });
    let mut worst = 0.0_f64;
    // The order of devices does not matter.
    for dataset in datasets.filter(|dataset| dataset.is_sorted()) {
        let with = |target: u32| {
            let all = dataset.iter().map(|i| answers[*i]).chain([target]);
            sums(&all.map(&report).collect::<Vec<_>>())
        };
        let outcomes: Vec<Outcomes> = answers.iter().map(|answer| with(*answer)).collect();
        for (i, one) in outcomes.iter().enumerate() {
            for other in outcomes.iter().enumerate().filter(|(j, _)| *j != i) {
                worst = worst.max(divergence(one, other.1, epsilon));
            }
        }
    }
    worst
}

/// The bound must hold for every dataset of the others, and be attained to within a little.
#[test]
fn no_dataset_of_a_small_batch_reveals_more_than_the_bound() {
    for (bins, reports, epsilon0) in [(2, 6, 1.0), (3, 5, 1.5), (4, 4, 2.0), (6, 3, 1.6)] {
        let randomizer = kary(bins, epsilon0);
        let answers: Vec<u32> = (0..bins).collect();
        for at in [0.05, 0.3, 0.9] {
            let truth = worst(&answers, reports - 1, at, |answer| {
                kary_report(&randomizer, answer as usize)
            });
            let bound = blanket::delta_upper(&randomizer, reports as u64, epsilon(at));
            assert!(bound >= truth * (1.0 - 1e-12), "k = {bins}, ε = {at}: {bound} {truth}");
            assert!(bound <= truth * 1.6, "k = {bins}, ε = {at}: {bound} is loose for {truth}");
        }
    }
    for (bits, reports, epsilon0) in [(1, 7, 1.0), (2, 4, 1.5), (3, 3, 1.0)] {
        let randomizer = vector(bits, epsilon0);
        let one_hot: Vec<u32> = (0..bits).map(|bit| 1 << bit).collect();
        let free: Vec<u32> = (0..1 << bits).collect();
        for (changed, answers) in [(Changed::OneHot, one_hot), (Changed::Free, free)] {
            let loss = bits::privacy_loss(&randomizer, changed, reports as u64, delta(1e-6));
            let loss = loss.unwrap();
            for at in [0.05, 0.3, 0.9] {
                let truth =
                    worst(&answers, reports - 1, at, |answer| bits_report(&randomizer, answer));
                let bound = loss.delta(at);
                assert!(bound >= truth * (1.0 - 1e-12), "{bits} bits, ε = {at}: {bound} {truth}");
            }
        }
    }
}

fn oamc(kind: MechanismKind, bins: u32, epsilon0: f64, honest: u64, at: f64) -> f64 {
    let mechanism = Mechanism::new(kind, bins, epsilon(epsilon0)).unwrap();
    let release = Release { mechanism, noise: None, honest };
    let guarantees = release.guarantees(delta(at)).unwrap();
    guarantees.iter().find(|g| g.trust == TrustModel::Oamc).unwrap().epsilon.get()
}

/// What a search leaves open, relative to ε.
const SEARCH: f64 = 5e-6;

/// What it leaves open where nothing is lost but for rounding: such ε are not compared.
const NOTHING: f64 = 1e-8;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn more_reports_more_delta_or_less_budget_never_hurt(
        bins in 2_u32..12,
        epsilon0 in 0.3..6.0,
        reports in 2_u64..1500,
        more in 1_u64..400,
        exponent in 2.0..9.0_f64,
    ) {
        let at = 10_f64.powf(-exponent);
        let bound = oamc(MechanismKind::Krr, bins, epsilon0, reports, at);
        let slack = bound * (1.0 + SEARCH) + NOTHING;
        prop_assert!(bound <= epsilon0);
        prop_assert!(oamc(MechanismKind::Krr, bins, epsilon0, reports + more, at) <= slack);
        prop_assert!(oamc(MechanismKind::Krr, bins, epsilon0, reports, at * 1.5) <= slack);
        prop_assert!(oamc(MechanismKind::Krr, bins, epsilon0 * 0.95, reports, at) <= slack);
    }

    #[test]
    fn the_same_holds_for_one_bit(
        epsilon0 in 0.3..6.0,
        reports in 2_u64..600,
        more in 1_u64..200,
        exponent in 2.0..9.0_f64,
    ) {
        let at = 10_f64.powf(-exponent);
        let bound = oamc(MechanismKind::Signals, 1, epsilon0, reports, at);
        let slack = bound * (1.0 + SEARCH) + NOTHING;
        prop_assert!(bound <= epsilon0);
        prop_assert!(oamc(MechanismKind::Signals, 1, epsilon0, reports + more, at) <= slack);
        prop_assert!(oamc(MechanismKind::Signals, 1, epsilon0, reports, at * 1.5) <= slack);
        prop_assert!(oamc(MechanismKind::Signals, 1, epsilon0 * 0.95, reports, at) <= slack);
    }

    #[test]
    fn any_bound_for_one_randomizer_is_below_the_one_for_all(
        bins in 2_u32..12,
        epsilon0 in 0.3..5.0,
        reports in 10_u64..1500,
    ) {
        let generic = clones::epsilon_upper(epsilon(epsilon0), reports, delta(1e-5)).unwrap();
        let own = oamc(MechanismKind::Krr, bins, epsilon0, reports, 1e-5);
        prop_assert!(own <= generic.get() * (1.0 + SEARCH), "{own} {generic:?}");
    }

    #[test]
    fn more_windows_cost_more_and_less_than_their_sum(sigma in 1.0..12.0_f64, windows in 2_u64..20) {
        let loss = discrete_gaussian(sigma, 2, 1e-6).unwrap();
        let one = loss.epsilon(1e-6).unwrap();
        let all = loss.repeated(windows).epsilon(1e-6).unwrap();
        let fewer = loss.repeated(windows - 1).epsilon(1e-6).unwrap();
        prop_assert!(all >= fewer * (1.0 - 1e-3));
        prop_assert!(all <= windows as f64 * one * 1.2);
    }
}
