//! Everybody: one device after the other, each through all its windows, on all cores.

use super::{
    Options,
    aggregators::{Aggregators, Inbox, Sums},
    device,
    scenario::{Scenario, dimensions},
    truth::{Key, Truth},
};
use crate::program::{Program, dimension::Dimension};
use rayon::prelude::*;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// What came of everybody.
#[derive(Default)]
pub(super) struct Results {
    pub(super) sums: Sums,
    pub(super) truths: BTreeMap<Key, Truth>,
    pub(super) counts: Counts,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Devices whose users took part.
    pub took_part: u64,
    /// Reports that the leader took.
    pub accepted: u64,
    /// Reports that the leader had already, because its answer was lost.
    pub replayed: u64,
    /// Reports that came when their batch was over.
    pub late: u64,
    /// Reports whose proof did not hold.
    pub refused: u64,
    /// Reports of liars who run the engine.
    pub lies: u64,
    /// Reports without noise by devices that do not, under a proof that holds.
    pub bare: u64,
    /// Reports of more than one vote, for which no proof holds.
    pub forged: u64,
    /// Requests of engines.
    pub requests: u64,
    /// Requests, and answers to uploads, that got lost.
    pub lost: u64,
    /// Apps that were killed.
    pub crashes: u64,
}

/// All that a device lives with.
pub(super) struct World<'a> {
    pub(super) program: &'a Arc<Program>,
    pub(super) scenario: &'a Scenario,
    pub(super) options: Options,
    pub(super) aggregators: &'a Aggregators,
    /// Each dimension of the program.
    pub(super) dimensions: Vec<&'a Dimension>,
}

/// Devices that one worker runs before its sums are handed on.
const CHUNK: u64 = 256;

/// Runs everybody. What memory it takes does not depend on how many they are.
pub(super) fn run(
    program: &Arc<Program>,
    scenario: &Scenario,
    options: Options,
    aggregators: &Aggregators,
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Results> {
    let dimensions = dimensions(program).collect();
    let world = World { program, scenario, options, aggregators, dimensions };
    let chunks = options.devices.div_ceil(CHUNK);
    (0..chunks)
        .into_par_iter()
        .map(|chunk| {
            let (mut results, mut inbox) = (Results::default(), Inbox::default());
            for number in chunk * CHUNK..options.devices.min((chunk + 1) * CHUNK) {
                device::live(&world, number, &mut inbox, &mut results)?;
                progress(1);
            }
            results.sums = aggregators.finish(inbox, &mut results.counts)?;
            Ok(results)
        })
        .try_reduce(Results::default, |mut one, other| {
            one.merge(other, aggregators)?;
            Ok(one)
        })
}

impl Results {
    fn merge(&mut self, other: Self, aggregators: &Aggregators) -> anyhow::Result<()> {
        aggregators.merge(&mut self.sums, other.sums)?;
        for (key, truth) in &other.truths {
            self.truths.entry(*key).or_default().merge(truth);
        }
        self.counts.add(other.counts);
        Ok(())
    }
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.took_part += other.took_part;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        self.late += other.late;
        self.refused += other.refused;
        self.lies += other.lies;
        self.bare += other.bare;
        self.forged += other.forged;
        self.requests += other.requests;
        self.lost += other.lost;
        self.crashes += other.crashes;
    }
}
