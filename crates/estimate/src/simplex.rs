//! Rates that look like rates: none below zero, and all of them together 1.
//!
//! Unbiased rates may be negative, and need not add up. For a chart they can be moved to the
//! nearest distribution. That is post-processing: it costs no privacy, and it is biased, so no
//! interval and no test uses it.

use serde::Serialize;

/// Rates after projection, labelled as such.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Projected {
    /// At least 0 each, 1 together.
    pub rates: Vec<f64>,
    /// What was done to them, in words to print beside them.
    pub label: &'static str,
}

/// The label of all projected rates.
pub const LABEL: &str = "post-processed: moved to the nearest distribution; biased, for display \
                         only (intervals and tests use the unbiased rates)";

/// The distribution nearest to some rates.
pub fn project(rates: &[f64]) -> Projected {
    Projected { rates: nearest(rates), label: LABEL }
}

/// The nearest point of the simplex in Euclidean distance: `(r_j + τ)₊` with τ such that they add
/// up to 1 (Held, Wolfe and Crowder 1974; Norm-Sub in Wang and others, NDSS 2020).
pub fn nearest(rates: &[f64]) -> Vec<f64> {
    let mut sorted = rates.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (mut sum, mut used, mut shift) = (0.0, 0.0, 0.0);
    for rate in sorted {
        sum += rate;
        used += 1.0;
        let candidate = (1.0 - sum) / used;
        // The largest rates stay above zero, as many as the shift that they need allows.
        if rate + candidate > 0.0 {
            shift = candidate;
        }
    }
    rates.iter().map(|rate| (rate + shift).max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    #[test]
    fn a_distribution_stays() {
        for rates in [vec![1.0], vec![0.2, 0.3, 0.5], vec![0.0, 1.0]] {
            assert!(distance(&nearest(&rates), &rates) < 1e-24);
        }
    }

    #[test]
    fn a_negative_rate_is_paid_for_by_the_others() {
        let projected = nearest(&[-0.1, 0.5, 0.6]);
        assert!(distance(&projected, &[0.0, 0.45, 0.55]) < 1e-24, "{projected:?}");
    }

    proptest! {
        #[test]
        fn no_distribution_is_nearer(
            rates in prop::collection::vec(-0.5..1.5_f64, 1..8),
            weights in prop::collection::vec(0.0..1.0_f64, 8),
        ) {
            let projected = nearest(&rates);
            prop_assert!((projected.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(projected.iter().all(|rate| *rate >= 0.0));
            let total: f64 = weights[..rates.len()].iter().sum::<f64>() + 1e-9;
            let mut other: Vec<f64> =
                weights[..rates.len()].iter().map(|weight| weight / total).collect();
            other[0] += 1.0 - other.iter().sum::<f64>();
            prop_assert!(distance(&projected, &rates) <= distance(&other, &rates) + 1e-9);
        }
    }
}
