//! The scenario file as it is written: every key known, every value with its place.

use super::ScenarioError;
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Display};
use toml::Spanned;

/// A value with its place in the file.
pub(super) type At<T> = Spanned<T>;

/// A file's name and text, to say where something is.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// An error about one value.
    pub(super) fn error<T>(self, value: &At<T>, reason: impl Display) -> ScenarioError {
        self.at(value.span().start, reason)
    }

    fn at(self, byte: usize, reason: impl Display) -> ScenarioError {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let place = format!("{}:{line}:{column}", self.name);
        ScenarioError { place, reason: reason.to_string() }
    }

    /// A probability, or the usual one.
    pub(super) fn probability(
        self,
        value: Option<&At<f64>>,
        usual: f64,
    ) -> Result<f64, ScenarioError> {
        self.between(value, usual, 0.0, "a probability is from 0 to 1")
    }

    /// What is added to a probability.
    pub(super) fn difference(self, value: &At<f64>) -> Result<f64, ScenarioError> {
        self.between(Some(value), 0.0, -1.0, "a difference of probabilities is from -1 to 1")
    }

    /// A share beside others.
    pub(super) fn weight(self, value: &At<f64>) -> Result<f64, ScenarioError> {
        let weight = *value.get_ref();
        if (0.0..=MOST_WEIGHT).contains(&weight) {
            return Ok(weight);
        }
        Err(self.error(value, format!("a share or weight is from 0 to 1e9, and this is {weight}")))
    }

    fn between(
        self,
        value: Option<&At<f64>>,
        usual: f64,
        low: f64,
        rule: &str,
    ) -> Result<f64, ScenarioError> {
        let Some(value) = value else { return Ok(usual) };
        let found = *value.get_ref();
        if (low..=1.0).contains(&found) {
            return Ok(found);
        }
        Err(self.error(value, format!("{rule}, and this is {found}")))
    }
}

/// Weights that floating point adds up exactly enough.
const MOST_WEIGHT: f64 = 1e9;

/// The file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) consent: Option<At<f64>>,
    pub(super) present: Option<At<f64>>,
    pub(super) join: Option<At<f64>>,
    pub(super) leave: Option<At<f64>>,
    pub(super) offline: Option<At<f64>>,
    pub(super) crash: Option<At<f64>>,
    pub(super) lost_request: Option<At<f64>>,
    pub(super) lost_answer: Option<At<f64>>,
    pub(super) changed: Option<At<f64>>,
    pub(super) withdrawn: Option<At<f64>>,
    pub(super) responses: Option<At<u32>>,
    pub(super) satisfied: Option<At<f64>>,
    pub(super) segments: Vec<SegmentTable>,
    pub(super) arms: BTreeMap<At<String>, BTreeMap<At<String>, At<f64>>>,
    pub(super) effects: BTreeMap<At<String>, BTreeMap<At<String>, At<f64>>>,
    pub(super) shifts: Vec<ShiftTable>,
    pub(super) metrics: BTreeMap<At<String>, HabitTable>,
    pub(super) dishonest: DishonestTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SegmentTable {
    pub(super) share: At<f64>,
    #[serde(default)]
    pub(super) values: BTreeMap<At<String>, At<String>>,
    pub(super) satisfied: Option<At<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShiftTable {
    pub(super) from: u64,
    pub(super) satisfied: At<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HabitTable {
    pub(super) satisfied: SayingTable,
    pub(super) unsatisfied: SayingTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SayingTable {
    pub(super) rate: Option<At<f64>>,
    pub(super) rates: BTreeMap<At<String>, At<f64>>,
    pub(super) says: Option<At<BTreeMap<At<String>, At<f64>>>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DishonestTable {
    pub(super) answer: Option<At<f64>>,
    pub(super) bare: Option<At<f64>>,
    pub(super) forged: Option<At<f64>>,
    pub(super) metric: Option<At<String>>,
    pub(super) bin: Option<At<String>>,
}

impl File {
    pub(super) fn parse(source: Source<'_>) -> Result<Self, ScenarioError> {
        toml::from_str(source.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            source.at(start, error.message())
        })
    }
}
