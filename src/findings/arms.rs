//! What the batches of one metric say together: arms, strengths, changes.

use super::{
    ArmsFindings, Batch, ChangeFindings, MetricFindings, StrengthFindings,
    batch::{figure, of_batch},
    measure::Measure,
};
use crate::{
    estimate::{
        EstimateError,
        change::{Cusum, Window, change_point},
        compare::{Arm, Question, Unit, all_pairs, compare},
        confidence::Confidence,
        planning::Test,
        preference::{Ballot, Outcome, strengths},
    },
    program::{answer, encoding::Meaning, format_moment},
};

pub(super) fn of_metric(metric: &str, batches: &[&Batch<'_>]) -> MetricFindings {
    let mut refused = Vec::new();
    let singly = batches.iter().map(|batch| of_batch(batch, &mut refused)).collect();
    let mut keep = |place: String, result: Result<(), EstimateError>| {
        if let Err(error) = result {
            refused.push(format!("{place}: {error}"));
        }
    };
    let mut found = MetricFindings {
        metric: metric.to_owned(),
        batches: singly,
        arms: Vec::new(),
        strengths: Vec::new(),
        changes: Vec::new(),
        refused: Vec::new(),
    };
    for start in distinct(batches, |batch| batch.start) {
        let arms: Vec<_> = batches.iter().copied().filter(|batch| batch.start == start).collect();
        let result = arms_of(&arms, start).map(|arms| found.arms.extend(arms));
        keep(format!("{metric}: arms from {}", format_moment(start)), result);
    }
    for task in distinct(batches, |batch| batch.task.name.as_str()) {
        let series: Vec<_> = batches.iter().copied().filter(|b| b.task.name == task).collect();
        let result = change_of(&series).map(|change| found.changes.extend(change));
        keep(format!("{task}: changes"), result);
        let result = strengths_of(&series).map(|strengths| found.strengths.extend(strengths));
        keep(format!("{task}: strengths"), result);
    }
    MetricFindings { refused, ..found }
}

fn distinct<'a, T: PartialEq>(
    batches: &[&'a Batch<'a>],
    key: impl Fn(&'a Batch<'a>) -> T,
) -> Vec<T> {
    batches.iter().fold(Vec::new(), |mut keys, batch| {
        let key = key(batch);
        if !keys.contains(&key) {
            keys.push(key);
        }
        keys
    })
}

/// Each two tasks of one window against each other.
fn arms_of(batches: &[&Batch<'_>], start: u64) -> Result<Option<ArmsFindings>, EstimateError> {
    let [first, _, ..] = batches else { return Ok(None) };
    let Some(measure) = Measure::of(&first.task.metric) else { return Ok(None) };
    let arm = |batch: &&Batch<'_>| {
        let values = batch.task.public.iter().map(|(_, value)| value.as_str());
        let label = values.collect::<Vec<_>>().join(" · ");
        Arm::new(label, &figure(batch, &measure)?.figure, batch.counts.reports())
    };
    let arms = batches.iter().map(arm).collect::<Result<Vec<_>, _>>()?;
    let question = Question { test: Test::USUAL, worth: measure.worth, unit: measure.unit };
    Ok(Some(ArmsFindings {
        start: format_moment(start),
        measure: measure.name.clone(),
        comparisons: compare(&all_pairs(&arms), question)?,
    }))
}

/// A task's windows in time.
fn change_of(batches: &[&Batch<'_>]) -> Result<Option<ChangeFindings>, EstimateError> {
    let [first, _, _, ..] = batches else { return Ok(None) };
    let Some(measure) = Measure::of(&first.task.metric) else { return Ok(None) };
    let window = |batch: &&Batch<'_>| {
        Window::of(format_moment(batch.start), &figure(batch, &measure)?.figure)
    };
    let windows = batches.iter().map(window).collect::<Result<Vec<_>, _>>()?;
    let mut cusum = Cusum::new(windows[0].clone());
    for window in &windows[1..] {
        cusum.push(window);
    }
    Ok(Some(ChangeFindings {
        task: first.task.name.clone(),
        measure: measure.name.clone(),
        change: change_point(&windows, Confidence::USUAL)?,
        alarm: cusum.alarm().cloned(),
        unit: measure.unit,
    }))
}

/// The difference of two strengths that is taken to matter: odds of 1.22 to 1, or 55 % wins.
const WORTH_LOG_ODDS: f64 = 0.2;

/// The candidates of a preference that is reported by pairs.
fn strengths_of(batches: &[&Batch<'_>]) -> Result<Option<StrengthFindings>, EstimateError> {
    let Some(first) = batches.first() else { return Ok(None) };
    let Some((names, compared)) = first.task.encoding().pairs() else { return Ok(None) };
    let outcome = |meaning| match meaning {
        Meaning::NoAnswer => Outcome::Nothing,
        Meaning::Answer { outcome, .. } => {
            let pair = compared[outcome];
            match pair.outcome {
                answer::Outcome::Left => Outcome::Preferred(pair.left, pair.right),
                answer::Outcome::Right => Outcome::Preferred(pair.right, pair.left),
                answer::Outcome::Tie => Outcome::Tie(pair.left, pair.right),
            }
        }
    };
    // A breakdown by segments repeats each outcome, and a ballot has each once.
    if first.task.encoding().cells().len() > 1 {
        return Ok(None);
    }
    let outcomes: Vec<_> = first.task.encoding().meanings().into_iter().map(outcome).collect();
    let ballot = |batch: &&Batch<'_>| Ballot::new(batch.counts.clone(), outcomes.clone());
    let ballots = batches.iter().map(ballot).collect::<Result<Vec<_>, _>>()?;
    let strengths = strengths(names, &ballots, Confidence::USUAL)?;
    let question = Question { test: Test::USUAL, worth: WORTH_LOG_ODDS, unit: Unit::LogOdds };
    let comparisons = strengths.comparisons(question)?;
    Ok(Some(StrengthFindings { task: first.task.name.clone(), strengths, comparisons }))
}
