//! The program file as it is written: every key known, every value with its place.

use super::{
    ProgramError,
    asking::AskingTable,
    profile::ProfileTable,
    source::{At, Source},
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A program: everything one app asks its users.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(title = "sottovoce program"))]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The program's name: a-z, 0-9, hyphen and underscore.
    pub(super) name: At<String>,
    /// What the program is for. Default: feedback.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["feedback", "red-team", null])))]
    pub(super) kind: Option<At<String>>,
    /// The leader's endpoint: an https URL.
    pub(super) leader: At<String>,
    /// The helper's endpoint, of another organisation: an https URL.
    pub(super) helper: At<String>,
    /// The collector's public HPKE configuration, as `sottovoce keygen` prints it.
    pub(super) collector: At<String>,
    /// How often a device reports, such as "1 day".
    pub(super) window: At<String>,
    /// The first day of the week, in UTC, if windows are whole weeks. Default: thursday.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = super::calendar::WORDS)))]
    pub(super) week_begins: Option<At<String>>,
    /// How long after a window late reports still count, such as "6 hours".
    pub(super) grace: Option<At<String>>,
    /// The minimum number of reports in a sum that anybody sees.
    pub(super) min_batch_size: At<u64>,
    /// How reports are batched. Default: time-interval.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["time-interval", "leader-selected", null])))]
    pub(super) batch_mode: Option<At<String>>,
    /// When reporting starts, such as 2026-11-01T00:00:00Z.
    pub(super) starts: Option<At<String>>,
    /// When reporting ends.
    pub(super) ends: Option<At<String>>,
    /// What one report guarantees.
    #[serde(default)]
    pub(super) privacy: PrivacyTable,
    /// What a device may spend over time.
    pub(super) budget: Option<BudgetTable>,
    /// The aggregators' public logs, and who requires inclusion proofs.
    pub(super) log: Option<LogTable>,
    /// How devices behave.
    #[serde(default)]
    pub(super) device: DeviceTable,
    /// When an app is advised to ask.
    #[serde(default)]
    pub(super) asking: AskingTable,
    /// How long a device remembers its user.
    #[serde(default)]
    pub(super) profile: ProfileTable,
    /// What metrics can be broken down by.
    #[serde(default)]
    pub(super) dimensions: BTreeMap<At<String>, DimensionTable>,
    /// What is asked or observed.
    #[serde(default)]
    pub(super) metrics: BTreeMap<At<String>, MetricTable>,
}

/// What one report guarantees.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct PrivacyTable {
    /// The ε of one report, even if both aggregators collude. Default: 4.
    pub(super) epsilon0: Option<At<f64>>,
    /// What is promised of one report in one batch, with one honest aggregator and most devices
    /// honest.
    pub(super) epsilon: Option<At<f64>>,
    /// The delta that belongs to it: for every set of outcomes, its probability under one answer is
    /// at most e^epsilon times that under another, plus delta. Default: 1e-6.
    pub(super) delta: Option<At<f64>>,
    /// The share of the smallest batch that may be dishonest or missing. Default: 0.2.
    pub(super) reserve: Option<At<f64>>,
    /// The noise that each aggregator adds to each count. Default: none.
    pub(super) aggregator_noise: Option<At<NoiseTable>>,
}

/// What a device may spend over time.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetTable {
    /// The period of the budget, such as "90 days"; a whole number of windows.
    pub(super) period: At<String>,
    /// The maximum number of windows of a period in which a device reports.
    pub(super) windows: Option<At<u64>>,
    /// The maximum sum of epsilon0 in a period.
    pub(super) local: Option<At<f64>>,
    /// The maximum privacy loss of all reports of a period together, with one honest aggregator and
    /// most devices honest.
    pub(super) central: Option<CentralTable>,
}

/// A composed bound.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct CentralTable {
    /// The bound.
    pub(super) epsilon: At<f64>,
    /// The delta that belongs to it, of all reports of a period together.
    pub(super) delta: At<f64>,
}

/// The aggregators' public logs, and who requires inclusion proofs. Keys can change without changing any task.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct LogTable {
    /// The keys of the leader's log: what `sottovoce-leader log key` prints.
    pub(super) leader: At<Vec<At<String>>>,
    /// The keys of the helper's log.
    pub(super) helper: At<Vec<At<String>>>,
    /// The keys of the witnesses that cosign both logs.
    #[serde(default)]
    pub(super) witnesses: Vec<At<String>>,
    /// How many witnesses must have cosigned a checkpoint for it to be trusted. Default: 0.
    pub(super) quorum: Option<At<u64>>,
    /// Who requires inclusion proofs: "collector" for each release, "devices" for each task.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("items" = {"enum": ["collector", "devices"]})))]
    pub(super) required_by: Vec<At<String>>,
}

/// How devices behave.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceTable {
    /// Devices send their reports at a random time within this duration after a window's end; at most
    /// the grace. Default: half of the grace.
    pub(super) jitter: Option<At<String>>,
}

/// The noise that each aggregator adds to each count. Default: none.
#[derive(Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct NoiseTable {
    /// The distribution.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["discrete-gaussian", "discrete-laplace"])))]
    pub(super) kind: At<String>,
    /// The scale of discrete Laplace noise, in counts.
    pub(super) scale: Option<At<f64>>,
    /// The sigma of discrete Gaussian noise, in counts.
    pub(super) sigma: Option<At<f64>>,
}

/// A finite breakdown.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct DimensionTable {
    /// public: assigned by the publisher and visible to the aggregators; private: protected like the
    /// answer; held-out: a random share of devices.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["public", "private", "held-out"])))]
    pub(super) kind: At<String>,
    /// Its values, of a public or private dimension.
    pub(super) values: Option<At<Vec<At<String>>>>,
    /// The share of devices that is held out, above 0 and at most 0.5.
    pub(super) share: Option<At<f64>>,
    /// Any text; another salt holds out other devices.
    pub(super) salt: Option<At<String>>,
}

/// One thing asked or observed.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct MetricTable {
    /// What an answer is.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = super::kind::NAMES)))]
    pub(super) kind: At<String>,
    /// What the user is asked, or what is observed; a joint can do without.
    pub(super) question: Option<At<String>>,
    /// What it is broken down by.
    #[serde(default)]
    pub(super) dimensions: Vec<At<String>>,
    /// The budget of one report, if it is not the program's.
    pub(super) epsilon0: Option<At<f64>>,
    /// Of rating and ratings: how many stars, from 2 to 20.
    pub(super) stars: Option<At<u32>>,
    /// Of rating and ratings: named levels, from the worst to the best.
    pub(super) levels: Option<At<Vec<At<String>>>>,
    /// Of preference: what is compared.
    pub(super) candidates: Option<At<Vec<At<String>>>>,
    /// Of ratings: what is rated.
    pub(super) aspects: Option<At<Vec<At<String>>>>,
    /// Of signals: what can be observed.
    pub(super) signals: Option<At<Vec<At<String>>>>,
    /// Of triage and finding: what there is to choose from.
    pub(super) categories: Option<At<Vec<At<String>>>>,
    /// Of finding: how grave, from mild to grave.
    pub(super) severities: Option<At<Vec<At<String>>>>,
    /// Of joint: an explicit metric, and an implicit one or a signal of one, such as
    /// "behaviour.copied".
    pub(super) joins: Option<At<Vec<At<String>>>>,
    /// Of count: the largest value with a bin of its own, from 1 to 20.
    pub(super) max: Option<At<u64>>,
    /// Of count and score: where each bucket begins.
    pub(super) buckets: Option<At<Vec<At<f64>>>>,
    /// Of score: the metric of kind signals that it is worked out from.
    pub(super) of: Option<At<String>>,
    /// Of score: the weight of each signal that counts, in log-odds, from -10 to 10.
    pub(super) weights: Option<At<BTreeMap<At<String>, At<f64>>>>,
    /// Of triage: what sorts a comment; the first that matches decides.
    pub(super) rules: Option<At<Vec<At<RuleTable>>>>,
    /// More than 21 bins are fine, and so are wide intervals.
    pub(super) allow_many_bins: Option<At<bool>>,
    /// The randomizer, if the choice is not left to us.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["krr", "bits", null])))]
    pub(super) randomizer: Option<At<String>>,
}

/// What sorts a comment into a category.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RuleTable {
    /// One of the categories of the metric.
    pub(super) category: At<String>,
    /// Whole words or phrases, whatever their case.
    pub(super) words: Option<At<Vec<At<String>>>>,
    /// A regular expression.
    pub(super) pattern: Option<At<String>>,
}

impl MetricTable {
    /// The keys that only some kinds have, each with its place if it is there. A new key is one of them, or
    /// one that all kinds have.
    pub(super) fn keys_of_kinds(&self) -> [(&'static str, Option<usize>); 13] {
        fn place<T>(value: Option<&At<T>>) -> Option<usize> {
            value.map(|value| value.span().start)
        }
        let Self {
            kind: _,
            question: _,
            dimensions: _,
            epsilon0: _,
            allow_many_bins: _,
            randomizer: _,
            stars,
            levels,
            candidates,
            aspects,
            signals,
            categories,
            severities,
            joins,
            rules,
            max,
            buckets,
            of,
            weights,
        } = self;
        [
            ("stars", place(stars.as_ref())),
            ("levels", place(levels.as_ref())),
            ("candidates", place(candidates.as_ref())),
            ("aspects", place(aspects.as_ref())),
            ("signals", place(signals.as_ref())),
            ("categories", place(categories.as_ref())),
            ("severities", place(severities.as_ref())),
            ("joins", place(joins.as_ref())),
            ("rules", place(rules.as_ref())),
            ("max", place(max.as_ref())),
            ("buckets", place(buckets.as_ref())),
            ("of", place(of.as_ref())),
            ("weights", place(weights.as_ref())),
        ]
    }
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
