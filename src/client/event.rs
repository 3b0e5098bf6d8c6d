//! What an app tells the engine.

use crate::program::answer::Given;
use std::collections::BTreeMap;

/// Something that a user said or did.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub(super) metric: String,
    pub(super) said: Said,
    pub(super) response: Option<String>,
    pub(super) dimensions: BTreeMap<String, String>,
}

/// What was said or done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// In place of what was said of the same response before.
    Answer(Given),
    /// Besides what was observed of the same response before.
    Signal(String),
    /// On top of what was counted of the same response before.
    More(u64),
}

impl Event {
    /// An answer to a metric. A later one about the same response replaces it.
    pub fn answer(metric: &str, given: Given) -> Self {
        Self::new(metric, Said::Answer(given))
    }

    /// A signal of a `signals` metric was observed, besides others of the same response.
    pub fn signal(metric: &str, signal: &str) -> Self {
        Self::new(metric, Said::Signal(signal.to_owned()))
    }

    /// What a `count` metric counts happened so many more times with the same response.
    pub fn more(metric: &str, times: u64) -> Self {
        Self::new(metric, Said::More(times))
    }

    fn new(metric: &str, said: Said) -> Self {
        Self { metric: metric.to_owned(), said, response: None, dimensions: BTreeMap::new() }
    }

    /// Which response of the model it is about, in the app's own words. They stay on the device,
    /// as a keyed hash.
    ///
    /// Without one, each answer is about a response of its own; signals and counts are about the
    /// window as a whole.
    #[must_use]
    pub fn on(mut self, response: &str) -> Self {
        self.response = Some(response.to_owned());
        self
    }

    /// The value of a private dimension; or of a public one, in place of what the device is
    /// assigned.
    #[must_use]
    pub fn with(mut self, dimension: &str, value: &str) -> Self {
        self.dimensions.insert(dimension.to_owned(), value.to_owned());
        self
    }
}
