//! How private it is: the randomizers that run on the device, and what they guarantee.
//!
//! Read [`units`] first: every figure is a [`Guarantee`] under a trust model.
//! [`rng`] is where randomness comes from, [`randomizer`] draws the noise, [`amplification`]
//! bounds what a whole batch reveals, [`composition`] what several batches do, [`guarantee`] puts
//! it all together, and [`budget`] keeps the account. All bounds are upper bounds: rounding goes
//! outward, for people too ([`shown`]). What a guarantee means, [`words`] says.
//!
//! The neighbouring relation is the same everywhere ([`guarantee::NEIGHBOURS`]): two batches that
//! differ in the answer of one device, whose report is in both (replacement).
//!
//! What one report of 10,000 guarantees, if it is one of six choices, randomized with ε₀ = 4:
//!
//! ```
//! use sottovoce_privacy::{
//!     guarantee::{Mechanism, MechanismKind, Release},
//!     units::{Delta, Epsilon},
//! };
//!
//! let mechanism = Mechanism::new(MechanismKind::Krr, 6, Epsilon::new(4.0)?)?;
//! let release = Release { mechanism, noise: None, honest: 10_000 };
//! for guarantee in release.guarantees(Delta::new(1e-6)?)? {
//!     println!("{guarantee:?}");
//! }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod amplification;
pub mod budget;
pub mod composition;
pub mod guarantee;
pub mod noise;
pub mod randomizer;
pub mod rng;
pub mod shown;
pub mod units;
pub mod words;

use guarantee::{GuaranteeError, LEAST_REPORTS, Mechanism, Release};
use noise::AggregatorNoise;
use units::{Delta, Guarantee, Share, TrustModel};

/// What a task's randomizer and its aggregators' noise guarantee for one report in one batch, per
/// trust model.
///
/// `reserve` is the share of the smallest batch that is taken to be dishonest or missing: what
/// aggregation adds counts on the others only. Where those are too few to hide among, the
/// randomizer's own bound is what there is.
pub fn guarantees(
    mechanism: &Mechanism,
    noise: Option<AggregatorNoise>,
    min_batch_size: u64,
    reserve: Share,
    delta: Delta,
) -> Result<Vec<Guarantee>, GuaranteeError> {
    let honest = reserve.honest_of(min_batch_size);
    if honest < LEAST_REPORTS {
        let models = [TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc];
        return Ok(models.map(|trust| mechanism.local_guarantee(trust)).to_vec());
    }
    Release { mechanism: mechanism.clone(), noise, honest }.guarantees(delta)
}
