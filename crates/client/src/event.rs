//! Events that an app records: answers, signals and counts.

use serde::{Deserialize, Serialize};
use sottovoce_program::answer::Given;
use std::collections::BTreeMap;

/// Something that a user said or did.
///
/// In JSON, for apps in other languages:
/// `{"metric": "helpful", "answer": {"thumbs": "up"}, "response": "r17", "dimensions": {"segment": "new"}}`,
/// where `"signal": "copied"` or `"more": 1` may stand in place of `answer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Spoken", into = "Spoken")]
pub struct Event {
    pub(super) metric: String,
    pub(super) said: Said,
    pub(super) response: Option<String>,
    pub(super) dimensions: BTreeMap<String, String>,
}

/// An event as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spoken {
    metric: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Given>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    more: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    dimensions: BTreeMap<String, String>,
}

impl TryFrom<Spoken> for Event {
    type Error = &'static str;

    fn try_from(spoken: Spoken) -> Result<Self, Self::Error> {
        let Spoken { metric, answer, signal, more, response, dimensions } = spoken;
        let said = match (answer, signal, more) {
            (Some(given), None, None) => Said::Answer(given),
            (None, Some(signal), None) => Said::Signal(signal),
            (None, None, Some(times)) => Said::More(times),
            _ => return Err("an event has one of `answer`, `signal` and `more`"),
        };
        Ok(Self { metric, said, response, dimensions })
    }
}

impl From<Event> for Spoken {
    fn from(event: Event) -> Self {
        let Event { metric, said, response, dimensions } = event;
        let rest = Self { metric, response, dimensions, ..Self::default() };
        match said {
            Said::Answer(given) => Self { answer: Some(given), ..rest },
            Said::Signal(signal) => Self { signal: Some(signal), ..rest },
            Said::More(times) => Self { more: Some(times), ..rest },
        }
    }
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
    pub fn answer(metric: &str, given: impl Into<Given>) -> Self {
        Self::new(metric, Said::Answer(given.into()))
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

    /// The value of a private dimension. Of a public one it can only repeat what the device is assigned:
    /// another is refused.
    #[must_use]
    pub fn with(mut self, dimension: &str, value: &str) -> Self {
        self.dimensions.insert(dimension.to_owned(), value.to_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_program::answer::Thumb;

    #[test]
    fn an_event_in_json_is_the_event() {
        let json = r#"{"metric": "helpful", "answer": {"thumbs": "up"}, "response": "r17",
                       "dimensions": {"segment": "new"}}"#;
        let event: Event = serde_json::from_str(json).unwrap();
        let same =
            Event::answer("helpful", Given::Thumbs(Thumb::Up)).on("r17").with("segment", "new");
        assert_eq!(event, same);
        for event in [same, Event::signal("behaviour", "copied"), Event::more("turns", 2)] {
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
        }
    }

    #[test]
    fn an_event_that_says_nothing_two_things_or_something_unknown_is_refused() {
        for json in [
            r#"{"metric": "helpful"}"#,
            r#"{"metric": "helpful", "signal": "copied", "more": 1}"#,
            r#"{"metric": "helpful", "more": 1, "comment": "secret"}"#,
            r#"{"answer": {"thumbs": "up"}}"#,
            r#"{"metric": "helpful", "answer": {"thumbs": "sideways"}}"#,
        ] {
            assert!(serde_json::from_str::<Event>(json).is_err(), "{json}");
        }
    }
}
