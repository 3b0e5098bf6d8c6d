//! The device: each call of the core, in plain data.

use super::{Error, Next, Response, Save};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sottovoce_client::{
    StateKey,
    device::{self, Arrived, Comment, Holds, Options, Recorded, RequestId, Version, Withdrawn},
    event::Event,
    personal::{
        asking::{self, Candidate, Moment},
        profile::Traits,
    },
};
use sottovoce_program::{Program, answer::Outcome};
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

/// One device of one program.
#[derive(Debug)]
pub struct Device(device::Device);

/// What a device is opened with.
#[derive(Default)]
pub struct Opening<'a> {
    /// The blob that was saved last; none if there is none.
    pub blob: Option<&'a [u8]>,
    /// The 32 bytes that the state is sealed with.
    pub key: Option<Zeroizing<[u8; 32]>>,
    /// Whether a state of another program goes on with this one.
    pub adopt: bool,
}

/// What a device was opened from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing: the device is new.
    Nothing,
    /// Its state.
    State,
    /// The state of another program, which was adopted.
    Adopted,
    /// A state that is not read, and why. The first save keeps a copy; the device is silent for a while.
    Unreadable(String),
}

/// Whether to ask the user now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Whether.
    pub ask: bool,
    /// About which response, if so.
    pub response: Option<String>,
    /// Why, in words.
    pub why: String,
}

/// Two responses that were compared, and how.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compared {
    left: Traits,
    right: Traits,
    outcome: Outcome,
}

impl Device {
    /// Opens a device of the program whose text this is.
    pub fn open(program: &str, opening: Opening<'_>, now: u64) -> Result<(Self, Found), Error> {
        let program = Program::parse("program", program).map_err(|error| Error::program(&error))?;
        Self::open_program(program, opening, now)
    }

    /// Opens a device of a program that `sottovoce compile` wrote. It opens faster than the text, and where nothing
    /// else calls [`open`](Self::open), the linker leaves out all that reads the text.
    pub fn open_compiled(
        form: &[u8],
        opening: Opening<'_>,
        now: u64,
    ) -> Result<(Self, Found), Error> {
        let program = Program::from_device_form(form).map_err(|error| Error::program(&error))?;
        Self::open_program(program, opening, now)
    }

    fn open_program(
        program: Program,
        opening: Opening<'_>,
        now: u64,
    ) -> Result<(Self, Found), Error> {
        let Opening { blob, key, adopt } = opening;
        let options = Options { key: key.map(|key| StateKey::new(*key)), adopt };
        let (device, found) = device::Device::open(Arc::new(program), blob, options, now)?;
        let found = match found {
            device::Found::Nothing => Found::Nothing,
            device::Found::State => Found::State,
            device::Found::Adopted => Found::Adopted,
            device::Found::Unreadable { reason } => Found::Unreadable(reason),
        };
        Ok((Self(device), found))
    }

    /// The proofs that both aggregators' logs have the program's tasks, from `sottovoce-auditor prove`.
    pub fn prove(&mut self, proofs: &str) -> Result<(), Error> {
        Ok(self.0.prove(proofs)?)
    }

    /// The user agrees to take part, or changes their mind: then what was not sent is deleted.
    pub fn consent(&mut self, given: bool, now: u64) -> Result<(), Error> {
        if given {
            self.0.give_consent(now)?;
        } else {
            self.0.withdraw_consent(now)?;
        }
        Ok(())
    }

    /// Whether the user agreed.
    pub fn has_consent(&self) -> bool {
        self.0.consent().is_given()
    }

    /// The device's value of a public dimension. Gives the moment from which it holds, or 0 if it holds now.
    pub fn assign(&mut self, dimension: &str, value: &str, now: u64) -> Result<u64, Error> {
        Ok(match self.0.assign(dimension, value, now)? {
            Holds::Now => 0,
            Holds::From(moment) => moment,
        })
    }

    /// Records what a user said or did, as JSON:
    /// `{"metric": "helpful", "answer": {"thumbs": "up"}, "response": "r17", "dimensions": {"segment": "new"}}`,
    /// where `"signal": "copied"` or `"more": 1` may stand in place of `answer`.
    pub fn record(&mut self, event: &str, now: u64) -> Result<Recorded, Error> {
        let event: Event = parsed("an event", event)?;
        Ok(self.0.record(event, now)?)
    }

    /// Takes back what was said of a response.
    pub fn withdraw(&mut self, metric: &str, response: &str, now: u64) -> Result<Withdrawn, Error> {
        Ok(self.0.withdraw(metric, response, now)?)
    }

    /// Erases all that the device remembers, but for until when it is silent if anything was ever drawn.
    pub fn forget(&mut self, now: u64) -> Result<(), Error> {
        Ok(self.0.forget(now)?)
    }

    /// Whether to ask the user now about one of the candidates, as a JSON list of
    /// `{"response": "r17", "confidence": 0.3, "contradiction": 0.1, "novelty": 0.5, "aspect": "tone"}`,
    /// where all but `response` can be left out. A decision to ask counts as asked.
    pub fn decide(&mut self, candidates: &str, now: u64) -> Result<Decision, Error> {
        let candidates: Vec<Candidate> = parsed("candidates", candidates)?;
        let decision = self.0.decide(&Moment { candidates }, now)?;
        let why = decision.to_string();
        let response = match decision {
            asking::Decision::Ask(ask) => Some(ask.response),
            asking::Decision::NotNow(_) => None,
        };
        Ok(Decision { ask: response.is_some(), response, why })
    }

    /// The question that was decided on last was not shown: it does not count.
    pub fn not_shown(&mut self, now: u64) -> Result<(), Error> {
        Ok(self.0.not_shown(now)?)
    }

    /// Sorts a comment by the rules of a `triage` metric and records the category, as JSON:
    /// `{"metric": "problem", "text": "It crashed", "response": "r17", "dimensions": {"segment": "new"},
    /// "guess": {"category": "bug", "turn": "after_rules"}}`, where all but `metric` and `text` can be left out.
    /// Gives the category; nothing if no rule matches. The text is kept nowhere.
    pub fn triage(&mut self, comment: &str, now: u64) -> Result<Option<String>, Error> {
        let comment: Comment = parsed("a comment", comment)?;
        Ok(self.0.triage(&comment, now)?.map(|sorted| sorted.category))
    }

    /// The user compared two responses whose traits the app knows:
    /// `{"left": {"tone": 0.5}, "right": {"tone": -1}, "outcome": "left"}`, or `"right"`, or `"tie"`.
    pub fn preferred(&mut self, compared: &str, now: u64) -> Result<(), Error> {
        let Compared { left, right, outcome } = parsed("a comparison", compared)?;
        Ok(self.0.preferred(&left, &right, outcome, now)?)
    }

    /// What the user leans to, as a JSON list from the surest.
    pub fn leanings(&self, now: u64) -> Result<String, Error> {
        json(&self.0.leanings(now))
    }

    /// The user sets a leaning by hand, from -1 to 1, or has it forgotten.
    pub fn set_leaning(&mut self, aspect: &str, value: Option<f64>, now: u64) -> Result<(), Error> {
        if value.is_some_and(|value| !(-1.0..=1.0).contains(&value)) {
            return Err(Error::argument("a leaning is a number from -1 to 1"));
        }
        Ok(self.0.set_leaning(aspect, value, now)?)
    }

    /// The score so far of a response, as JSON; nothing if the metric has no weights.
    pub fn score(&self, metric: &str, response: &str, now: u64) -> Result<Option<String>, Error> {
        self.0.score(metric, response, now)?.as_ref().map(json).transpose()
    }

    /// Whether this device is held out by a dimension; nothing if there is no such dimension of that kind.
    pub fn is_held_out(&self, dimension: &str) -> Option<bool> {
        self.0.is_held_out(dimension)
    }

    /// What to do now. Only this closes a window: call it when it said, and not because something was recorded.
    pub fn next(&mut self, now: u64) -> Result<Next, Error> {
        Ok(self.0.next(now)?.into())
    }

    /// What is to be made durable now, if anything is: for callers that save after each call.
    pub fn to_save(&mut self) -> Result<Option<Save>, Error> {
        Ok(self.0.to_save()?.map(Save::from))
    }

    /// A save is durable.
    pub fn saved(&mut self, version: u64) -> Result<(), Error> {
        Ok(self.0.saved(Version(version))?)
    }

    /// A save failed: the device is again what was saved last.
    pub fn not_saved(&mut self) {
        self.0.not_saved();
    }

    /// What came of a request; nothing if no response came, and it is not known whether the request arrived.
    pub fn answered(
        &mut self,
        request: u64,
        response: Option<Response>,
        now: u64,
    ) -> Result<(), Error> {
        let arrived = response.map_or(Arrived::Nothing, |it| Arrived::Response(it.into()));
        Ok(self.0.answered(RequestId(request), arrived, now)?)
    }

    /// What the device did, for its user, in words.
    pub fn history(&self, now: u64) -> Result<String, Error> {
        Ok(self.0.history(now)?.to_string())
    }

    /// What the device did, as JSON.
    pub fn history_json(&self, now: u64) -> Result<String, Error> {
        json(&self.0.history(now)?)
    }

    /// What to show to the user before they agree, and whenever they want to know.
    pub fn explain(&self) -> String {
        self.0.explain()
    }

    /// The program's tasks, by name, with their IDs.
    pub fn tasks(&self) -> BTreeMap<String, String> {
        let tasks = self.0.program().tasks().iter();
        tasks.map(|task| (task.name.clone(), task.task_id.to_string())).collect()
    }

    /// The core, for a binding that keeps the state in a storage written in Rust.
    pub fn core(&mut self) -> &mut device::Device {
        &mut self.0
    }
}

fn parsed<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::json(what, &error))
}

fn json(what: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(what).map_err(|_| Error::argument("the result cannot be encoded as JSON"))
}
