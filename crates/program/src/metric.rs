//! One thing asked.

mod parse;

use super::{dimension::Dimension, score::ScoreSource, triage::Rule};
use sottovoce_privacy::{guarantee::MechanismKind, units::Epsilon};

/// A metric with the dimensions it is broken down by.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What the user is asked.
    pub question: String,
    /// What may be answered.
    pub kind: MetricKind,
    /// What it is broken down by.
    pub dimensions: Vec<Dimension>,
    /// The budget of one report, if it is not the program's.
    pub epsilon0: Option<Epsilon>,
    /// Whether more bins are fine than one histogram carries well.
    pub allow_many_bins: bool,
    /// The randomizer, if the program does not leave the choice to us.
    pub randomizer: Option<MechanismKind>,
}

/// The kinds of metric.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricKind {
    /// Up or down.
    Thumbs,
    /// One of these levels, from the worst to the best.
    Rating(Vec<String>),
    /// Which of two of these candidates is better.
    Preference(Vec<String>),
    /// Each of several aspects, on the same levels.
    Ratings {
        /// What is rated.
        aspects: Vec<String>,
        /// From the worst to the best.
        levels: Vec<String>,
    },
    /// Which of these were observed: any number of them.
    Signals(Vec<String>),
    /// How often something happened, in buckets that begin at these numbers; the first is 0.
    Count(Vec<u64>),
    /// A score worked out on the device.
    Score {
        /// Where buckets begin; what is below the first is in it too.
        buckets: Vec<f64>,
        /// What it is worked out from, if that is not the app's doing.
        source: Option<ScoreSource>,
    },
    /// The category of a problem.
    Triage {
        /// What there is to choose from.
        categories: Vec<String>,
        /// What sorts a comment into them; the first that matches decides.
        rules: Vec<Rule>,
    },
    /// What a red-team reporter found: of which category, and how grave.
    Finding {
        /// What kinds of harm there are.
        categories: Vec<String>,
        /// From mild to grave.
        severities: Vec<String>,
    },
    /// What was said to two metrics about the same response; the explicit one first.
    Joint([Box<Part>; 2]),
}

/// One side of a joint: a metric of the same program, or one signal of a `signals` metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The metric's name.
    pub metric: String,
    /// The signal, of a metric of kind `signals`: observed, or not.
    pub signal: Option<String>,
    /// What that metric takes.
    pub kind: MetricKind,
    /// What it asks.
    pub question: String,
}

impl Part {
    /// As the program names it: `helpful`, `behaviour.copied`.
    pub fn name(&self) -> String {
        match &self.signal {
            Some(signal) => format!("{}.{signal}", self.metric),
            None => self.metric.clone(),
        }
    }

    /// Whether it is observed rather than asked.
    pub fn is_implicit(&self) -> bool {
        use MetricKind::{Count, Score, Signals};
        matches!(self.kind, Signals(_) | Count(_) | Score { .. })
    }
}

impl MetricKind {
    /// The name in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Thumbs => "thumbs",
            Self::Rating(_) => "rating",
            Self::Preference(_) => "preference",
            Self::Ratings { .. } => "ratings",
            Self::Signals(_) => "signals",
            Self::Count(_) => "count",
            Self::Score { .. } => "score",
            Self::Triage { .. } => "triage",
            Self::Finding { .. } => "finding",
            Self::Joint(_) => "joint",
        }
    }
}
