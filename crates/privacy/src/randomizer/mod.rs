//! What runs on the device before an answer is shared: noise by integer thresholds.
//!
//! [`KaryRandomizer`] reports one of k bins, and now and then another; [`BitRandomizer`] reports
//! a vector of bits, each now and then flipped. Both decide by comparing 64-bit draws with
//! integers that the manifest publishes, so that the realised privacy loss is exactly a logarithm
//! of two integers, with no floating-point number between the guarantee and the device (Mironov
//! 2012 shows what such numbers leak), and both take the same time whatever the answer is.

pub mod bits;
pub mod kary;

pub use bits::{BitRandomizer, Changed, RandomizedBits};
pub use kary::{KaryRandomizer, Randomized};

use super::units::Epsilon;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The index of a bin that an answer is encoded as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bin(u32);

impl Bin {
    /// From its index.
    pub fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Parameters that make no randomizer, or an answer that it does not take.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
pub enum RandomizerError {
    /// Too few bins to hide in, or too many to prove.
    #[error("the randomizer has {0} bins; it needs 2 to {MAX_BINS}")]
    Bins(u32),
    /// A vector without bits, or with too many to prove.
    #[error("the randomizer has {0} bits; it needs 1 to {MAX_BINS}")]
    Bits(u32),
    /// A budget outside what the thresholds resolve.
    #[error("epsilon0 = {0:?} must be above 0 and at most {MAX_EPSILON}; 4 is usual")]
    Epsilon(f64),
    /// A weight that leaves the truth no more likely than a lie.
    #[error("the lie weight is {weight}; with {bins} bins the maximum is 2^64/{bins}")]
    Weight {
        /// The weight given.
        weight: u64,
        /// The bins given.
        bins: u32,
    },
    /// A weight that turns bits over never, or more often than not.
    #[error("the flip weight is {0}; it must be 1 to 2^63")]
    Flip(u64),
    /// A bin that there is not.
    #[error("bin {bin} does not exist: there are {bins}")]
    NoSuchBin {
        /// The bin given.
        bin: u32,
        /// The number of bins.
        bins: u32,
    },
    /// A vector of another length.
    #[error("the randomizer has {bits} bits, and {given} were given; give each exactly once")]
    Length {
        /// The length given.
        given: usize,
        /// The length there is.
        bits: u32,
    },
    /// A probability that no event has.
    #[error("the refusal probability is {0}; it must be above 0 and below 1; 1e-6 is usual")]
    Refusal(f64),
}

/// The most bins, or bits, of one randomizer.
pub const MAX_BINS: u32 = 1 << 16;
/// The largest budget: beyond it a single lie would be rarer than one in a billion.
pub const MAX_EPSILON: f64 = 20.0;

const TWO_64: f64 = 18_446_744_073_709_551_616.0;
/// More than the relative error of a few roundings.
const OUTWARD: f64 = 4.0 * f64::EPSILON;

fn check_bins(bins: u32) -> Result<(), RandomizerError> {
    if (2..=MAX_BINS).contains(&bins) { Ok(()) } else { Err(RandomizerError::Bins(bins)) }
}

/// The smallest whole number that floating point can prove to be at least
/// `2^64/(e^ε + others)`: `exp`, the sum and the quotient err by less than 2^-50 together.
fn odds_weight(epsilon: Epsilon, others: u32) -> Result<u64, RandomizerError> {
    let nominal = epsilon.get();
    if !(nominal > 0.0 && nominal <= MAX_EPSILON) {
        return Err(RandomizerError::Epsilon(nominal));
    }
    let quotient = TWO_64 / (nominal.exp() + f64::from(others));
    Ok(float_to_weight((quotient * (1.0 + OUTWARD)).ceil()))
}

fn round_up(value: f64) -> f64 {
    value * (1.0 + OUTWARD)
}

#[expect(clippy::cast_precision_loss, reason = "callers round outward by more than this loses")]
fn to_float(weight: u128) -> f64 {
    weight as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number between 0 and 2^63, since e^ε + others is above 2"
)]
fn float_to_weight(value: f64) -> u64 {
    value as u64
}
