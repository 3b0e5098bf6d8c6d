//! What the batches of one metric say together: arms, strengths, changes.

use super::{
    ArmsFindings, Batch, ChangeFindings, MetricFindings, StrengthFindings,
    batch_findings::{figure, of_batch},
    counts::reports_of_one_device,
    measure::Measure,
};
use crate::{
    EstimateError,
    change::{Cusum, Window, change_point, false_alarm_probability},
    compare::{Arm, Question, Unit, compare},
    confidence::Confidence,
    disparity::LeftOut,
    figure::Figure,
    planning::Test,
    preference::{Ballot, Outcome, strengths},
};
use sottovoce_program::{Program, answer, encoding::Meaning, format_moment};

pub(super) fn of_metric(program: &Program, metric: &str, batches: &[&Batch<'_>]) -> MetricFindings {
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
        let result =
            strengths_of(program, &series).map(|strengths| found.strengths.extend(strengths));
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

/// A batch that takes part in a comparison, with its measure.
type Member<'a> = (&'a Batch<'a>, Figure);

/// The members of a comparison: those whose measure can be told, and the others with the reason.
/// Refuses if too few are left.
fn members<'a>(
    batches: &[&'a Batch<'a>],
    measure: &Measure,
    label: impl Fn(&Batch<'_>) -> String,
    is_enough: impl Fn(&[Member<'a>]) -> bool,
) -> Result<(Vec<Member<'a>>, Vec<LeftOut>), EstimateError> {
    let (mut members, mut left_out, mut refused) = (Vec::new(), Vec::new(), None);
    for batch in batches {
        match figure(batch, measure) {
            Ok(named) => members.push((*batch, named.figure)),
            Err(error) => {
                left_out.push(LeftOut { label: label(batch), reason: error.to_string() });
                refused.get_or_insert(error);
            }
        }
    }
    match refused {
        Some(error) if !is_enough(&members) => Err(error),
        _ => Ok((members, left_out)),
    }
}

/// Each two tasks of one window against each other.
fn arms_of(batches: &[&Batch<'_>], start: u64) -> Result<Option<ArmsFindings>, EstimateError> {
    let [first, _, ..] = batches else { return Ok(None) };
    let Some(measure) = Measure::of(&first.task.metric) else { return Ok(None) };
    let tasks = distinct(batches, |batch| batch.task.name.as_str()).len();
    if tasks < 2 {
        return Ok(None);
    }
    let label = |batch: &Batch<'_>| {
        let values = batch.task.public.iter().map(|(_, value)| value.as_str());
        let arm = values.collect::<Vec<_>>().join(" · ");
        // Of two batches of an arm that begin in the window, which one.
        let is_alone = batches.len() == tasks;
        if is_alone { arm } else { format!("{arm} from {}", batch.label()) }
    };
    let have_two_arms = |members: &[Member<'_>]| {
        members.iter().any(|(batch, _)| batch.task.task_id != members[0].0.task.task_id)
    };
    let (members, left_out) = members(batches, &measure, label, have_two_arms)?;
    let arm = |(batch, figure): &Member<'_>| {
        let arm = Arm::new(label(batch), figure, batch.counts.reports())?;
        Ok((batch.task.task_id, arm.with_repeats(batch.counts.repeats())))
    };
    let arms = members.iter().map(arm).collect::<Result<Vec<_>, EstimateError>>()?;
    let mut pairs = Vec::new();
    for (i, (task, arm)) in arms.iter().enumerate() {
        let others = arms[i + 1..].iter().filter(|(other, _)| other != task);
        pairs.extend(others.map(|(_, other)| (arm, other)));
    }
    let question = Question { test: Test::USUAL, worth: measure.worth, unit: measure.unit };
    Ok(Some(ArmsFindings {
        start: format_moment(start),
        measure: measure.name.clone(),
        comparisons: compare(&pairs, question)?,
        left_out,
    }))
}

/// A task's windows in time.
fn change_of(batches: &[&Batch<'_>]) -> Result<Option<ChangeFindings>, EstimateError> {
    let [first, _, _, ..] = batches else { return Ok(None) };
    let Some(measure) = Measure::of(&first.task.metric) else { return Ok(None) };
    let (members, left_out) =
        members(batches, &measure, |batch: &Batch<'_>| batch.label(), |them| them.len() > 2)?;
    let window =
        |(batch, figure): &Member<'_>| Window::of(batch.label(), figure, batch.counts.reports());
    let windows = members.iter().map(window).collect::<Result<Vec<_>, _>>()?;
    let mut cusum = Cusum::new();
    for window in &windows {
        cusum.push(window.clone());
    }
    Ok(Some(ChangeFindings {
        task: first.task.name.clone(),
        measure: measure.name.clone(),
        change: change_point(&windows, Confidence::USUAL)?,
        alarm: cusum.alarm().cloned(),
        false_alarm_probability: false_alarm_probability(windows.len()),
        left_out,
        unit: measure.unit,
    }))
}

/// The difference of two strengths that is taken to matter: odds of 1.22 to 1, or 55 % wins.
const WORTH_LOG_ODDS: f64 = 0.2;

/// The candidates of a preference that is reported by pairs.
fn strengths_of(
    program: &Program,
    batches: &[&Batch<'_>],
) -> Result<Option<StrengthFindings>, EstimateError> {
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
    // A device may be in each batch, and answer alike.
    let periods: Vec<_> = batches.iter().map(|batch| (batch.start, batch.end)).collect();
    let reports_of_one_device = reports_of_one_device(program, &periods);
    let ballot = |batch: &&Batch<'_>| {
        Ballot::new(batch.counts.clone().with_repeats(reports_of_one_device), outcomes.clone())
    };
    let ballots = batches.iter().map(ballot).collect::<Result<Vec<_>, _>>()?;
    let strengths = strengths(names, &ballots, Confidence::USUAL)?;
    let question = Question { test: Test::USUAL, worth: WORTH_LOG_ODDS, unit: Unit::LogOdds };
    let comparisons = strengths.comparisons(question)?;
    let task = first.task.name.clone();
    Ok(Some(StrengthFindings { task, strengths, comparisons, reports_of_one_device }))
}
