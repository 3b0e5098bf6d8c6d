//! The kinds of metric, one file each: what its table says, which bins its answers become, and what is
//! said of them to people, in manifests, in figures, to auditors and to simulated users.
//!
//! Whoever needs to know something about a metric asks its [`Kind`]; nobody else tells kinds apart. A new
//! kind is a file beside [`thumbs`] with its implementation of that trait, and a line in the table below.
//! ARCHITECTURE.md says what else may need a word.

mod buckets;
mod count;
mod finding;
mod joint;
mod levels;
mod outcome;
mod preference;
mod rating;
mod ratings;
mod reading;
pub mod score;
mod signals;
#[cfg(test)]
pub(crate) mod tests;
mod thumbs;
pub mod triage;
mod written;

pub use count::Count;
pub use finding::Finding;
pub use joint::{Joint, Part};
pub use outcome::{Compared, EncodingError, Said};
pub use preference::Preference;
pub use rating::Rating;
pub use ratings::Ratings;
pub use reading::{Reading, Readings, Yes};
pub use score::Score;
pub use signals::Signals;
pub use thumbs::Thumbs;
pub use triage::Triage;

pub(crate) use outcome::position;
pub(crate) use written::Written;

use super::{ProgramError, ProgramKind, answer::Given};
use score::ScoreSource;
use serde::Serialize;

/// What the rest of the code asks of a kind of metric.
///
/// Outcomes are what can be answered, apart from any breakdown and from *no answer*, which every metric
/// has besides. They are told by their index, in the order of [`outcomes`](Self::outcomes). Only kinds of
/// this crate can implement it.
pub trait Kind {
    /// The keys of its table beside those that every kind has; a table with others is refused.
    fn keys() -> &'static [&'static str]
    where
        Self: Sized,
    {
        &[]
    }

    /// Whether it is made of other metrics, and so is parsed after them.
    fn is_made_of_others() -> bool
    where
        Self: Sized,
    {
        false
    }

    /// Reads the table of a metric of this kind, or says what is wrong with it.
    fn parse(written: &Written<'_>) -> Result<Self, ProgramError>
    where
        Self: Sized;

    /// The question of a kind that asks nothing new: what its parts ask. Others need `question` in the table.
    fn question(&self) -> Option<String> {
        None
    }

    /// What programs are for that may have it.
    fn purpose(&self) -> ProgramKind {
        ProgramKind::Feedback
    }

    /// Whether the device observes it rather than asks for it.
    fn is_observed(&self) -> bool {
        false
    }

    /// Why an answer is not one choice, if it is not; a joint takes no such metric.
    fn not_one_choice(&self) -> Option<&'static str> {
        None
    }

    /// What its manifest says besides the name, the question and the bins.
    fn promised(&self) -> Promised {
        Promised::default()
    }

    /// What an answer is, in words.
    fn answer(&self) -> String;

    /// What the device sees for it that never leaves the device, in words.
    fn never_leaves(&self) -> Option<&'static str> {
        None
    }

    /// What manifests call its way from answers to outcomes.
    fn encoding(&self) -> &'static str;

    /// How many outcomes there are.
    fn outcome_count(&self) -> usize;

    /// What each outcome is called, in their order.
    fn outcomes(&self) -> Vec<String>;

    /// The outcomes that an answer is.
    fn encode(&self, given: &Given) -> Result<Said, EncodingError>;

    /// An answer that has this outcome; nothing if nobody gives such answers. Where an outcome is about one of
    /// two candidates only, `opponent` chooses the other: any number.
    fn given(&self, outcome: usize, opponent: usize) -> Option<Given>;

    /// Answers that an auditor has a client report, to tell the reports apart.
    fn samples(&self) -> Vec<Given> {
        (0..self.outcome_count()).filter_map(|outcome| self.given(outcome, 0)).collect()
    }

    /// Whether satisfied users mostly have the first outcomes, rather than the last ones.
    fn is_best_first(&self) -> bool {
        false
    }

    /// Its signals, if any number of outcomes can be so at once: each is a bit of a report.
    fn signals(&self) -> Option<&[String]> {
        None
    }

    /// The candidates, and for each outcome which two of them are compared, if each outcome compares two.
    fn pairs(&self) -> Option<(&[String], Vec<Compared>)> {
        None
    }

    /// What the device works answers out from, if nobody gives them.
    fn derived(&self) -> Option<Derived<'_>> {
        None
    }

    /// How comments are sorted on the device, if they are.
    fn sorting(&self) -> Option<&Triage> {
        None
    }

    /// Whether an answer is that of a satisfied user, if it says so.
    fn satisfied(&self, _given: &Given) -> Option<bool> {
        None
    }

    /// How an answer rates aspects of a response, each by itself.
    fn rated<'a>(&self, _given: &'a Given) -> Vec<Rated<'a>> {
        Vec::new()
    }

    /// What figures say of its outcomes.
    fn readings(&self) -> Readings {
        Readings::default()
    }
}

/// What the device works an answer out from.
#[derive(Clone, Copy, Debug)]
pub enum Derived<'a> {
    /// A score, from signals of another metric.
    Score(&'a ScoreSource),
    /// What was said to two metrics about the same response.
    Joint(&'a Joint),
}

/// An aspect of a response, and how it was rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rated<'a> {
    /// What was rated.
    pub aspect: &'a str,
    /// How, from 0, the worst.
    pub level: usize,
    /// How many levels there are.
    pub levels: usize,
}

/// What a manifest says of one kind of metric only. A report means something else under another, so it is
/// bound into the report; a key that is not there leaves the manifests of other kinds as they are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Promised {
    /// What a joint is made of: labels of bins do not say which metric they are of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    joins: Vec<Joined>,
    /// What a score is worked out from, if the program says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<ScoreSource>,
    /// What sorts comments, if anything: SHA-256 of the rules, in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<String>,
}

/// One side of a joint.
#[derive(Clone, Debug, Serialize)]
struct Joined {
    part: String,
    question: String,
    #[serde(flatten)]
    promised: Promised,
}

/// A kind by its word in the file.
pub(crate) struct Form {
    /// The word.
    pub(crate) name: &'static str,
    /// As of [`Kind::keys`].
    pub(crate) keys: &'static [&'static str],
    /// As of [`Kind::is_made_of_others`].
    pub(crate) is_made_of_others: bool,
    /// As of [`Kind::parse`].
    pub(crate) parse: fn(&Written<'_>) -> Result<MetricKind, ProgramError>,
}

impl Form {
    /// The kind that a word of the file means.
    pub(crate) fn of(name: &str) -> Option<Self> {
        forms().into_iter().find(|form| form.name == name)
    }
}

/// One line for each kind: its words for readers of the code, its word in the file, its type.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:literal => $kind:ident,)+) => {
        /// The kinds of metric.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetricKind {
            $($(#[$doc])* $kind($kind),)+
        }

        impl MetricKind {
            /// The name in the file.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => $name,)+
                }
            }

            /// What there is to know about it.
            pub fn as_kind(&self) -> &dyn Kind {
                match self {
                    $(Self::$kind(kind) => kind,)+
                }
            }
        }

        $(impl From<$kind> for MetricKind {
            fn from(kind: $kind) -> Self {
                Self::$kind(kind)
            }
        })+

        /// What `kind` of a metric may say.
        pub(crate) const NAMES: [&str; [$($name),+].len()] = [$($name),+];

        /// All kinds, in that order.
        pub(crate) fn forms() -> [Form; NAMES.len()] {
            [$(Form {
                name: $name,
                keys: $kind::keys(),
                is_made_of_others: $kind::is_made_of_others(),
                parse: |written| $kind::parse(written).map(MetricKind::$kind),
            }),+]
        }
    };
}

kinds! {
    /// Up or down.
    "thumbs" => Thumbs,
    /// One of several levels.
    "rating" => Rating,
    /// Each of several aspects, on the same levels.
    "ratings" => Ratings,
    /// Which of two candidates is better.
    "preference" => Preference,
    /// Which of several were observed: any number of them.
    "signals" => Signals,
    /// How often something happened.
    "count" => Count,
    /// A score worked out on the device.
    "score" => Score,
    /// The category of a problem.
    "triage" => Triage,
    /// What a red-team reporter found: of which category, and how grave.
    "finding" => Finding,
    /// What was said to two metrics about the same response; the explicit one first.
    "joint" => Joint,
}
