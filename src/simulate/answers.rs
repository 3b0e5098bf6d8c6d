//! Answers to a metric by the outcomes that they are: how likely each is, and one that is it.

use sottovoce_program::{
    answer::{Given, Outcome, Thumb},
    compile::CompiledTask,
    metric::MetricKind,
};

/// What people say if the scenario does not: satisfied ones mostly the better half of what there is
/// to say, the others mostly the other half; of signals the first ones.
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

/// An answer that is this outcome; nothing if nobody gives it. Where a comparison says of one
/// candidate only, `opponent` chooses the other.
pub fn given(task: &CompiledTask, outcome: usize, opponent: usize) -> Option<Given> {
    Some(match &task.metric.kind {
        MetricKind::Thumbs => Given::Thumbs(if outcome == 0 { Thumb::Up } else { Thumb::Down }),
        MetricKind::Rating(levels) => Given::Rating(levels.get(outcome)?.clone()),
        MetricKind::Ratings { aspects, levels } => {
            let aspect = aspects.get(outcome / levels.len())?.clone();
            Given::Ratings([(aspect, levels[outcome % levels.len()].clone())].into())
        }
        MetricKind::Preference(names) => preference(task, names, outcome, opponent)?,
        MetricKind::Count(bounds) => Given::Count(*bounds.get(outcome)?),
        MetricKind::Score { buckets, .. } => Given::Score(*buckets.get(outcome)?),
        MetricKind::Triage { categories, .. } => Given::Triage(categories.get(outcome)?.clone()),
        MetricKind::Finding { categories, severities } => Given::Finding {
            category: categories.get(outcome / severities.len())?.clone(),
            severity: severities[outcome % severities.len()].clone(),
        },
        MetricKind::Signals(names) => Given::Signals([names.get(outcome)?.clone()].into()),
        MetricKind::Joint(_) => return None,
    })
}

fn preference(
    task: &CompiledTask,
    names: &[String],
    outcome: usize,
    opponent: usize,
) -> Option<Given> {
    if let Some((_, compared)) = task.encoding().pairs() {
        let pair = compared.get(outcome)?;
        let (left, right) = (names[pair.left].clone(), names[pair.right].clone());
        return Some(Given::Preference { left, right, outcome: pair.outcome });
    }
    // By candidates: this one won, lost or tied, against any other.
    let one = outcome / 3;
    let other = (one + 1 + opponent % (names.len() - 1)) % names.len();
    let outcome = [Outcome::Left, Outcome::Right, Outcome::Tie][outcome % 3];
    let (left, right) = (names.get(one)?.clone(), names[other].clone());
    Some(Given::Preference { left, right, outcome })
}
