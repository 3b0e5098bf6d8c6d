//! The release document: what the collector writes with `--json` and `sottovoce analyse` reads, by the same types.
//!
//! What both aggregators handed over is read back: counts, windows, proofs. What follows from that and the
//! program (guarantees, the period, findings) is written for others to read and worked out anew here.

use super::{
    proofs::{Proofs, Unproved},
    release::{Figure, Release},
};
use serde::{Deserialize, Serialize};
use sottovoce_dap::{ids::TaskId, task::BatchMode};
use sottovoce_estimate::{
    EstimateError,
    findings::{Batch, Findings, MetricFindings, counts::noisy_counts},
};
use sottovoce_privacy::units::Guarantee;
use sottovoce_program::{
    Program, budget::PeriodCost, compile::CompiledTask, format_moment, parse_moment,
};
use thiserror::Error;

/// The version of the document that is written, and the only one that is read.
pub const VERSION: u64 = 1;

/// Releases of one program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseDocument {
    version: u64,
    /// The releases, one of each task that was collected.
    pub metrics: Vec<ReleasedBatch>,
    /// What they say together. Not read back.
    #[serde(skip_deserializing)]
    pub findings: Vec<MetricFindings>,
}

/// One release.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleasedBatch {
    /// The task's name.
    pub name: String,
    /// The task's ID.
    pub task: TaskId,
    /// Which of the batches that the leader selected it is; nothing if the period says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<String>,
    /// Reports in the batch, those without an answer included.
    pub reports: u64,
    /// The most reports of one device in it.
    pub reports_of_one_device: u64,
    /// Start of the first window with a report, in UTC.
    pub start: String,
    /// End of the last, in UTC.
    pub end: String,
    /// The figures, in the order of the bins.
    pub bins: Vec<Figure>,
    /// What one device risks over a period, all its reports of all metrics together. Not read back.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodCost>,
    /// What one report in one batch does, per trust model. Not read back.
    #[serde(skip_deserializing)]
    pub privacy: Vec<Guarantee>,
    /// That both aggregators' logs have the release, if the program names logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proofs: Option<Proofs>,
    /// Why that is not proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproved: Option<Unproved>,
}

/// What is looked at before anything else.
#[derive(Deserialize)]
struct Header {
    version: Option<u64>,
}

/// A file that holds no releases of the program.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// Not the collector's JSON.
    #[error("{0}; what is read is what the collector writes with --json")]
    Json(#[from] serde_json::Error),
    /// Written before there were versions.
    #[error(
        "the document has no \"version\": an older version of the collector wrote it, or something else. \
         Collect the batches again with --json (the figures stay the same)"
    )]
    NoVersion,
    /// Written by another version.
    #[error(
        "the document has version {found}, and this program reads version {VERSION}; use the version of \
         sottovoce that it was collected with, or collect the batches again with this one"
    )]
    OtherVersion {
        /// The version in the file.
        found: u64,
    },
    /// A task of another program.
    #[error("{name:?} is not a task of the program; is it the program of this release?")]
    NoTask {
        /// The name in the file.
        name: String,
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
         is; give each release of this task a \"batch\" of its own"
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

impl ReleaseDocument {
    /// Releases with what they say together, and what a period of the program's budget comes to.
    pub fn new<'a>(
        releases: impl IntoIterator<Item = &'a Release>,
        period: Option<&PeriodCost>,
        findings: Findings,
    ) -> Self {
        let metrics = releases.into_iter().map(|release| ReleasedBatch::new(release, period));
        Self { version: VERSION, metrics: metrics.collect(), findings: findings.metrics }
    }

    /// Reads what the collector wrote.
    pub fn read(text: &str) -> Result<Self, DocumentError> {
        match serde_json::from_str::<Header>(text)?.version {
            Some(VERSION) => Ok(serde_json::from_str(text)?),
            Some(found) => Err(DocumentError::OtherVersion { found }),
            None => Err(DocumentError::NoVersion),
        }
    }

    /// The releases as batches of the program.
    pub fn batches(self, program: &Program) -> Result<Vec<Batch<'_>>, DocumentError> {
        self.metrics.into_iter().map(|release| release.batch(program)).collect()
    }
}

impl ReleasedBatch {
    /// A release, and what a period of the program's budget comes to.
    pub fn new(release: &Release, period: Option<&PeriodCost>) -> Self {
        let (proofs, unproved) = match release.proofs.clone() {
            Some(Ok(proofs)) => (Some(proofs), None),
            Some(Err(unproved)) => (None, Some(unproved)),
            None => (None, None),
        };
        Self {
            name: release.name.clone(),
            task: release.task,
            batch: release.batch.clone(),
            reports: release.reports,
            reports_of_one_device: release.counts.repeats(),
            start: format_moment(release.period.0),
            end: format_moment(release.period.1),
            bins: release.bins.clone(),
            period: period.cloned(),
            privacy: release.privacy.clone(),
            proofs,
            unproved,
        }
    }

    fn batch(self, program: &Program) -> Result<Batch<'_>, DocumentError> {
        let task = self.task_of(program)?;
        let period = self.period_of(program)?;
        let Self { name, batch, reports, bins, .. } = self;
        // Of other programs the period says which batch it is.
        let selected = program.batch_mode() == BatchMode::LeaderSelected;
        let id = batch.filter(|_| selected);
        if selected && id.is_none() {
            return Err(DocumentError::NoBatch { name });
        }
        if !bins.iter().map(|bin| &bin.label).eq(&task.labels()) {
            return Err(DocumentError::Bins { name });
        }
        let counts = bins.iter().map(|bin| bin.reported).collect();
        let counts = noisy_counts(program, task, counts, reports, period)
            .map_err(|source| DocumentError::Counts { name, source })?;
        Ok(Batch { task, counts, start: period.0, end: period.1, id })
    }

    /// The task, if the program compiles to the one that was collected.
    fn task_of<'a>(&self, program: &'a Program) -> Result<&'a CompiledTask, DocumentError> {
        let name = self.name.clone();
        let Some(task) = program.task(&name) else { return Err(DocumentError::NoTask { name }) };
        let (found, expected) = (self.task, task.task_id);
        if found != expected {
            return Err(DocumentError::OtherTask { name, found, expected });
        }
        Ok(task)
    }

    /// Start and end of its windows, in seconds since the Epoch.
    fn period_of(&self, program: &Program) -> Result<(u64, u64), DocumentError> {
        let refuse = |reason| DocumentError::Moment { name: self.name.clone(), reason };
        let moment = |text: &str| parse_moment(text).map_err(refuse);
        let (start, end) = (moment(&self.start)?, moment(&self.end)?);
        let window = program.window();
        if start < end && window.is_start(start) && window.is_start(end) {
            return Ok((start, end));
        }
        Err(refuse(format!(
            "a release is of whole windows, at least one; from {} to {} is not: {}",
            format_moment(start),
            format_moment(end),
            window.starts_near(if window.is_start(start) { end } else { start })
        )))
    }
}

#[cfg(test)]
mod tests;
