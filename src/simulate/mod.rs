//! Simulations: many device engines with invented users, the real encoding, and figures beside the
//! truth.
//!
//! A [`scenario`] says how people behave; [`behaviour`] draws what one of them says and does, from a
//! seed; [`population`] runs one engine for each through all its windows, on all cores, and drops
//! it; [`aggregators`] are a leader and a helper within the process, which open, verify and add up
//! every report; [`report`] lays what a collector would see beside what was so.
//!
//! The users are repeatable, the noise is not: engines draw it from the operating system, as on any
//! device, and nothing can give them a seed.

pub mod aggregators;
pub mod behaviour;
pub mod population;
pub mod report;
pub mod scenario;

pub use report::Outcome;

use crate::program::Program;
use aggregators::Aggregators;
use scenario::Scenario;
use std::sync::Arc;

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many devices.
    pub devices: u64,
    /// How many windows.
    pub windows: u64,
    /// Where users' behaviour is drawn from.
    pub seed: u64,
    /// The first moment of the first window, in seconds since the Epoch; rounded down to a window.
    pub start: u64,
}

/// Runs a simulation; `progress` is told of each device that is done, from any thread.
pub fn run(
    program: Arc<Program>,
    scenario: &Scenario,
    options: Options,
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Outcome> {
    population::check(options)?;
    let aggregators = Aggregators::new(&program)?;
    let results = population::run(&program, scenario, options, &aggregators, progress)?;
    report::outcome(&program, options, &aggregators, results)
}
