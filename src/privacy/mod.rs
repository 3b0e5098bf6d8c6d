//! How private it is: the randomizer that runs on the device, and what it guarantees.
//!
//! Read [`units`] first: every figure is a [`Guarantee`] under a trust model.
//! [`rng`] is where randomness comes from, [`randomizer`] draws the noise, [`amplification`]
//! bounds what a whole batch reveals. All bounds are upper bounds: rounding goes outward.
//!
//! The neighbouring relation is the same everywhere: two batches that differ in the answer of one
//! device, whose report is in both (replacement).

pub mod amplification;
pub mod composition;
pub mod noise;
pub mod randomizer;
pub mod rng;
pub mod units;

use randomizer::KaryRandomizer;
use units::{Delta, Guarantee, Share, TrustModel};

/// What k-ary randomized response guarantees for one report in one batch, per trust model.
///
/// `reserve` is the share of the smallest batch that is taken to be dishonest or missing: the
/// amplified guarantee counts on the others only.
pub fn guarantees(
    randomizer: &KaryRandomizer,
    min_batch_size: u64,
    reserve: Share,
    delta: Delta,
) -> Vec<Guarantee> {
    let local = |trust| Guarantee {
        trust,
        epsilon: randomizer.epsilon(),
        delta: Delta::ZERO,
        theorem: "k-ary randomized response with exact integer thresholds",
    };
    vec![
        local(TrustModel::Oc),
        // Without aggregator noise an honest aggregator hides nothing that the randomizer does
        // not hide already, once every other client is corrupt.
        local(TrustModel::Oaoc),
        amplified(randomizer, reserve.honest_of(min_batch_size), delta)
            .unwrap_or_else(|| local(TrustModel::Oamc)),
    ]
}

fn amplified(randomizer: &KaryRandomizer, honest: u64, delta: Delta) -> Option<Guarantee> {
    let epsilon = amplification::epsilon_upper(randomizer, honest, delta)?;
    (epsilon < randomizer.epsilon()).then_some(Guarantee {
        trust: TrustModel::Oamc,
        epsilon,
        delta,
        theorem: "privacy blanket, evaluated exactly (Balle, Bell, Gascón, Nissim 2019)",
    })
}
