//! A comment that is to be sorted into a category, with what goes into the event of its answer.

use super::super::{
    event::Event,
    personal::triage::{Guess, Sorted},
};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt};

/// A comment on its way to a category. Its text is in no event, no state and no `Debug`.
///
/// In JSON, for apps in other languages: `{"metric": "problem", "text": "It crashed", "response": "r17",
/// "dimensions": {"segment": "new"}, "guess": {"category": "bug", "turn": "after_rules"}}`, where all but `metric`
/// and `text` can be left out.
#[derive(Clone, Deserialize)]
#[serde(from = "Spoken")]
pub struct Comment {
    text: String,
    guess: Option<Guess>,
    /// Without an answer yet.
    event: Event,
}

/// A comment as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spoken {
    metric: String,
    text: String,
    response: Option<String>,
    #[serde(default)]
    dimensions: BTreeMap<String, String>,
    guess: Option<Guess>,
}

impl From<Spoken> for Comment {
    fn from(spoken: Spoken) -> Self {
        let Spoken { metric, text, response, dimensions, guess } = spoken;
        let event = Event { response, dimensions, ..Event::more(&metric, 0) };
        Self { text, guess, event }
    }
}

impl Comment {
    /// A comment for a `triage` metric.
    pub fn new(metric: &str, text: &str) -> Self {
        Self { text: text.to_owned(), guess: None, event: Event::more(metric, 0) }
    }

    /// Which response of the model it is about, as for an [`Event`].
    #[must_use]
    pub fn on(self, response: &str) -> Self {
        Self { event: self.event.on(response), ..self }
    }

    /// The value of a private dimension, as for an [`Event`].
    #[must_use]
    pub fn with(self, dimension: &str, value: &str) -> Self {
        Self { event: self.event.with(dimension, value), ..self }
    }

    /// What the app's own classifier found, such as a small model on the device.
    #[must_use]
    pub fn guessed(self, guess: Guess) -> Self {
        Self { guess: Some(guess), ..self }
    }

    /// The metric.
    pub fn metric(&self) -> &str {
        &self.event.metric
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn guess(&self) -> Option<&Guess> {
        self.guess.as_ref()
    }

    /// The event that says its category.
    pub(super) fn event(&self, sorted: &Sorted) -> Event {
        let answer = Event::answer(self.metric(), sorted.clone());
        Event { said: answer.said, ..self.event.clone() }
    }
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comment").field("metric", &self.metric()).finish_non_exhaustive()
    }
}
