//! What one simulated user says and does.

use super::scenario::{Habit, Scenario, Segment};
use crate::program::{
    answer::{Given, Outcome, Thumb},
    compile::CompiledTask,
    metric::MetricKind,
};
use rand::{RngExt, rngs::ChaCha8Rng};
use std::collections::BTreeSet;

/// Someone.
#[derive(Clone, Debug)]
pub struct Person<'a> {
    /// What kind of person.
    pub segment: &'a Segment,
    /// How often a response satisfies them.
    pub satisfied: f64,
}

impl<'a> Person<'a> {
    /// Draws someone who has these values of public dimensions.
    pub fn draw(
        scenario: &'a Scenario,
        assigned: &[(String, String)],
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let weights: Vec<_> = scenario.segments.iter().map(|segment| segment.share).collect();
        let segment = &scenario.segments[pick(&weights, rng)];
        let effect = assigned
            .iter()
            .filter_map(|(name, value)| scenario.effects.get(&format!("{name}={value}")));
        let base = segment.satisfied.unwrap_or(scenario.satisfied);
        Self { segment, satisfied: (base + effect.sum::<f64>()).clamp(0.0, 1.0) }
    }
}

/// What is said to a task about one response; nothing, mostly.
pub fn say(
    task: &CompiledTask,
    habit: &Habit,
    satisfied: bool,
    rng: &mut ChaCha8Rng,
) -> Option<Given> {
    let saying = if satisfied { &habit.satisfied } else { &habit.unsatisfied };
    let outcomes = task.encoding().outcomes();
    let usual = usual(&task.metric.kind, &outcomes, satisfied);
    let weight = |(label, usual): (&String, &f64)| {
        if saying.says.is_empty() { *usual } else { saying.says.get(label).copied().unwrap_or(0.0) }
    };
    let weights: Vec<_> = outcomes.iter().zip(&usual).map(weight).collect();
    if let MetricKind::Signals(names) = &task.metric.kind {
        let seen = names.iter().zip(&weights).filter(|(_, p)| rng.random::<f64>() < **p);
        let seen: BTreeSet<_> = seen.map(|(name, _)| name.clone()).collect();
        return (!seen.is_empty()).then_some(Given::Signals(seen));
    }
    let answers = rng.random::<f64>() < saying.rate && weights.iter().any(|weight| *weight > 0.0);
    answers.then(|| given(task, pick(&weights, rng), rng)).flatten()
}

/// What satisfied people say if the scenario does not: mostly the better half of what there is to
/// say, or the other half if they are not; of signals the first ones.
#[expect(clippy::cast_precision_loss, reason = "a handful of outcomes")]
pub fn usual(kind: &MetricKind, outcomes: &[String], satisfied: bool) -> Vec<f64> {
    let count = outcomes.len();
    let up_first = matches!(kind, MetricKind::Thumbs | MetricKind::Signals(_));
    let good = |index: usize| {
        let late = (index as f64 + 0.5) / count as f64;
        let good = if up_first { 1.0 - late } else { late };
        if satisfied { good } else { 1.0 - good }
    };
    let sharpened = |index| good(index).powi(3);
    (0..count).map(|index| if count == 1 { 0.5 } else { sharpened(index) }).collect()
}

/// An answer that is this outcome.
fn given(task: &CompiledTask, outcome: usize, rng: &mut ChaCha8Rng) -> Option<Given> {
    Some(match &task.metric.kind {
        MetricKind::Thumbs => Given::Thumbs(if outcome == 0 { Thumb::Up } else { Thumb::Down }),
        MetricKind::Rating(levels) => Given::Rating(levels.get(outcome)?.clone()),
        MetricKind::Ratings { aspects, levels } => {
            let aspect = aspects.get(outcome / levels.len())?.clone();
            Given::Ratings([(aspect, levels[outcome % levels.len()].clone())].into())
        }
        MetricKind::Preference(names) => preference(task, names, outcome, rng)?,
        MetricKind::Count(bounds) => Given::Count(*bounds.get(outcome)?),
        MetricKind::Score { buckets, .. } => Given::Score(*buckets.get(outcome)?),
        MetricKind::Triage { categories, .. } => Given::Triage(categories.get(outcome)?.clone()),
        MetricKind::Finding { categories, severities } => Given::Finding {
            category: categories.get(outcome / severities.len())?.clone(),
            severity: severities[outcome % severities.len()].clone(),
        },
        MetricKind::Signals(_) | MetricKind::Joint(_) => return None,
    })
}

fn preference(
    task: &CompiledTask,
    names: &[String],
    outcome: usize,
    rng: &mut ChaCha8Rng,
) -> Option<Given> {
    if let Some((_, compared)) = task.encoding().pairs() {
        let pair = compared.get(outcome)?;
        let (left, right) = (names[pair.left].clone(), names[pair.right].clone());
        return Some(Given::Preference { left, right, outcome: pair.outcome });
    }
    // By candidates: this one won, lost or tied, against any other.
    let one = outcome / 3;
    let other = (one + rng.random_range(1..names.len())) % names.len();
    let outcome = [Outcome::Left, Outcome::Right, Outcome::Tie][outcome % 3];
    Some(Given::Preference { left: names[one].clone(), right: names[other].clone(), outcome })
}

/// An index, by weight; the last if all weights are 0.
pub(super) fn pick(weights: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        if left < *weight {
            return index;
        }
        left -= weight;
    }
    weights.len().saturating_sub(1)
}
