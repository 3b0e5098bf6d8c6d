//! What releases say in words: shares and means, differences that the data supports, and those
//! that it does not.
//!
//! [`Findings::of`] takes the batches of one program, from the collector or from what it wrote down
//! ([`saved`]), and asks [`crate::estimate`] what each metric's kind allows: the main [`measure`]
//! of each batch, arms of a public dimension against each other, segments of a private one,
//! strengths of candidates, changes over windows, and what dishonest devices could have done. What
//! cannot be answered is refused, with the reason.

mod arms;
mod batch;
pub mod measure;
pub mod saved;
mod segments;
mod silence;
mod words;

pub use batch::{Batch, BatchFindings, NamedFigure};
pub use segments::HeldOut;

use crate::{
    estimate::{
        EstimateError,
        change::{Alarm, ChangePoint},
        compare::Comparison,
        preference::Strengths,
    },
    program::encoding::EncodingError,
};
use serde::Serialize;
use thiserror::Error;

/// What the batches of a program say.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// Metric by metric, in the order they came in.
    pub metrics: Vec<MetricFindings>,
}

/// What the batches of one metric say.
#[derive(Clone, Debug, Serialize)]
pub struct MetricFindings {
    /// The metric.
    pub metric: String,
    /// Batch by batch: in time, and then by the values of public dimensions.
    pub batches: Vec<BatchFindings>,
    /// Tasks of different values of public dimensions, in the same window.
    pub arms: Vec<ArmsFindings>,
    /// Strengths of the candidates of a preference, from all batches of a task.
    pub strengths: Vec<StrengthFindings>,
    /// Changes over the windows of a task.
    pub changes: Vec<ChangeFindings>,
    /// What was asked of the data and is not answered, with the reason.
    pub refused: Vec<String>,
}

/// Arms compared in one window.
#[derive(Clone, Debug, Serialize)]
pub struct ArmsFindings {
    /// The window's start.
    pub start: String,
    /// What is compared.
    pub measure: String,
    /// Each two arms, corrected for how many comparisons there are in the window.
    pub comparisons: Vec<Comparison>,
}

/// Candidates compared in one task.
#[derive(Clone, Debug, Serialize)]
pub struct StrengthFindings {
    /// The task.
    pub task: String,
    /// How strong each is.
    #[serde(flatten)]
    pub strengths: Strengths,
    /// Each two of them.
    pub comparisons: Vec<Comparison>,
}

/// A measure over the windows of one task.
#[derive(Clone, Debug, Serialize)]
pub struct ChangeFindings {
    /// The task.
    pub task: String,
    /// What is looked at.
    pub measure: String,
    /// Looking back: the one change that explains the windows best.
    pub change: ChangePoint,
    /// As the windows came in: the first alarm of a drift from the first window.
    pub alarm: Option<Alarm>,
    #[serde(skip)]
    unit: crate::estimate::compare::Unit,
}

/// Batches that say nothing together.
#[derive(Debug, Error)]
pub enum FindingsError {
    /// A batch is there twice.
    #[error("{task} has two batches that start at {start}; give each release once")]
    Twice {
        /// The task.
        task: String,
        /// The start of the window.
        start: String,
    },
    /// The program's own encoding is not what it should be.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// The counts contradict each other.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
}

impl Findings {
    /// Asks all that the metrics allow.
    pub fn of(mut batches: Vec<Batch<'_>>) -> Result<Self, FindingsError> {
        let mut names: Vec<&str> = Vec::new();
        for batch in &batches {
            let name = batch.task.metric.name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        batches.sort_by(|one, other| {
            (one.start, &one.task.name).cmp(&(other.start, &other.task.name))
        });
        for (index, batch) in batches.iter().enumerate() {
            let same = |other: &Batch<'_>| {
                other.task.task_id == batch.task.task_id && other.start == batch.start
            };
            if batches[..index].iter().any(same) {
                return Err(FindingsError::Twice {
                    task: batch.task.name.clone(),
                    start: crate::program::format_moment(batch.start),
                });
            }
        }
        let metrics = names.into_iter().map(|name| {
            let of_metric = batches.iter().filter(|batch| batch.task.metric.name == name);
            arms::of_metric(name, &of_metric.collect::<Vec<_>>())
        });
        Ok(Self { metrics: metrics.collect() })
    }
}

#[cfg(test)]
mod tests;
