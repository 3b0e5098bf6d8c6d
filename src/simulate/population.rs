//! The population: one device after the other, each through all its windows, on all cores.

use super::{
    Options,
    aggregators::{Aggregators, Inbox},
    device,
    scenario::{Scenario, dimensions},
    world::{Results, World},
};
use rayon::prelude::*;
use sottovoce_program::Program;
use std::sync::Arc;

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
