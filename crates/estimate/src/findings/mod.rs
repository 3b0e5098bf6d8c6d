//! What releases say in words: shares and means, differences that the data supports, and those
//! that it does not.
//!
//! [`Findings::of`] takes the batches of one program, from the collector or from what it wrote down, and
//! asks [`crate`] what each metric's kind allows: the main [`measure`]
//! of each batch, arms of a public dimension against each other, segments of a private one,
//! strengths of candidates, changes over windows, and what dishonest devices could have done. What
//! cannot be answered is refused, with the reason; an arm, a segment or a window that says too little is
//! left out, and named.

mod arms;
mod batch;
mod batch_findings;
pub mod counts;
pub mod measure;
mod segments;
mod silence;
mod words;

pub use batch::Batch;
pub use batch_findings::{BatchFindings, NamedFigure};
pub use segments::HeldOut;
pub use words::reports;

use crate::{
    EstimateError,
    change::{Alarm, ChangePoint},
    compare::{Comparison, Unit},
    disparity::LeftOut,
    preference::Strengths,
};
use serde::Serialize;
use sottovoce_program::{Program, encoding::EncodingError};
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
    /// Arms that say too little.
    pub left_out: Vec<LeftOut>,
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
    /// The most reports that one device has in all batches.
    pub reports_of_one_device: u64,
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
    /// As the windows came in: the first alarm of a drift from those before.
    pub alarm: Option<Alarm>,
    /// How likely there is an alarm in so many windows if nothing changes, at most.
    pub false_alarm_probability: f64,
    /// Windows that say too little.
    pub left_out: Vec<LeftOut>,
    #[serde(skip)]
    unit: Unit,
}

/// Batches that say nothing together.
#[derive(Debug, Error)]
pub enum FindingsError {
    /// A batch is there twice.
    #[error("{task}: the batch from {start} is given twice; give each release once")]
    Twice {
        /// The task.
        task: String,
        /// The start of the window.
        start: String,
    },
    /// Two batches have windows in common.
    #[error(
        "{task}: the batches from {start} and from {other} overlap, and a task never releases overlapping \
         batches; check that both are releases of this program"
    )]
    Overlap {
        /// The task.
        task: String,
        /// The start of the earlier one.
        start: String,
        /// The start of the other.
        other: String,
    },
    /// The program's own encoding is not what it should be.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    /// The counts contradict each other.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
}

impl Findings {
    /// Asks all that the metrics allow of the program's batches.
    pub fn of(program: &Program, mut batches: Vec<Batch<'_>>) -> Result<Self, FindingsError> {
        let mut names: Vec<&str> = Vec::new();
        for batch in &batches {
            let name = batch.task.metric.name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        batches.sort_by(|one, other| {
            (one.start, &one.task.name, &one.id).cmp(&(other.start, &other.task.name, &other.id))
        });
        for (index, batch) in batches.iter().enumerate() {
            if let Some(other) = batches[..index].iter().find(|other| batch.is_in(other)) {
                let (task, start) = (batch.task.name.clone(), other.label());
                return Err(match batch.label() {
                    same if same == start => FindingsError::Twice { task, start },
                    other => FindingsError::Overlap { task, start, other },
                });
            }
        }
        let metrics = names.into_iter().map(|name| {
            let of_metric = batches.iter().filter(|batch| batch.task.metric.name == name);
            arms::of_metric(program, name, &of_metric.collect::<Vec<_>>())
        });
        Ok(Self { metrics: metrics.collect() })
    }
}

#[cfg(test)]
mod tests;
