//! Amplification by aggregation: what a batch reveals of one report when only its sum is seen.
//!
//! Three accountants, each an upper bound for every dataset of the other users:
//!
//! - [`blanket`]: k-ary randomized response, by the privacy blanket.
//! - [`bits`]: bitwise randomized response, each coordinate by a scan over what the others may
//!   have answered, coordinates composed by privacy-loss distributions.
//! - [`clones`]: any randomizer with a local budget, when nothing better is known.
//!
//! One more honest report never hurts, since it is independent of the target and adding it is
//! post-processing. So what is proved for fewer reports holds for more, and beyond
//! [`MOST_REPORTS`] no more is computed.

pub mod bits;
pub mod blanket;
pub mod clones;

pub(crate) mod binomial;
pub(crate) mod search;

#[cfg(test)]
mod counterexample;

pub use blanket::{delta_upper, epsilon_upper};

use super::units::Epsilon;

/// What a batch proves of one of its reports at some δ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amplified {
    /// The ε of (ε, δ).
    pub epsilon: Epsilon,
    /// What the privacy loss exceeds with a probability of at most δ.
    pub pointwise: Epsilon,
}

impl Amplified {
    /// From numbers that are not below zero, none above the randomizer's own.
    fn new(epsilon: f64, pointwise: f64, own: Epsilon) -> Option<Self> {
        let at_most = |value: f64| Epsilon::new(value.min(own.get())).ok();
        Some(Self { epsilon: at_most(epsilon)?, pointwise: at_most(pointwise)? })
    }
}

/// Reports beyond this many are not counted: the bound for this many is a bound for more.
pub const MOST_REPORTS: u64 = 1_000_000_000;
