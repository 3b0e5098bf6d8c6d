//! Why the published "variation-ratio" parameters must not certify k-ary randomized response: for
//! k ≥ 4 they are below the truth. With k = 6 bins, n = 5 reports, e^ε0 = 5 and e^ε = 3/2 all
//! probabilities are whole tenths to the fifth power, so nothing here is rounded.

use super::delta_upper;
use crate::{randomizer::KaryRandomizer, units::Epsilon};
use std::collections::BTreeMap;

const BINS: usize = 6;
const REPORTS: usize = 5;
/// Of ten draws, five tell the truth and one each of the five lies.
const TRUTH: i64 = 5;
const LIE: i64 = 1;

type Histogram = [u8; BINS];

/// The weights (in 10^-5) of all histograms of reports, when the answers are these.
fn histograms(answers: &[usize]) -> BTreeMap<Histogram, i64> {
    let mut all = BTreeMap::from([([0; BINS], 1)]);
    for answer in answers {
        let mut next = BTreeMap::new();
        for (histogram, weight) in all {
            for bin in 0..BINS {
                let mut longer: Histogram = histogram;
                longer[bin] += 1;
                let likelihood = if bin == *answer { TRUTH } else { LIE };
                *next.entry(longer).or_insert(0) += weight * likelihood;
            }
        }
        all = next;
    }
    all
}

/// `Σ (2P - 3Q)₊`, in halves of 10^-5.
fn divergence<K: Ord + Copy>(one: &BTreeMap<K, i64>, other: &BTreeMap<K, i64>) -> i64 {
    let at = |map: &BTreeMap<K, i64>, key: &K| map.get(key).copied().unwrap_or(0);
    one.keys().map(|key| (2 * at(one, key) - 3 * at(other, key)).max(0)).sum()
}

/// The largest over all datasets of the others, up to the order of devices and both directions.
fn truth() -> i64 {
    let mut worst = 0;
    for code in 0..BINS.pow(4) {
        let others: Vec<usize> = (0..4).map(|i| code / BINS.pow(i) % BINS).collect();
        if !others.is_sorted() {
            continue;
        }
        let with = |answer| histograms(&[&[answer], others.as_slice()].concat());
        let (one, other) = (with(0), with(1));
        worst = worst.max(divergence(&one, &other)).max(divergence(&other, &one));
    }
    worst
}

/// The published pair: `(A + Δ1, C - A + Δ2)` with C ~ Bin(n-1, 2a), A ~ Bin(C, ½), and (Δ1, Δ2) =
/// (1, 0), (0, 1) or (0, 0) with probabilities pa, a and (k-2)a; and its mirror image.
fn published() -> i64 {
    let rest = 10 - 2 * LIE;
    let mut others = BTreeMap::from([((0_u8, 0_u8), 1_i64)]);
    for _ in 1..REPORTS {
        let mut next = BTreeMap::new();
        for ((here, there), weight) in others {
            *next.entry((here + 1, there)).or_insert(0) += weight * LIE;
            *next.entry((here, there + 1)).or_insert(0) += weight * LIE;
            *next.entry((here, there)).or_insert(0) += weight * rest;
        }
        others = next;
    }
    let with = |here_weight: i64, there_weight: i64| {
        let mut all = BTreeMap::new();
        for ((here, there), weight) in &others {
            *all.entry((here + 1, *there)).or_insert(0) += weight * here_weight;
            *all.entry((*here, there + 1)).or_insert(0) += weight * there_weight;
            *all.entry((*here, *there)).or_insert(0) += weight * (10 - here_weight - there_weight);
        }
        all
    };
    divergence(&with(TRUTH, LIE), &with(LIE, TRUTH))
}

#[test]
fn the_published_parameters_are_below_the_truth_and_the_blanket_is_not() {
    // 9103/50000 and 18161/100000.
    assert_eq!(truth(), 2 * 18_206);
    assert_eq!(published(), 2 * 18_161);
    let randomizer = KaryRandomizer::new(6, Epsilon::new(5_f64.ln()).unwrap()).unwrap();
    let bound = delta_upper(&randomizer, 5, Epsilon::new(1.5_f64.ln()).unwrap());
    assert!(bound >= 0.182_06 * (1.0 - 1e-12), "{bound}");
}
