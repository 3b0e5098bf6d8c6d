//! A batch as it was collected: what all findings are about.

use crate::noisy_counts::NoisyCounts;
use sottovoce_program::{compile::CompiledTask, format_moment};

/// A batch of a task, as it was collected.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// The task.
    pub task: &'a CompiledTask,
    /// What the aggregators' shares add up to.
    pub counts: NoisyCounts,
    /// Start of its first window, in seconds since the Epoch.
    pub start: u64,
    /// End of its last window, in seconds since the Epoch.
    pub end: u64,
    /// Which of the batches that the leader selected it is; nothing if the period says so.
    pub id: Option<String>,
}

impl Batch<'_> {
    /// Its first window in words, and which batch it is of those that begin in it.
    pub(super) fn label(&self) -> String {
        let start = format_moment(self.start);
        let short = self.id.as_ref().map(|id| id.chars().take(SHORT).collect::<String>());
        short.map_or(start.clone(), |id| format!("{start} (batch {id})"))
    }

    /// Whether it is the other one, or has reports of the other one.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        let overlaps = self.start < other.end && other.start < self.end;
        let is_it = if self.id.is_some() { self.id == other.id } else { overlaps };
        self.task.task_id == other.task.task_id && is_it
    }
}

/// Characters of a batch's ID that tell it from others in words.
const SHORT: usize = 8;
