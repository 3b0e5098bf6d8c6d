//! What an answer is among the outcomes of a metric by itself, apart from any breakdown.

use crate::answer::Outcome;
use thiserror::Error;

/// What was said, as outcomes by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing, after all.
    Nothing,
    /// This.
    One(usize),
    /// Each would say it as well; at least one.
    OneOf(Vec<usize>),
    /// All of these and no others.
    Exactly(Vec<usize>),
}

/// Two candidates, by index, and how their comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The first candidate.
    pub left: usize,
    /// The second candidate.
    pub right: usize,
    /// Which was better.
    pub outcome: Outcome,
}

/// An answer that the metric does not have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EncodingError {
    /// The answer is to another kind of question.
    #[error("the answer is of another kind than the metric")]
    Kind,
    /// A level or candidate that is not declared.
    #[error("{found:?} is not one of: {}", valid.join(", "))]
    Unknown {
        /// What was given.
        found: String,
        /// What is declared.
        valid: Vec<String>,
    },
    /// A score that is not a number.
    #[error("a score must be a number")]
    NotANumber,
    /// An empty list of ratings.
    #[error("no aspect is rated; if the user rated nothing, record no answer")]
    NothingRated,
    /// A candidate against itself.
    #[error("{0:?} cannot be compared with itself")]
    Same(String),
    /// A private dimension without a value.
    #[error("the answer needs a value of the dimension {0:?}")]
    MissingSegment(String),
    /// A value of a dimension that the metric does not have.
    #[error("the metric is not broken down by {0:?}")]
    ExtraSegment(String),
}

/// The index of a name among those that are declared.
pub(crate) fn position(names: &[String], name: &str) -> Result<usize, EncodingError> {
    let found = names.iter().position(|other| other == name);
    found.ok_or_else(|| EncodingError::Unknown { found: name.to_owned(), valid: names.to_vec() })
}

/// Outcomes that are one of these things on one of these levels: "tone: good".
pub(super) fn of_each(names: &[String], levels: &[String]) -> Vec<String> {
    let of = |name: &String| levels.iter().map(move |level| format!("{name}: {level}")).collect();
    names.iter().flat_map::<Vec<_>, _>(of).collect()
}
