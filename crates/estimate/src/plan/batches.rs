//! The batches of a program over a period: one of each task and window.

use super::participation::{Fill, Participation};
use sottovoce_program::{Program, budget::Reporting, compile::CompiledTask};

/// The probability that some batch of a period holds fewer reports than are said to be sure.
const FAILURE: f64 = 0.01;

/// How many reports the batches of each metric hold.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    /// Each metric once: its name, the number of its tasks, and who is in one batch of theirs.
    metrics: Vec<(String, u64, Participation)>,
    of_windows: u64,
}

impl Batches {
    /// Each of the devices reports in `windows` of `of_windows` windows, and of each metric to one of
    /// its tasks.
    pub(super) fn new(program: &Program, devices: u64, windows: u64, of_windows: u64) -> Self {
        let of = |name: &str| {
            let arms =
                program.tasks().iter().filter(|task| task.metric.name == name).count() as u64;
            (name.to_owned(), arms, Participation::new(devices, windows, of_windows, arms))
        };
        Self {
            metrics: program.metrics().iter().map(|metric| of(&metric.name)).collect(),
            of_windows,
        }
    }

    /// The largest number of reports that all batches of a period hold, whichever metric's, but for a
    /// hundredth.
    pub(super) fn smallest(&self) -> u64 {
        let failure = self.failure();
        self.metrics.iter().map(|(_, _, batch)| batch.surely(failure)).min().unwrap_or(0)
    }

    /// The largest number of reports that the batches of one metric hold as surely.
    pub(super) fn surely(&self, metric: &str) -> u64 {
        self.find(metric).map_or(0, |batch| batch.surely(self.failure()))
    }

    /// How surely a batch of a task holds at least `least` reports.
    pub(super) fn fill(&self, task: &CompiledTask, least: u64) -> Fill {
        let none = Participation::new(0, 0, 1, 1);
        self.find(&task.metric.name).unwrap_or(none).fill(least)
    }

    /// A lower bound on the probability that all batches of a period hold at least `least` reports: one
    /// less the sum of the probabilities that each does not.
    pub(super) fn all_fill(&self, least: u64) -> f64 {
        let short =
            self.metrics.iter().map(|(_, arms, batch)| float(*arms) * batch.falls_short(least));
        (1.0 - float(self.of_windows) * short.sum::<f64>()).max(0.0)
    }

    fn find(&self, metric: &str) -> Option<Participation> {
        self.metrics.iter().find(|(name, _, _)| name == metric).map(|(_, _, batch)| *batch)
    }

    /// What each batch may have of the failure of all.
    fn failure(&self) -> f64 {
        let batches: u64 = self.metrics.iter().map(|(_, arms, _)| arms).sum();
        FAILURE / float(batches.max(1)) / float(self.of_windows.max(1))
    }
}

/// The fewest devices with which all batches of a period reach the program's `min_batch_size`, but for a
/// hundredth.
pub fn devices_needed(program: &Program) -> u64 {
    let Reporting { windows, of_windows, .. } = program.reporting();
    let least = program.min_batch_size();
    let enough = |devices| Batches::new(program, devices, windows, of_windows).smallest() >= least;
    let (mut low, mut high) = (0, least.max(1));
    while !enough(high) && high < MOST_DEVICES {
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

/// Nobody has more.
const MOST_DEVICES: u64 = 1 << 40;

#[expect(clippy::cast_precision_loss, reason = "numbers of windows and tasks")]
fn float(count: u64) -> f64 {
    count as f64
}
