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

pub(in crate::privacy) mod binomial;
pub(in crate::privacy) mod search;

#[cfg(test)]
mod counterexample;

pub use blanket::{delta_upper, epsilon_upper};

/// Reports beyond this many are not counted: the bound for this many is a bound for more.
pub const MOST_REPORTS: u64 = 1_000_000_000;
