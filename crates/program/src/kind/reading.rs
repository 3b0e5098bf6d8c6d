//! What figures say of a metric's outcomes: described here, computed where estimates are made.

/// What figures say of a kind of metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// The one number that batches, arms and segments are compared by, if it has one.
    pub main: Option<Reading>,
    /// Further ones.
    pub others: Vec<Reading>,
    /// Which outcomes are a yes, if that is obvious: of them a joint corrects the share for those who
    /// never answer.
    pub yes: Option<Yes>,
}

/// A number that counts say about the outcomes of a metric, among answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The share of some outcomes.
    Share {
        /// What it is called.
        name: String,
        /// Of each outcome, whether it is one of them.
        of: Vec<bool>,
    },
    /// The mean of what outcomes score.
    Mean {
        /// What it is called.
        name: String,
        /// What each outcome scores; nothing if it does not count as an answer.
        scores: Vec<Option<u32>>,
    },
}

/// Outcomes that are a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yes {
    /// Of each outcome, whether it is.
    pub outcomes: Vec<bool>,
    /// What their share is called; the name of the metric follows.
    pub share: String,
}

impl Reading {
    /// The mean of outcomes that score `first` and one more each, between outcomes that do not
    /// count: so many before, of the mean, and after.
    pub(super) fn mean(name: String, first: u32, [before, counted, after]: [usize; 3]) -> Self {
        let none = |count| std::iter::repeat_n(None, count);
        let scores = (first..).take(counted).map(Some);
        Self::Mean { name, scores: none(before).chain(scores).chain(none(after)).collect() }
    }
}
