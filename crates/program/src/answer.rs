//! Answers of a user.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One answer to one metric, with the values of its private dimensions.
///
/// It exists on the device only: it is encoded, randomized and forgotten.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What was said, if anything.
    pub given: Option<Given>,
    /// The value of each private dimension, by name.
    pub segments: BTreeMap<String, String>,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Given {
    /// To a `thumbs` metric.
    Thumbs(Thumb),
    /// To a `rating` metric: the name of a level.
    Rating(String),
    /// To a `preference` metric.
    Preference {
        /// The first candidate.
        left: String,
        /// The second.
        right: String,
        /// Which is better.
        outcome: Outcome,
    },
    /// To a `ratings` metric: the name of a level for each aspect that was rated.
    Ratings(BTreeMap<String, String>),
    /// To a `signals` metric: those that were observed, and none of the others was.
    Signals(BTreeSet<String>),
    /// To a `count` metric: how often.
    Count(u64),
    /// To a `score` metric.
    Score(f64),
    /// To a `triage` metric: the category.
    Triage(String),
    /// To a `finding` metric of a red-team program.
    Finding {
        /// What kind of harm.
        category: String,
        /// How grave.
        severity: String,
    },
    /// To a `joint` metric: what was said to each part about one response. A signal's part is the
    /// set of signals that were observed.
    Joint {
        /// To the first part, if anything.
        first: Option<Box<Given>>,
        /// To the second part, if anything.
        second: Option<Box<Given>>,
    },
}

/// A thumb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are thumbs")]
pub enum Thumb {
    Up,
    Down,
}

impl Given {
    /// The signals that were observed, if it is an answer to a `signals` metric.
    pub fn signals(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::Signals(observed) => Some(observed),
            Self::Thumbs(_)
            | Self::Rating(_)
            | Self::Preference { .. }
            | Self::Ratings(_)
            | Self::Count(_)
            | Self::Score(_)
            | Self::Triage(_)
            | Self::Finding { .. }
            | Self::Joint { .. } => None,
        }
    }

    /// How often, if it is an answer to a `count` metric.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(*count),
            Self::Thumbs(_)
            | Self::Rating(_)
            | Self::Preference { .. }
            | Self::Ratings(_)
            | Self::Signals(_)
            | Self::Score(_)
            | Self::Triage(_)
            | Self::Finding { .. }
            | Self::Joint { .. } => None,
        }
    }
}

impl From<Thumb> for Given {
    fn from(thumb: Thumb) -> Self {
        Self::Thumbs(thumb)
    }
}

/// Which of two is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The first.
    Left,
    /// The second.
    Right,
    /// Neither.
    Tie,
}

impl Answer {
    /// The user said nothing: reported too, so that taking part reveals nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// The user said this.
    pub fn given(given: Given) -> Self {
        Self { given: Some(given), segments: BTreeMap::new() }
    }

    /// The same answer with the value of a private dimension.
    #[must_use]
    pub fn with_segment(mut self, dimension: &str, value: &str) -> Self {
        self.segments.insert(dimension.to_owned(), value.to_owned());
        self
    }
}
