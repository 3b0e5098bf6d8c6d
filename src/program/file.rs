//! The program file as it is written: every key known, every value with its place.

use super::{ProgramError, asking::AskingTable, profile::ProfileTable, triage::RuleTable};
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
    pub(super) fn error<T>(self, value: &At<T>, reason: impl Display) -> ProgramError {
        self.at(value.span().start, reason)
    }

    /// An error about the whole.
    pub(super) fn whole(self, reason: impl Display) -> ProgramError {
        ProgramError { place: self.name.to_owned(), reason: reason.to_string() }
    }

    pub(super) fn at(self, byte: usize, reason: impl Display) -> ProgramError {
        let before = self.text.get(..byte).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        let place = format!("{}:{line}:{column}", self.name);
        ProgramError { place, reason: reason.to_string() }
    }
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) name: At<String>,
    pub(super) leader: At<String>,
    pub(super) helper: At<String>,
    pub(super) collector: At<String>,
    pub(super) window: At<String>,
    pub(super) grace: Option<At<String>>,
    pub(super) min_batch_size: At<u64>,
    pub(super) batch_mode: Option<At<String>>,
    pub(super) starts: Option<At<String>>,
    pub(super) ends: Option<At<String>>,
    #[serde(default)]
    pub(super) privacy: PrivacyTable,
    pub(super) budget: Option<BudgetTable>,
    #[serde(default)]
    pub(super) device: DeviceTable,
    #[serde(default)]
    pub(super) asking: AskingTable,
    #[serde(default)]
    pub(super) profile: ProfileTable,
    #[serde(default)]
    pub(super) dimensions: BTreeMap<At<String>, DimensionTable>,
    #[serde(default)]
    pub(super) metrics: BTreeMap<At<String>, MetricTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivacyTable {
    pub(super) epsilon0: Option<At<f64>>,
    pub(super) epsilon: Option<At<f64>>,
    pub(super) delta: Option<At<f64>>,
    pub(super) reserve: Option<At<f64>>,
    pub(super) aggregator_noise: Option<At<NoiseTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetTable {
    pub(super) period: At<String>,
    pub(super) windows: Option<At<u64>>,
    pub(super) local: Option<At<f64>>,
    pub(super) central: Option<CentralTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CentralTable {
    pub(super) epsilon: At<f64>,
    pub(super) delta: At<f64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceTable {
    pub(super) jitter: Option<At<String>>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoiseTable {
    pub(super) kind: At<String>,
    pub(super) scale: Option<At<f64>>,
    pub(super) sigma: Option<At<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DimensionTable {
    pub(super) kind: At<String>,
    pub(super) values: At<Vec<At<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetricTable {
    pub(super) kind: At<String>,
    pub(super) question: At<String>,
    #[serde(default)]
    pub(super) dimensions: Vec<At<String>>,
    pub(super) epsilon0: Option<At<f64>>,
    pub(super) stars: Option<At<u32>>,
    pub(super) levels: Option<At<Vec<At<String>>>>,
    pub(super) candidates: Option<At<Vec<At<String>>>>,
    pub(super) aspects: Option<At<Vec<At<String>>>>,
    pub(super) signals: Option<At<Vec<At<String>>>>,
    pub(super) categories: Option<At<Vec<At<String>>>>,
    pub(super) max: Option<At<u64>>,
    pub(super) buckets: Option<At<Vec<At<f64>>>>,
    pub(super) of: Option<At<String>>,
    pub(super) weights: Option<At<BTreeMap<At<String>, At<f64>>>>,
    pub(super) rules: Option<At<Vec<At<RuleTable>>>>,
    pub(super) allow_many_bins: Option<At<bool>>,
    pub(super) randomizer: Option<At<String>>,
}

impl File {
    pub(super) fn parse(source: Source<'_>) -> Result<Self, ProgramError> {
        toml::from_str(source.text).map_err(|error| match error.span() {
            Some(span) => source.at(span.start, error.message()),
            None => source.whole(error.message()),
        })
    }
}

/// A name that may stand in task names and files: lower-case words joined by hyphens or
/// underscores.
pub(super) fn identifier(source: Source<'_>, text: &At<String>) -> Result<String, ProgramError> {
    let name = text.get_ref();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(name.clone());
    }
    Err(source.error(
        text,
        format!("{name:?} must be 1 to 64 characters out of a-z, 0-9, hyphen and underscore"),
    ))
}

/// Labels that people read: each once, printable, at least `least` of them.
pub(super) fn labels(
    source: Source<'_>,
    list: &At<Vec<At<String>>>,
    least: usize,
) -> Result<Vec<String>, ProgramError> {
    let mut seen = Vec::new();
    for label in list.get_ref() {
        let text = label.get_ref().trim();
        if text.is_empty() || text.len() > 100 || text.chars().any(char::is_control) {
            return Err(source.error(label, "a label must be 1 to 100 printable characters"));
        }
        if seen.iter().any(|other| other == text) {
            return Err(source.error(label, format!("{text:?} is there already")));
        }
        seen.push(text.to_owned());
    }
    if seen.len() < least {
        let found = seen.len();
        return Err(source.error(list, format!("needs at least {least} entries, and has {found}")));
    }
    Ok(seen)
}
