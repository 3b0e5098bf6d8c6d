//! Releases as the collector's JSON has them, read back.

use super::Batch;
use crate::{
    estimate::{
        EstimateError,
        aggregator_noise::AggregatorNoise,
        noisy_counts::{Channel, NoisyCounts},
    },
    program::{Program, compile::CompiledTask, parse_moment},
};
use serde::Deserialize;
use thiserror::Error;

/// A file of releases: the output of the collector with `--json`.
#[derive(Debug, Deserialize)]
pub struct Saved {
    metrics: Vec<SavedRelease>,
}

#[derive(Debug, Deserialize)]
struct SavedRelease {
    name: String,
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
        let Self { name, reports, start, end, bins } = self;
        let Some(task) = program.task(&name) else { return Err(SavedError::NoTask { name }) };
        if !bins.iter().map(|bin| &bin.label).eq(&task.labels()) {
            return Err(SavedError::Bins { name });
        }
        let moment = |text: &str| {
            parse_moment(text).map_err(|reason| SavedError::Moment { name: name.clone(), reason })
        };
        let (start, end) = (moment(&start)?, moment(&end)?);
        let counts = bins.iter().map(|bin| bin.reported).collect();
        let counts = noisy_counts(task, counts, reports)
            .map_err(|source| SavedError::Counts { name: name.clone(), source })?;
        Ok(Batch { task, counts, start, end })
    }
}

/// The counts of a task's batch, with all that is public about their noise.
pub fn noisy_counts(
    task: &CompiledTask,
    counts: Vec<i64>,
    reports: u64,
) -> Result<NoisyCounts, EstimateError> {
    let channel = Channel::of_mechanism(&task.randomizer().mechanism)?;
    NoisyCounts::new(counts, reports, channel, AggregatorNoise::of_both(task.noise()))
}
