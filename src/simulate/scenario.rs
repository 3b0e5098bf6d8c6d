//! How simulated people behave: one TOML file, checked against the program.
//!
//! Everything may be left out. Errors name the line: an unknown key, a
//! probability above 1, a dimension, a value, a metric or an answer that the program does not have.

mod dishonest;
mod example;
mod file;

pub use dishonest::{Dishonest, Lie};
pub use example::example;

use file::{At, File, SayingTable, SegmentTable, Source};
use sottovoce_program::{
    Program,
    compile::CompiledTask,
    dimension::{Dimension, Visibility},
    kind::Kind,
    metric::Metric,
};
use std::collections::BTreeMap;
use thiserror::Error;

/// An invalid scenario.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{place}: {reason}")]
pub struct ScenarioError {
    place: String,
    reason: String,
}

/// How people behave. Probabilities are from 0 to 1, of one device in one window unless it says
/// otherwise.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The share of devices whose users agree to take part.
    pub consent: f64,
    /// The share of devices that are there in the first window.
    pub present: f64,
    /// That a user who is not there yet joins.
    pub join: f64,
    /// That a user leaves for good.
    pub leave: f64,
    /// That the app is not opened.
    pub offline: f64,
    /// That the app is killed while it is open.
    pub crash: f64,
    /// That a request is lost, of each.
    pub lost_request: f64,
    /// That the answer to an upload is lost, of each.
    pub lost_answer: f64,
    /// That an answer is given otherwise first, and then changed.
    pub changed: f64,
    /// That an answer is taken back.
    pub withdrawn: f64,
    /// How many responses of the model a user sees in a window.
    pub responses: u32,
    /// How often a response satisfies, unless a segment says otherwise.
    pub satisfied: f64,
    /// Kinds of people, at least one.
    pub segments: Vec<Segment>,
    /// Each public dimension with the share of each of its values.
    pub arms: Vec<(Dimension, Vec<f64>)>,
    /// What a value of a public dimension adds to satisfaction: dimension, value, difference.
    pub effects: Vec<(String, String, f64)>,
    /// What is added to satisfaction from a window on: its number, from 0, and the difference.
    pub shifts: Vec<(u64, f64)>,
    /// What people say, metric by metric, in the program's order.
    pub metrics: Vec<Asked>,
    /// Devices that lie.
    pub dishonest: Dishonest,
}

/// A kind of people.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Their share, beside the others'.
    pub share: f64,
    /// Their values of private dimensions; of the others each is as likely.
    pub values: BTreeMap<String, String>,
    /// How often a response satisfies them.
    pub satisfied: Option<f64>,
}

/// A metric, and what people say to it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The metric.
    pub metric: Metric,
    /// Its tasks, by their index in the program.
    pub tasks: Vec<usize>,
    /// Whether the device works it out from other metrics, so that nobody says anything to it.
    pub is_derived: bool,
    /// Of a response that does not satisfy, and of one that does.
    pub sayings: [Saying; 2],
}

/// What people say in one state of mind.
#[derive(Clone, Debug)]
pub struct Saying {
    /// The weight of each outcome; of signals the probability of each.
    pub weights: Vec<f64>,
    /// How often each outcome is said by those who think it. Signals are always observed.
    pub rates: Vec<f64>,
}

/// The most responses of a window: fewer than an engine remembers of each metric, with some room
/// for those that are carried on.
pub const MOST_RESPONSES: u32 = 12;
/// How often people say what they think, unless the scenario says it.
const USUAL_RATE: f64 = 0.3;
/// How often a response satisfies, unless the scenario says it.
const USUALLY_SATISFIED: f64 = 0.7;

impl Scenario {
    /// Parses a scenario and checks it against a program; `name` is what errors call it.
    pub fn parse(name: &str, text: &str, program: &Program) -> Result<Self, ScenarioError> {
        let source = Source { name, text };
        let file = File::parse(source)?;
        let probability =
            |value: &Option<At<f64>>, usual| source.probability(value.as_ref(), usual);
        let metrics = asked(source, &file, program)?;
        Ok(Self {
            consent: probability(&file.consent, 1.0)?,
            present: probability(&file.present, 1.0)?,
            join: probability(&file.join, 0.0)?,
            leave: probability(&file.leave, 0.0)?,
            offline: probability(&file.offline, 0.0)?,
            crash: probability(&file.crash, 0.0)?,
            lost_request: probability(&file.lost_request, 0.0)?,
            lost_answer: probability(&file.lost_answer, 0.0)?,
            changed: probability(&file.changed, 0.0)?,
            withdrawn: probability(&file.withdrawn, 0.0)?,
            responses: responses(source, file.responses.as_ref())?,
            satisfied: probability(&file.satisfied, USUALLY_SATISFIED)?,
            segments: segments(source, &file.segments, program)?,
            arms: arms(source, &file, program)?,
            effects: effects(source, &file, program)?,
            shifts: shifts(source, &file)?,
            dishonest: Dishonest::parse(source, &file.dishonest, program, &metrics)?,
            metrics,
        })
    }
}

fn responses(source: Source<'_>, value: Option<&At<u32>>) -> Result<u32, ScenarioError> {
    let Some(value) = value else { return Ok(1) };
    let found = *value.get_ref();
    if (1..=MOST_RESPONSES).contains(&found) {
        return Ok(found);
    }
    Err(source.error(value, format!("must be 1 to {MOST_RESPONSES}, not {found}")))
}

fn segments(
    source: Source<'_>,
    tables: &[SegmentTable],
    program: &Program,
) -> Result<Vec<Segment>, ScenarioError> {
    let parse = |table: &SegmentTable| {
        let satisfied = table.satisfied.as_ref();
        let satisfied = satisfied.map(|value| source.probability(Some(value), 0.0)).transpose()?;
        let mut values = BTreeMap::new();
        for (name, value) in &table.values {
            let dimension = dimension(source, name, program, &Visibility::Private)?;
            known_value(source, &dimension, value)?;
            values.insert(dimension.name, value.get_ref().clone());
        }
        Ok(Segment { share: source.weight(&table.share)?, values, satisfied })
    };
    let segments = tables.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    match tables.first() {
        None => Ok(vec![Segment { share: 1.0, values: BTreeMap::new(), satisfied: None }]),
        Some(first) if segments.iter().all(|segment| segment.share == 0.0) => {
            Err(source.error(&first.share, "all segments have share 0; give one a share above 0"))
        }
        Some(_) => Ok(segments),
    }
}

/// Each public dimension with the shares of its values: even ones unless the file says otherwise.
fn arms(
    source: Source<'_>,
    file: &File,
    program: &Program,
) -> Result<Vec<(Dimension, Vec<f64>)>, ScenarioError> {
    let mut arms: Vec<_> = dimensions(program)
        .filter(|dimension| dimension.is_public())
        .map(|dimension| (dimension.clone(), vec![1.0; dimension.values.len()]))
        .collect();
    for (name, shares) in &file.arms {
        let known = dimension(source, name, program, &Visibility::Public)?;
        let mut weights = vec![0.0; known.values.len()];
        for (value, share) in shares {
            let index = known_value(source, &known, value)?;
            weights[index] = source.weight(share)?;
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return Err(source.error(name, "all values have share 0; give one a share above 0"));
        }
        for (dimension, known_weights) in &mut arms {
            if dimension.name == known.name {
                known_weights.clone_from(&weights);
            }
        }
    }
    Ok(arms)
}

fn effects(
    source: Source<'_>,
    file: &File,
    program: &Program,
) -> Result<Vec<(String, String, f64)>, ScenarioError> {
    let mut effects = Vec::new();
    for (name, values) in &file.effects {
        let dimension = dimension(source, name, program, &Visibility::Public)?;
        for (value, difference) in values {
            known_value(source, &dimension, value)?;
            let difference = source.difference(difference)?;
            effects.push((dimension.name.clone(), value.get_ref().clone(), difference));
        }
    }
    Ok(effects)
}

fn shifts(source: Source<'_>, file: &File) -> Result<Vec<(u64, f64)>, ScenarioError> {
    let shifts = file.shifts.iter();
    shifts.map(|shift| Ok((shift.from, source.difference(&shift.satisfied)?))).collect()
}

/// What people say to each metric of the program.
fn asked(source: Source<'_>, file: &File, program: &Program) -> Result<Vec<Asked>, ScenarioError> {
    let metrics = metrics(program);
    for name in file.metrics.keys() {
        if metrics.iter().all(|metric| metric.name != *name.get_ref()) {
            let known: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
            let known = known.join(", ");
            let reason = format!("the program has no metric {:?}; it has: {known}", name.get_ref());
            return Err(source.error(name, reason));
        }
    }
    let parse = |metric: &&Metric| {
        let tasks = program.tasks().iter().enumerate();
        let tasks: Vec<_> = tasks.filter(|(_, task)| task.metric.name == metric.name).collect();
        let found = file.metrics.iter().find(|(name, _)| *name.get_ref() == metric.name);
        let is_derived = is_derived(metric);
        if let Some((name, _)) = found.filter(|_| is_derived) {
            let reason =
                "the device derives this metric; describe the metrics that it is derived from";
            return Err(source.error(name, reason));
        }
        let task = tasks[0].1;
        let table = found.map(|(_, table)| table);
        let saying = |is_satisfied, table: Option<&SayingTable>| {
            saying(source, task, is_satisfied, table.unwrap_or(&SayingTable::default()))
        };
        let sayings = [
            saying(false, table.map(|table| &table.unsatisfied))?,
            saying(true, table.map(|table| &table.satisfied))?,
        ];
        let tasks = tasks.into_iter().map(|(index, _)| index).collect();
        Ok(Asked { metric: (*metric).clone(), tasks, is_derived, sayings })
    };
    metrics.iter().map(parse).collect()
}

fn saying(
    source: Source<'_>,
    task: &CompiledTask,
    is_satisfied: bool,
    table: &SayingTable,
) -> Result<Saying, ScenarioError> {
    let outcomes = task.encoding().outcomes();
    let index_of = |label: &At<String>| {
        let index = outcomes.iter().position(|outcome| outcome == label.get_ref());
        index.ok_or_else(|| {
            let (metric, known) = (&task.metric.name, outcomes.join(", "));
            let reason = format!("{metric} has no outcome {:?}; it has: {known}", label.get_ref());
            source.error(label, reason)
        })
    };
    let mut weights = usual(task.metric.kind.as_kind(), outcomes.len(), is_satisfied);
    if let Some(says) = &table.says {
        let is_signals = task.encoding().is_vector();
        weights.fill(0.0);
        for (label, weight) in says.get_ref() {
            weights[index_of(label)?] = if is_signals {
                source.probability(Some(weight), 0.0)?
            } else {
                source.weight(weight)?
            };
        }
        if !is_signals && weights.iter().all(|weight| *weight == 0.0) {
            return Err(source.error(says, "all outcomes have weight 0; give one a weight above 0"));
        }
    }
    let rate = source.probability(table.rate.as_ref(), USUAL_RATE)?;
    let mut rates = vec![rate; outcomes.len()];
    for (label, rate) in &table.rates {
        rates[index_of(label)?] = source.probability(Some(rate), 0.0)?;
    }
    Ok(Saying { weights, rates })
}

/// What people say if the scenario does not: satisfied ones mostly the better half of what there is
/// to say, the others mostly the other half; of signals the first ones.
#[expect(clippy::cast_precision_loss, reason = "a handful of outcomes")]
fn usual(kind: &dyn Kind, count: usize, satisfied: bool) -> Vec<f64> {
    let is_best_first = kind.is_best_first();
    let good = |index: usize| {
        let late = (index as f64 + 0.5) / count as f64;
        let good = if is_best_first { 1.0 - late } else { late };
        if satisfied { good } else { 1.0 - good }
    };
    let sharpened = |index| good(index).powi(3);
    (0..count).map(|index| if count == 1 { 0.5 } else { sharpened(index) }).collect()
}

/// The dimension of a name, if the program has it and it is of that kind.
fn dimension(
    source: Source<'_>,
    name: &At<String>,
    program: &Program,
    visibility: &Visibility,
) -> Result<Dimension, ScenarioError> {
    let fits = |dimension: &&Dimension| dimension.visibility == *visibility;
    let found = dimensions(program).filter(fits).find(|known| known.name == *name.get_ref());
    found.cloned().ok_or_else(|| {
        let kind = if *visibility == Visibility::Public { "public" } else { "private" };
        let known = dimensions(program).filter(fits).map(|known| known.name.as_str());
        let known: Vec<_> = known.collect();
        let there_is = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let reason = format!(
            "no metric of the program has the {kind} dimension {:?}; it has: {there_is}",
            name.get_ref()
        );
        source.error(name, reason)
    })
}

fn known_value(
    source: Source<'_>,
    dimension: &Dimension,
    value: &At<String>,
) -> Result<usize, ScenarioError> {
    let found = dimension.values.iter().position(|known| known == value.get_ref());
    found.ok_or_else(|| {
        let (name, known) = (&dimension.name, dimension.values.join(", "));
        source.error(value, format!("{name} has no value {:?}; it has: {known}", value.get_ref()))
    })
}

/// Each dimension that a metric of the program is broken down by, once.
pub(super) fn dimensions(program: &Program) -> impl Iterator<Item = &Dimension> {
    let mut known: Vec<&Dimension> = Vec::new();
    for dimension in program.tasks().iter().flat_map(|task| &task.metric.dimensions) {
        if known.iter().all(|other| other.name != dimension.name) {
            known.push(dimension);
        }
    }
    known.into_iter()
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

/// Whether the device works a metric out from what was said to others.
fn is_derived(metric: &Metric) -> bool {
    metric.kind.as_kind().derived().is_some()
}

#[cfg(test)]
mod tests;
