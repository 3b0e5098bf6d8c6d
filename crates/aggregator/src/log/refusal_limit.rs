//! How many refusals of each task are in the log, so that there are few.

use sottovoce_dap::ids::TaskId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Entries of one task's refusals in a period, before the one that stands for all further ones.
pub(super) const EACH: u32 = 16;

/// How many refusals of each task were written in its current period. A memory of this process: each replica
/// and each start has a bound of its own.
#[derive(Debug, Default)]
pub(super) struct RefusalLimit(Mutex<HashMap<TaskId, Period>>);

#[derive(Debug, Default)]
struct Period {
    number: u64,
    taken: u32,
    /// Keys of entries that this process knows to be there: at most [`EACH`].
    known: Vec<[u8; 32]>,
}

impl RefusalLimit {
    /// Takes the next number of a task in a period, from zero; `None` if the entry is known to be there.
    pub(super) fn take(&self, task: TaskId, period: u64, key: &[u8; 32]) -> Option<u32> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = all.entry(task).or_default();
        if current.number != period {
            *current = Period { number: period, ..Period::default() };
        }
        if current.known.contains(key) {
            return None;
        }
        let number = current.taken;
        current.taken = number.saturating_add(1);
        Some(number)
    }

    /// Gives a number back: nothing was written.
    pub(super) fn release(&self, task: &TaskId, period: u64) {
        self.change(task, period, |current| current.taken = current.taken.saturating_sub(1));
    }

    /// An entry is there.
    pub(super) fn mark_written(&self, task: &TaskId, period: u64, key: [u8; 32]) {
        self.change(task, period, |current| {
            if current.known.len() < EACH as usize && !current.known.contains(&key) {
                current.known.push(key);
            }
        });
    }

    fn change(&self, task: &TaskId, period: u64, change: impl FnOnce(&mut Period)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = all.get_mut(task).filter(|current| current.number == period) {
            change(current);
        }
    }
}
