//! Simulations: many device engines with invented users, the real encoding, and figures compared with the
//! truth.
//!
//! A [`scenario`] says how people behave; [`behaviour`] draws what one of them thinks, says and
//! does, from a seed; [`population`] runs one device after the other on all cores, each `device`
//! through all its windows in time of its own, and drops it, so that memory does not grow with
//! them; [`aggregators`] are a leader and a helper within the process, which open, verify and add
//! up every report; [`truth`] keeps what was so, and [`counts`] what happened; [`report`] lays what a
//! collector sees beside it. [`crowd`] is the same people for real servers.
//!
//! The users are repeatable, the noise is not: engines draw it from the operating system, as on any
//! device, and nothing can give them a seed. So it is with the windows that a device takes part in, where a
//! budget covers some of a period's only. What everybody thought is the same for a seed on any
//! machine. What was contributed is too, unless requests get lost or apps are killed: when an engine
//! sends depends on a jitter of its own, and so does then whether a report comes in time.

pub mod aggregators;
pub mod behaviour;
pub mod counts;
pub mod crowd;
mod device;
mod population;
pub mod report;
pub mod scenario;
pub mod truth;
mod world;

pub use report::Outcome;

use aggregators::Aggregators;
use anyhow::ensure;
use scenario::Scenario;
use sottovoce_program::{Program, format_moment};
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
    program: &Arc<Program>,
    scenario: &Scenario,
    options: Options,
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Outcome> {
    check(program, options)?;
    let aggregators = Aggregators::new(program)?;
    let results = population::run(program, scenario, options, &aggregators, progress)?;
    report::outcome(program, options, &aggregators, &results)
}

/// Refuses what cannot be simulated, before any work is done.
fn check(program: &Program, options: Options) -> anyhow::Result<()> {
    let Options { devices, windows, start, .. } = options;
    ensure!(devices > 0 && windows > 0, "a simulation needs at least one device and one window");
    if let Some(interval) = program.interval() {
        let unit = program.window();
        let first = unit.time_at(start).0;
        let [from, to] = [interval.start(), interval.end()];
        ensure!(
            from.0 <= first && first.saturating_add(windows) <= to.0,
            "the program runs from {} to {}, and {windows} windows from {} are not all within that; change \
             --start or --windows",
            format_moment(unit.start_of(from)),
            format_moment(unit.start_of(to)),
            format_moment(start),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
