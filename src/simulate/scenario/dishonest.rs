//! Dishonest devices: all send the same wrong answer, in one of three ways.

use super::{
    Asked, ScenarioError,
    file::{At, DishonestTable, Source},
    is_derived,
};
use sottovoce_program::{
    Program,
    answer::Given,
    compile::CompiledTask,
    encoding::{Encoding, Meaning},
};
use std::collections::BTreeMap;

/// How many devices lie, and what.
#[derive(Clone, Debug, Default)]
pub struct Dishonest {
    /// The share of devices that give one answer in every window, through the engine.
    pub answer: f64,
    /// The share of devices that report one bin without noise, under a proof that holds.
    pub bare: f64,
    /// The share of devices that report more than one vote, for which no proof holds.
    pub forged: f64,
    /// The lie, if anybody lies.
    pub lie: Option<Lie>,
}

/// What liars say.
#[derive(Clone, Debug)]
pub struct Lie {
    /// The metric, by its place among the scenario's.
    pub metric: usize,
    /// The index of the bin.
    pub bin: usize,
    /// The answer that is this bin, with its private values, if one can be given.
    pub answer: Option<(Given, BTreeMap<String, String>)>,
}

impl Dishonest {
    pub(super) fn parse(
        source: Source<'_>,
        table: &DishonestTable,
        program: &Program,
        metrics: &[Asked],
    ) -> Result<Self, ScenarioError> {
        let share = |value: &Option<At<f64>>| source.probability(value.as_ref(), 0.0);
        let (answer, bare, forged) =
            (share(&table.answer)?, share(&table.bare)?, share(&table.forged)?);
        let shares = [&table.answer, &table.bare, &table.forged];
        let Some(first) = shares.into_iter().flatten().find(|share| *share.get_ref() > 0.0) else {
            return Ok(Self::default());
        };
        if answer + bare + forged > 1.0 {
            return Err(
                source.error(first, "the shares of dishonest devices add up to more than 1")
            );
        }
        let (Some(metric), Some(bin)) = (&table.metric, &table.bin) else {
            return Err(
                source.error(first, "dishonest devices need `metric` and `bin`: what they report")
            );
        };
        let lie = lie(source, metric, bin, program, metrics)?;
        if let (Some(share), None) = (&table.answer, &lie.answer) {
            let reason = "no user can give this answer, because the device derives or chooses it; \
                          use `bare`";
            return Err(source.error(share, reason));
        }
        Ok(Self { answer, bare, forged, lie: Some(lie) })
    }
}

fn lie(
    source: Source<'_>,
    metric: &At<String>,
    bin: &At<String>,
    program: &Program,
    metrics: &[Asked],
) -> Result<Lie, ScenarioError> {
    let index = metrics.iter().position(|asked| asked.metric.name == *metric.get_ref());
    let index = index.ok_or_else(|| {
        source.error(metric, format!("the program has no metric {:?}", metric.get_ref()))
    })?;
    let task = &program.tasks()[metrics[index].tasks[0]];
    let labels = task.labels();
    let place = labels.iter().position(|label| label == bin.get_ref()).ok_or_else(|| {
        let (name, known) = (metric.get_ref(), labels.join(", "));
        source.error(bin, format!("{name} has no bin {:?}; it has: {known}", bin.get_ref()))
    })?;
    Ok(Lie { metric: index, bin: place, answer: answer(task, place) })
}

/// The answer that is encoded as a bin.
fn answer(task: &CompiledTask, bin: usize) -> Option<(Given, BTreeMap<String, String>)> {
    let Meaning::Answer { cell, outcome } = task.encoding().meanings()[bin] else { return None };
    let is_the_devices = task.metric.dimensions.iter().any(|d| d.chosen(&[0; 32]).is_some());
    if is_derived(&task.metric) || is_the_devices {
        return None;
    }
    let given = task.metric.kind.as_kind().given(outcome, 0)?;
    Some((given, values_of(task.encoding(), task, cell)))
}

/// The values of private dimensions that make a cell: the last dimension counts fastest.
fn values_of(encoding: &Encoding, task: &CompiledTask, cell: usize) -> BTreeMap<String, String> {
    debug_assert!(cell < encoding.cells().len());
    let mut rest = cell;
    let private = task.metric.dimensions.iter().filter(|dimension| !dimension.is_public());
    let private: Vec<_> = private.collect();
    let values = private.into_iter().rev().map(|dimension| {
        let value = dimension.values[rest % dimension.values.len()].clone();
        rest /= dimension.values.len();
        (dimension.name.clone(), value)
    });
    values.collect()
}
