//! A comment that is to be sorted into a category, with what goes into the event of its answer.

use super::super::{
    event::Event,
    personal::triage::{Guess, Sorted},
};
use std::fmt;

/// A comment on its way to a category. Its text is in no event, no state and no `Debug`.
#[derive(Clone)]
pub struct Comment {
    text: String,
    guess: Option<Guess>,
    /// Without an answer yet.
    event: Event,
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
        let answer = Event::answer(self.metric(), sorted.clone().into());
        Event { said: answer.said, ..self.event.clone() }
    }
}

impl fmt::Debug for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comment").field("metric", &self.metric()).finish_non_exhaustive()
    }
}
