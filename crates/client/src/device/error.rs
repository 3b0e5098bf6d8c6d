//! What a device refuses, and why: in words, with fields, and as a kind without fields for other languages.

use super::super::{
    logged::NotLogged, personal::triage::TriageError, report::ReportError, state::BlobError,
};
use serde::Serialize;
use sottovoce_dap::ids::NoRandomness;
use sottovoce_privacy::rng;
use sottovoce_program::{Program, encoding::EncodingError, format_moment};
use thiserror::Error;

/// What a device refuses. Its memory is as it was before the call, but where the state cannot be written: then it is
/// as it was saved last.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The user has not agreed.
    #[error("the user has not agreed to take part; nothing is recorded before `give_consent`")]
    NoConsent,
    /// The program does not ask this.
    #[error("the program has no metric {found:?}; it has: {}", valid.join(", "))]
    UnknownMetric {
        /// What was named.
        found: String,
        /// What there is.
        valid: Vec<String>,
    },
    /// The program has no such dimension, or the metric is not broken down by it.
    #[error("{found:?} is not a dimension that can be given here; those are: {}", valid.join(", "))]
    UnknownDimension {
        /// What was named.
        found: String,
        /// What there is.
        valid: Vec<String>,
    },
    /// A value that the dimension does not have.
    #[error("{found:?} is not a value of {dimension}; it has: {}", valid.join(", "))]
    UnknownValue {
        /// The dimension.
        dimension: String,
        /// What was given.
        found: String,
        /// What it has.
        valid: Vec<String>,
    },
    /// The device does not know its value of a public dimension.
    #[error(
        "{metric} is broken down by {dimension}, and this device has no value for it; `assign` one before \
         you record events"
    )]
    Unassigned {
        /// The metric.
        metric: String,
        /// The dimension.
        dimension: String,
    },
    /// The event is about another value of a public dimension than the device has.
    #[error(
        "the event has {dimension} = {given}, and this device is assigned {assigned}: reports go to the task \
         of the assigned value only; `assign` {given} before the app uses it, or leave {dimension} out of the \
         event"
    )]
    OtherAssignment {
        /// The dimension.
        dimension: String,
        /// What the device was assigned last.
        assigned: String,
        /// What the event says.
        given: String,
    },
    /// A private dimension is not a device's, and a held-out one is not the app's to choose.
    #[error(
        "{dimension} cannot be assigned: give a private dimension `with` each event; the device itself draws \
         whether it is held out"
    )]
    NotAssignable {
        /// The dimension.
        dimension: String,
    },
    /// The answer is not one of the metric's.
    #[error("{metric}: {source}")]
    Answer {
        /// The metric.
        metric: String,
        /// What is wrong with it.
        source: EncodingError,
    },
    /// The program demands a proof that its tasks are in both logs.
    #[error(transparent)]
    NotLogged(#[from] NotLogged),
    /// The clock is plainly wrong.
    #[error(
        "the clock says {}, which is not between {} and {}; correct the clock and call again",
        format_moment(*now), format_moment(EARLIEST), format_moment(LATEST)
    )]
    Clock {
        /// What it says, in seconds since the Epoch.
        now: u64,
    },
    /// The program asks at another time.
    #[error("the program runs from {} to {}, and not now", format_moment(*from), format_moment(*to))]
    NotRunning {
        /// Its start, in seconds since the Epoch.
        from: u64,
        /// Its end, in seconds since the Epoch.
        to: u64,
    },
    /// The state was made by another program.
    #[error(
        "the state belongs to another program or another version of it ({found:?}); open it with that \
         program, or with `Options::adopt` to continue with this one"
    )]
    OtherProgram {
        /// The name of the program that it belongs to.
        found: String,
    },
    /// A task is not what the program says.
    #[error("{task} is not a task of the program: its {field} differs; nothing is sent to it")]
    OtherTask {
        /// The task, by its name in the program.
        task: String,
        /// What differs.
        field: &'static str,
    },
    /// The state is sealed with a key that was not given.
    #[error("{0}")]
    Key(String),
    /// The state could not be written in its format.
    #[error("the state cannot be written: {0}")]
    Blob(String),
    /// What was said to be saved or answered is not waiting for that.
    #[error("{0}: nothing was changed; continue with what `next` returns")]
    OutOfTurn(&'static str),
    /// A comment could not be sorted.
    #[error(transparent)]
    Triage(TriageError),
    /// A report could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// What kind of refusal it is: for languages that have no enums with fields. The names never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is a variant of `DeviceError`")]
pub enum ErrorKind {
    NoConsent,
    UnknownMetric,
    UnknownDimension,
    UnknownValue,
    Unassigned,
    OtherAssignment,
    NotAssignable,
    Answer,
    NotLogged,
    Clock,
    NotRunning,
    OtherProgram,
    OtherTask,
    Key,
    Blob,
    OutOfTurn,
    Comment,
    Report,
    Randomness,
}

impl ErrorKind {
    /// Its name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoConsent => "no_consent",
            Self::UnknownMetric => "unknown_metric",
            Self::UnknownDimension => "unknown_dimension",
            Self::UnknownValue => "unknown_value",
            Self::Unassigned => "unassigned",
            Self::OtherAssignment => "other_assignment",
            Self::NotAssignable => "not_assignable",
            Self::Answer => "answer",
            Self::NotLogged => "not_logged",
            Self::Clock => "clock",
            Self::NotRunning => "not_running",
            Self::OtherProgram => "other_program",
            Self::OtherTask => "other_task",
            Self::Key => "key",
            Self::Blob => "blob",
            Self::OutOfTurn => "out_of_turn",
            Self::Comment => "comment",
            Self::Report => "report",
            Self::Randomness => "randomness",
        }
    }
}

impl DeviceError {
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoConsent => ErrorKind::NoConsent,
            Self::UnknownMetric { .. } => ErrorKind::UnknownMetric,
            Self::UnknownDimension { .. } => ErrorKind::UnknownDimension,
            Self::UnknownValue { .. } => ErrorKind::UnknownValue,
            Self::Unassigned { .. } => ErrorKind::Unassigned,
            Self::OtherAssignment { .. } => ErrorKind::OtherAssignment,
            Self::NotAssignable { .. } => ErrorKind::NotAssignable,
            Self::Answer { .. } => ErrorKind::Answer,
            Self::NotLogged(_) => ErrorKind::NotLogged,
            Self::Clock { .. } => ErrorKind::Clock,
            Self::NotRunning { .. } => ErrorKind::NotRunning,
            Self::OtherProgram { .. } => ErrorKind::OtherProgram,
            Self::OtherTask { .. } => ErrorKind::OtherTask,
            Self::Key(_) => ErrorKind::Key,
            Self::Blob(_) => ErrorKind::Blob,
            Self::OutOfTurn(_) => ErrorKind::OutOfTurn,
            Self::Triage(_) => ErrorKind::Comment,
            Self::Report(_) => ErrorKind::Report,
            Self::Randomness(_) => ErrorKind::Randomness,
        }
    }

    /// The fields beside the words, by name: what was found, what would be valid, which metric, dimension or task.
    /// Moments are in seconds since the Epoch. What was found is what the app passed.
    pub fn fields(&self) -> Vec<(&'static str, Field)> {
        let text = |text: &String| Field::Text(text.clone());
        match self {
            Self::UnknownMetric { found, valid } | Self::UnknownDimension { found, valid } => {
                vec![("found", text(found)), ("valid", Field::Texts(valid.clone()))]
            }
            Self::UnknownValue { dimension, found, valid } => vec![
                ("dimension", text(dimension)),
                ("found", text(found)),
                ("valid", Field::Texts(valid.clone())),
            ],
            Self::Unassigned { metric, dimension } => {
                vec![("metric", text(metric)), ("dimension", text(dimension))]
            }
            Self::OtherAssignment { dimension, assigned, given } => vec![
                ("dimension", text(dimension)),
                ("assigned", text(assigned)),
                ("given", text(given)),
            ],
            Self::NotAssignable { dimension } => vec![("dimension", text(dimension))],
            Self::Answer { metric, .. } => vec![("metric", text(metric))],
            Self::Clock { now } => vec![("now", Field::Moment(*now))],
            Self::NotRunning { from, to } => {
                vec![("from", Field::Moment(*from)), ("to", Field::Moment(*to))]
            }
            Self::OtherProgram { found } => vec![("found", text(found))],
            Self::OtherTask { task, field } => {
                vec![("task", text(task)), ("field", Field::Text((*field).to_owned()))]
            }
            Self::NoConsent
            | Self::NotLogged(_)
            | Self::Key(_)
            | Self::Blob(_)
            | Self::OutOfTurn(_)
            | Self::Triage(_)
            | Self::Report(_)
            | Self::Randomness(_) => Vec::new(),
        }
    }
}

/// A field of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Field {
    /// A name.
    Text(String),
    /// Names.
    Texts(Vec<String>),
    /// In seconds since the Epoch.
    Moment(u64),
}

/// 2026-01-01: before it there was no such library.
pub(super) const EARLIEST: u64 = 1_767_225_600;
/// 2100-01-01.
pub(super) const LATEST: u64 = 4_102_444_800;

impl From<rng::NoRandomness> for DeviceError {
    fn from(_: rng::NoRandomness) -> Self {
        Self::Randomness(NoRandomness)
    }
}

impl From<BlobError> for DeviceError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::NoKey | BlobError::OtherKey => Self::Key(error.to_string()),
            BlobError::Randomness => Self::Randomness(NoRandomness),
            other => Self::Blob(other.to_string()),
        }
    }
}

impl DeviceError {
    pub(super) fn answer(metric: &str, source: EncodingError) -> Self {
        Self::Answer { metric: metric.to_owned(), source }
    }
}

/// Refuses times at which this cannot be running. Anything between is taken: a clock may be wrong
/// by years and the engine neither stops nor counts anything twice.
pub(super) fn check_clock(now: u64) -> Result<(), DeviceError> {
    if (EARLIEST..LATEST).contains(&now) { Ok(()) } else { Err(DeviceError::Clock { now }) }
}

/// Refuses times at which the program does not ask.
pub(super) fn check_interval(program: &Program, now: u64) -> Result<(), DeviceError> {
    let Some(interval) = program.interval() else { return Ok(()) };
    if interval.contains(program.window().time_at(now)) {
        return Ok(());
    }
    let [from, to] = [interval.start(), interval.end()].map(|time| program.window().start_of(time));
    Err(DeviceError::NotRunning { from, to })
}
