//! Why a release has no finite guarantee, and what would have one.

use crate::{
    composition::CompositionError,
    randomizer::RandomizerError,
    shown::at_most,
    units::{Delta, Epsilon},
};
use thiserror::Error;

/// A guarantee that there is not.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum GuaranteeError {
    /// A batch in which nothing can hide.
    #[error(
        "reports = {0}: amplification needs other reports, so a batch needs at least {LEAST_REPORTS} \
         honest ones; the default smallest batch is 3000"
    )]
    Reports(u64),
    /// A δ at which nothing is proved.
    #[error(
        "delta = {0}: what aggregation adds is proved for a delta above 0 and below 1 only; use \
         {nearest}, or any that is far below one in the number of devices",
        nearest = nearest_delta(*.0)
    )]
    Delta(f64),
    /// An ε that is none.
    #[error("epsilon = {0} must be a number above 0; 1 is a usual target")]
    Epsilon(f64),
    /// A target that no batch reaches.
    #[error(
        "epsilon = {target} at delta = {delta} cannot be met with epsilon0 = {} by any batch of up \
         to {LARGEST_BATCH} honest reports; they give epsilon = {nearest}; use that, or a smaller \
         epsilon0",
        at_most(*epsilon0, 4)
    )]
    NoBatch {
        /// The ε wanted.
        target: f64,
        /// At this δ.
        delta: f64,
        /// The randomizer's budget.
        epsilon0: f64,
        /// What the largest batch gives, rounded up.
        nearest: f64,
    },
    /// Parameters that make no randomizer.
    #[error(transparent)]
    Randomizer(#[from] RandomizerError),
    /// Parameters that make no noise.
    #[error(transparent)]
    Noise(#[from] CompositionError),
}

/// The smallest batch in which anything hides.
pub const LEAST_REPORTS: u64 = 2;
/// Larger batches are not looked for.
pub const LARGEST_BATCH: u64 = 100_000_000;

fn nearest_delta(delta: f64) -> f64 {
    if delta >= 1.0 { 0.01 } else { 1e-6 }
}

/// A δ that amplification can be proved for, or what is wrong with it.
pub fn usable_delta(delta: f64) -> Result<Delta, GuaranteeError> {
    let delta = Delta::new(delta).map_err(|_| GuaranteeError::Delta(delta))?;
    if delta == Delta::ZERO { Err(GuaranteeError::Delta(0.0)) } else { Ok(delta) }
}

/// An ε above 0, or what is wrong with it.
pub fn usable_epsilon(epsilon: f64) -> Result<Epsilon, GuaranteeError> {
    let usable = Epsilon::new(epsilon).ok().filter(|epsilon| epsilon.get() > 0.0);
    usable.ok_or(GuaranteeError::Epsilon(epsilon))
}

pub(super) fn check(honest: u64, delta: Delta) -> Result<(), GuaranteeError> {
    usable_delta(delta.get())?;
    if honest < LEAST_REPORTS { Err(GuaranteeError::Reports(honest)) } else { Ok(()) }
}
