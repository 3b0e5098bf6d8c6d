//! Releases as the collector's JSON has them, read back.

use super::{Batch, counts::noisy_counts};
use crate::EstimateError;
use serde::Deserialize;
use sottovoce_dap::{ids::TaskId, task::BatchMode};
use sottovoce_program::{Program, format_moment, parse_moment};
use thiserror::Error;

/// A file of releases: the output of the collector with `--json`.
#[derive(Debug, Deserialize)]
pub struct Saved {
    metrics: Vec<SavedRelease>,
}

#[derive(Debug, Deserialize)]
struct SavedRelease {
    name: String,
    task: Option<TaskId>,
    batch: Option<String>,
    reports: u64,
    start: String,
    end: String,
    bins: Vec<SavedBin>,
}

#[derive(Debug, Deserialize)]
struct SavedBin {
    label: String,
    reported: i64,
}

/// A file that holds no releases of the program.
#[derive(Debug, Error)]
pub enum SavedError {
    /// Not the collector's JSON.
    #[error("{0}; what is read is what the collector writes with --json")]
    Json(#[from] serde_json::Error),
    /// A task of another program.
    #[error("{name:?} is not a task of the program; is it the program of this release?")]
    NoTask {
        /// The name in the file.
        name: String,
    },
    /// A release of before releases had a task ID.
    #[error(
        "{name}: the release has no task ID, so that it cannot be told whether this program was its own; \
         an older version wrote it. Collect the batch again (the figures stay the same), or give the \
         release \"task\": \"{expected}\" if `sottovoce tasks` printed that ID for it at the time"
    )]
    NoTaskId {
        /// The task.
        name: String,
        /// Its ID in the program.
        expected: TaskId,
    },
    /// A release of a task that promised something else.
    #[error(
        "{name}: the release is of task {found}, and the program compiles {name} to task {expected}; the \
         two differ in epsilon0, bins, noise, window or something else that a task promises. Analyse it \
         with the program that it was collected with"
    )]
    OtherTask {
        /// The task.
        name: String,
        /// The ID in the file.
        found: TaskId,
        /// The ID in the program.
        expected: TaskId,
    },
    /// Several batches may begin in one window, and nothing says which this is.
    #[error(
        "{name}: the leader selects this program's batches, and the release does not say which of them it \
         is (\"batch\"); an older version wrote it. Give each release of this task a \"batch\" of its own"
    )]
    NoBatch {
        /// The task.
        name: String,
    },
    /// Bins of another program.
    #[error("{name}: the bins are not those of the program; is it the program of this release?")]
    Bins {
        /// The task.
        name: String,
    },
    /// A moment that is none.
    #[error("{name}: {reason}")]
    Moment {
        /// The task.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Counts that no batch has.
    #[error("{name}: {source}")]
    Counts {
        /// The task.
        name: String,
        /// What is wrong.
        source: EstimateError,
    },
}

impl Saved {
    /// Reads what the collector wrote.
    pub fn read(text: &str) -> Result<Self, SavedError> {
        Ok(serde_json::from_str(text)?)
    }

    /// The releases as batches of the program.
    pub fn batches(self, program: &Program) -> Result<Vec<Batch<'_>>, SavedError> {
        self.metrics.into_iter().map(|release| release.batch(program)).collect()
    }
}

impl SavedRelease {
    fn batch(self, program: &Program) -> Result<Batch<'_>, SavedError> {
        let Self { name, task: found, batch, reports, start, end, bins } = self;
        let Some(task) = program.task(&name) else { return Err(SavedError::NoTask { name }) };
        let expected = task.task_id;
        match found {
            None => return Err(SavedError::NoTaskId { name, expected }),
            Some(found) if found != expected => {
                return Err(SavedError::OtherTask { name, found, expected });
            }
            Some(_) => {}
        }
        // Of other programs the period says which batch it is.
        let selected = program.batch_mode() == BatchMode::LeaderSelected;
        let batch = batch.filter(|_| selected);
        if selected && batch.is_none() {
            return Err(SavedError::NoBatch { name });
        }
        if !bins.iter().map(|bin| &bin.label).eq(&task.labels()) {
            return Err(SavedError::Bins { name });
        }
        let moment = |text: &str| {
            parse_moment(text).map_err(|reason| SavedError::Moment { name: name.clone(), reason })
        };
        let (start, end) = (moment(&start)?, moment(&end)?);
        let window = program.window();
        if start >= end || !window.is_start(start) || !window.is_start(end) {
            let reason = format!(
                "a release is of whole windows, at least one; from {} to {} is not: {}",
                format_moment(start),
                format_moment(end),
                window.starts_near(if window.is_start(start) { end } else { start })
            );
            return Err(SavedError::Moment { name, reason });
        }
        let counts = bins.iter().map(|bin| bin.reported).collect();
        let counts = noisy_counts(program, task, counts, reports, (start, end))
            .map_err(|source| SavedError::Counts { name: name.clone(), source })?;
        Ok(Batch { task, counts, start, end, id: batch })
    }
}
