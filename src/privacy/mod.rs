//! How private it is: the randomizers that run on the device, and what they guarantee.
//!
//! Read [`units`] first: every figure is a [`Guarantee`](units::Guarantee) under a trust model.
//! [`rng`] is where randomness comes from, [`randomizer`] draws the noise, [`amplification`]
//! bounds what a whole batch reveals, [`composition`] what several batches do, [`guarantee`] puts
//! it all together, and [`budget`] keeps the account. All bounds are upper bounds: rounding goes
//! outward.
//!
//! The neighbouring relation is the same everywhere ([`guarantee::NEIGHBOURS`]): two batches that
//! differ in the answer of one device, whose report is in both (replacement).

pub mod amplification;
pub mod budget;
pub mod composition;
pub mod guarantee;
pub mod randomizer;
pub mod rng;
pub mod units;

use guarantee::{Mechanism, Release};
use randomizer::KaryRandomizer;
use units::{Delta, Guarantee, Share, TrustModel};

/// What k-ary randomized response guarantees for one report in one batch, per trust model.
///
/// `reserve` is the share of the smallest batch that is taken to be dishonest or missing: the
/// amplified guarantee counts on the others only. Where nothing is amplified (too few honest
/// reports, or δ = 0) the randomizer's own bound is what there is.
pub fn guarantees(
    randomizer: &KaryRandomizer,
    min_batch_size: u64,
    reserve: Share,
    delta: Delta,
) -> Vec<Guarantee> {
    let release = Release {
        mechanism: Mechanism::Krr(randomizer.clone()),
        noise: None,
        honest: reserve.honest_of(min_batch_size),
    };
    let local = |trust| Guarantee {
        trust,
        epsilon: randomizer.epsilon(),
        delta: Delta::ZERO,
        theorem: guarantee::THEOREM_KARY,
    };
    let models = [TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc];
    release.guarantees(delta).unwrap_or_else(|_| models.map(local).to_vec())
}
