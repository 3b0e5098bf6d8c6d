//! How simulated people behave: one TOML file, checked against the program.

use crate::program::{
    Program,
    metric::{Metric, MetricKind},
};
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// A scenario that says something impossible.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{place}: {reason}")]
pub struct ScenarioError {
    place: String,
    reason: String,
}

/// How people behave. Probabilities are from 0 to 1, of one device in one window unless it says
/// otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The share of devices whose users agree to take part.
    pub consent: f64,
    /// That the app is not opened.
    pub offline: f64,
    /// That the user leaves for good.
    pub leave: f64,
    /// That the app is killed while it records, each time it does.
    pub crash: f64,
    /// That the answer to an upload is lost.
    pub lost_answer: f64,
    /// That an answer is given otherwise first, and then changed.
    pub changed: f64,
    /// That an answer is taken back.
    pub withdrawn: f64,
    /// How many responses of the model a user sees in a window.
    pub responses: u32,
    /// How often a response satisfies, unless a segment says otherwise.
    pub satisfied: f64,
    /// Kinds of people; one kind unless it says otherwise.
    pub segments: Vec<Segment>,
    /// What a value of a public dimension adds to the rate of satisfaction: `"arm=candidate" = 0.05`.
    pub effects: BTreeMap<String, f64>,
    /// What people say to each metric.
    pub metrics: BTreeMap<String, Habit>,
    /// Devices that do not run our engine.
    pub dishonest: Dishonest,
}

/// A kind of people.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Their share, beside the others'.
    pub share: f64,
    /// Their values of private dimensions.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// How often a response satisfies them.
    pub satisfied: Option<f64>,
}

/// What people say to a metric.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Habit {
    /// Of a satisfying response.
    pub satisfied: Saying,
    /// Of one that is not.
    pub unsatisfied: Saying,
}

/// What people say in one state of mind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Saying {
    /// That they say anything, for each response. Signals have no such rate: each is observed or not.
    pub rate: f64,
    /// The weight of each outcome, by its label; of signals the probability of each.
    pub says: BTreeMap<String, f64>,
}

/// Devices that do not run our engine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dishonest {
    /// The share of devices that report one bin of a task without noise, under a proof that holds.
    pub bare: f64,
    /// The share of devices that report what no proof can hold for.
    pub forged: f64,
    /// The metric.
    pub metric: String,
    /// The bin, by its label.
    pub bin: String,
}

/// The most responses of a window: what an engine remembers of each metric.
pub const MOST_RESPONSES: u32 = 12;

impl Default for Scenario {
    fn default() -> Self {
        Self {
            consent: 1.0,
            offline: 0.0,
            leave: 0.0,
            crash: 0.0,
            lost_answer: 0.0,
            changed: 0.0,
            withdrawn: 0.0,
            responses: 1,
            satisfied: 0.7,
            segments: Vec::new(),
            effects: BTreeMap::new(),
            metrics: BTreeMap::new(),
            dishonest: Dishonest::default(),
        }
    }
}

impl Default for Saying {
    fn default() -> Self {
        Self { rate: 0.3, says: BTreeMap::new() }
    }
}

impl Scenario {
    /// Parses a scenario and checks it against a program; `name` is what errors call it.
    pub fn parse(name: &str, text: &str, program: &Program) -> Result<Self, ScenarioError> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            let reason = error.message().to_owned();
            ScenarioError { place: format!("{name}:{line}"), reason }
        })?;
        let wrong = |reason: String| ScenarioError { place: name.to_owned(), reason };
        scenario.check_numbers().map_err(wrong)?;
        scenario.check_names(program).map_err(wrong)?;
        if scenario.segments.is_empty() {
            let values = private_defaults(program);
            scenario.segments.push(Segment { share: 1.0, values, satisfied: None });
        }
        for metric in metrics(program) {
            scenario.metrics.entry(metric.name.clone()).or_default();
        }
        Ok(scenario)
    }

    fn check_numbers(&self) -> Result<(), String> {
        let habits = self.metrics.iter().flat_map(|(name, habit)| {
            [(name, habit.satisfied.rate), (name, habit.unsatisfied.rate)]
        });
        let named = [
            ("consent", self.consent),
            ("offline", self.offline),
            ("leave", self.leave),
            ("crash", self.crash),
            ("lost_answer", self.lost_answer),
            ("changed", self.changed),
            ("withdrawn", self.withdrawn),
            ("satisfied", self.satisfied),
            ("dishonest.bare", self.dishonest.bare),
            ("dishonest.forged", self.dishonest.forged),
        ];
        let segments = self.segments.iter().filter_map(|s| Some(("segment", s.satisfied?)));
        let all = named.into_iter().chain(segments).map(|(name, p)| (name.to_owned(), p));
        for (name, p) in all.chain(habits.map(|(name, p)| (format!("{name}.rate"), p))) {
            if !(0.0..=1.0).contains(&p) {
                return Err(format!("{name} = {p} must be from 0 to 1"));
            }
        }
        if !(1..=MOST_RESPONSES).contains(&self.responses) {
            return Err(format!("responses = {} must be 1 to {MOST_RESPONSES}", self.responses));
        }
        let weights = self.metrics.values().flat_map(|h| [&h.satisfied.says, &h.unsatisfied.says]);
        let shares = self.segments.iter().map(|segment| segment.share);
        let mut all = weights.flat_map(BTreeMap::values).copied().chain(shares);
        if let Some(weight) = all.find(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(format!("{weight} is no weight; weights are 0 or more"));
        }
        if !self.segments.is_empty() && self.segments.iter().all(|s| s.share == 0.0) {
            return Err("nobody is in any segment; give one a share above 0".to_owned());
        }
        Ok(())
    }

    fn check_names(&self, program: &Program) -> Result<(), String> {
        for (name, habit) in &self.metrics {
            let task = program.tasks().iter().find(|task| task.metric.name == *name);
            let task = task.ok_or_else(|| format!("the program has no metric {name:?}"))?;
            let outcomes = task.encoding().outcomes();
            for label in habit.satisfied.says.keys().chain(habit.unsatisfied.says.keys()) {
                if !outcomes.contains(label) {
                    let known = outcomes.join(", ");
                    return Err(format!("{name} has no outcome {label:?}; it has: {known}"));
                }
            }
        }
        for segment in &self.segments {
            let mut values = private_defaults(program);
            for (name, value) in &segment.values {
                if values.insert(name.clone(), value.clone()).is_none() {
                    return Err(format!("the program has no private dimension {name:?}"));
                }
            }
        }
        let Dishonest { bare, forged, metric, bin } = &self.dishonest;
        if *bare > 0.0 || *forged > 0.0 {
            let task = program.tasks().iter().find(|task| task.metric.name == *metric);
            let task = task.ok_or_else(|| format!("dishonest.metric: no metric {metric:?}"))?;
            if !task.labels().contains(bin) {
                let known = task.labels().join(", ");
                return Err(format!("dishonest.bin: {metric} has no bin {bin:?}; it has: {known}"));
            }
        }
        Ok(())
    }
}

/// The first value of each private dimension.
fn private_defaults(program: &Program) -> BTreeMap<String, String> {
    let dimensions = program.tasks().iter().flat_map(|task| &task.metric.dimensions);
    let private = dimensions.filter(|d| !d.is_public() && d.chosen(&[0; 32]).is_none());
    private.map(|dimension| (dimension.name.clone(), dimension.values[0].clone())).collect()
}

/// Each metric of a program once.
pub(super) fn metrics(program: &Program) -> Vec<&Metric> {
    let mut metrics: Vec<&Metric> = Vec::new();
    for task in program.tasks() {
        if metrics.iter().all(|metric| metric.name != task.metric.name) {
            metrics.push(&task.metric);
        }
    }
    metrics
}

/// A scenario for a program to begin with: commented, with every metric's outcomes.
pub fn example(program: &Program) -> String {
    let mut text = include_str!("example.toml").to_owned();
    for metric in metrics(program) {
        let asked = !matches!(
            metric.kind,
            MetricKind::Joint(_) | MetricKind::Score { source: Some(_), .. }
        );
        let Some(task) = program.tasks().iter().find(|t| t.metric.name == metric.name && asked)
        else {
            text.push_str(&format!("\n# {} is worked out by the device.\n", metric.name));
            continue;
        };
        let outcomes = task.encoding().outcomes();
        let good = super::behaviour::usual(&metric.kind, &outcomes, true);
        let bad = super::behaviour::usual(&metric.kind, &outcomes, false);
        let says = |weights: &[f64]| {
            let pairs = outcomes.iter().zip(weights);
            let pairs: Vec<_> = pairs.map(|(label, w)| format!("{label:?} = {w:.2}")).collect();
            format!("{{ {} }}", pairs.join(", "))
        };
        let name = &metric.name;
        text.push_str(&format!(
            "\n[metrics.{name}.satisfied]\nrate = 0.2\nsays = {}\n[metrics.{name}.unsatisfied]\n\
             rate = 0.4\nsays = {}\n",
            says(&good),
            says(&bad)
        ));
    }
    text
}
