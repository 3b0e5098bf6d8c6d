//! A release: what a collected batch says, with its uncertainty and its price in privacy.

use super::proofs::{Proofs, Unproved};
use serde::{Deserialize, Serialize};
use sottovoce_dap::{ids::TaskId, time::Interval, vdaf::unshard::AggregateResult};
use sottovoce_estimate::{
    Estimate, EstimateError,
    confidence::Confidence,
    estimates,
    findings::{Batch, counts::noisy_counts},
    noisy_counts::NoisyCounts,
};
use sottovoce_privacy::units::Guarantee;
use sottovoce_program::{Program, compile::CompiledTask};
use thiserror::Error;

/// The figures of one task and one batch.
#[derive(Clone, Debug)]
pub struct Release {
    /// The metric, with the public dimension values of its task.
    pub name: String,
    /// The task: what its reports were promised, and so by what they are read.
    pub task: TaskId,
    /// Which of the batches that the leader selected it is; nothing if the period says so.
    pub batch: Option<String>,
    /// Reports in the batch, those without an answer included.
    pub reports: u64,
    /// Start of the first window with a report, and end of the last, in seconds since the Epoch.
    pub period: (u64, u64),
    /// The figures, in the order of the bins.
    pub bins: Vec<Figure>,
    /// What it cost, per trust model.
    pub privacy: Vec<Guarantee>,
    /// What the figures were made of.
    pub counts: NoisyCounts,
    /// That both aggregators' logs have it, or why that is not proved; nothing if the program names no
    /// logs.
    pub proofs: Option<Result<Proofs, Unproved>>,
}

/// One bin of a release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The answer.
    pub label: String,
    /// Noisy reports in this bin: what the aggregators' sum says before debiasing.
    pub reported: i64,
    /// What that says of the devices in the batch and of the population.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// A batch that gives no figures.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The aggregate is not a histogram of the task's bins.
    #[error("the aggregate has {found} elements, and the task has {bins} bins")]
    Shape {
        /// Elements of the aggregate.
        found: usize,
        /// Bins of the task.
        bins: usize,
    },
    /// A count is larger than any batch.
    #[error("the count of bin {0} is larger than any batch")]
    Count(usize),
    /// The counts contradict each other.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
}

impl Release {
    /// Debiases the aggregate of a task's batch.
    pub fn new(
        program: &Program,
        task: &CompiledTask,
        aggregate: &AggregateResult,
        reports: u64,
        interval: Interval,
    ) -> Result<Self, ReleaseError> {
        let labels = task.labels();
        let found = match aggregate {
            AggregateResult::Vector(counts) => counts.len(),
            AggregateResult::Integer(_) => 1,
        };
        if found != labels.len() {
            return Err(ReleaseError::Shape { found, bins: labels.len() });
        }
        let count = |(bin, count): (usize, i128)| {
            i64::try_from(count).map_err(|_| ReleaseError::Count(bin))
        };
        let counts = aggregate.signed().into_iter().enumerate().map(count);
        let counts = counts.collect::<Result<Vec<_>, _>>()?;
        let window = task.window();
        let period = (window.start_of(interval.start()), window.start_of(interval.end()));
        let noisy = noisy_counts(program, task, counts.clone(), reports, period)?;
        let estimates = estimates(&noisy, Confidence::USUAL);
        let bins = labels.into_iter().zip(counts).zip(estimates);
        Ok(Self {
            name: task.name.clone(),
            task: task.task_id,
            batch: None,
            reports,
            period,
            bins: bins
                .map(|((label, reported), estimate)| Figure { label, reported, estimate })
                .collect(),
            privacy: task.guarantees().to_vec(),
            counts: noisy,
            proofs: None,
        })
    }

    /// The same as a batch of its task, for findings.
    pub fn as_batch<'a>(&self, task: &'a CompiledTask) -> Batch<'a> {
        let (start, end) = self.period;
        Batch { task, counts: self.counts.clone(), start, end, id: self.batch.clone() }
    }
}
