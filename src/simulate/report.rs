//! What a collector would see, beside the ground truth.

mod accuracy;
mod words;

pub use accuracy::{Accuracy, least_held};

use super::{
    Options,
    aggregators::Aggregators,
    counts::Counts,
    truth::{Tally, Truth},
    world::Results,
};
use serde::Serialize;
use sottovoce_collector::release::Release;
use sottovoce_dap::time::{Interval, Time};
use sottovoce_estimate::{
    confidence::Confidence,
    figure::ratio,
    findings::{Findings, measure::Measure},
    interval::Scope,
    plan,
};
use sottovoce_program::{Program, compile::CompiledTask, format_moment};

/// What came of a simulation.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The program's name.
    pub program: String,
    /// Devices.
    pub devices: u64,
    /// Windows.
    pub windows: u64,
    /// Where behaviour was drawn from.
    pub seed: u64,
    /// The start of the first window.
    pub start: String,
    /// In how many windows of a period a device takes part, and how many a period has; nothing where it takes
    /// part in all.
    pub participation: Option<[u64; 2]>,
    /// How often what happened.
    #[serde(flatten)]
    pub counts: Counts,
    /// Each released window of each task.
    pub releases: Vec<ReleaseBesideTruth>,
    /// Windows that were too small to be released.
    pub too_small: Vec<TooSmall>,
    /// The figures of each task together.
    pub tasks: Vec<TaskAccuracy>,
    /// All figures together, if there are any.
    pub accuracy: Option<Accuracy>,
    /// How many of the intervals must hold the truth, lest they be wrong; nothing if that is not
    /// judged, because there are no figures or because dishonest devices moved them.
    pub least_held: Option<usize>,
    /// What is wrong, if anything is.
    pub problems: Vec<String>,
    /// What the releases say.
    pub findings: Findings,
}

/// A released window of a task.
#[derive(Debug, Serialize)]
pub struct ReleaseBesideTruth {
    /// The task.
    pub task: String,
    /// The start of the window.
    pub window: String,
    /// Reports in it.
    pub reports: u64,
    /// Honest devices among those who sent them.
    pub honest: u64,
    /// Devices whose users thought something, said or not.
    pub everybody: u64,
    /// What the truth and the intervals are about: these devices or, where a device could have
    /// reported either of several answers, a population.
    pub scope: Scope,
    /// Each bin.
    pub bins: Vec<Figure>,
    /// The metric's main measure, if it has one and there are enough answers.
    pub measure: Option<MeasureBesideTruth>,
    /// Half of the width that `plan` predicts for an interval, for a rate of one half.
    pub planned_half_width: f64,
}

/// A bin of a release beside the truth: shares of devices.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// The bin.
    pub label: String,
    /// Of honest devices whose reports were taken, what they had to report.
    pub truth: Option<f64>,
    /// Of everybody who opened the app, what they thought; nothing where only devices know.
    pub everybody: Option<f64>,
    /// The estimate.
    pub estimate: f64,
    /// The lower end of its 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Whether the interval holds the truth.
    pub holds: Option<bool>,
}

/// The main measure of a window, among those who answered.
#[derive(Debug, Serialize)]
pub struct MeasureBesideTruth {
    /// What it is.
    pub name: String,
    /// Of what devices had to report.
    pub truth: Option<f64>,
    /// Of what everybody thought: apart from the truth because of those who are silent.
    pub everybody: Option<f64>,
    /// The estimate.
    pub estimate: f64,
    /// The lower end of its 95 % interval, for the population.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A window that was not released.
#[derive(Debug, Serialize)]
pub struct TooSmall {
    /// The task.
    pub task: String,
    /// The start of the window.
    pub window: String,
    /// Reports in it.
    pub reports: u64,
}

/// How close the figures of a task come.
#[derive(Debug, Serialize)]
pub struct TaskAccuracy {
    /// The task.
    pub task: String,
    /// Its figures.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

pub(super) fn outcome(
    program: &Program,
    options: Options,
    aggregators: &Aggregators,
    results: &Results,
) -> anyhow::Result<Outcome> {
    let (mut releases, mut too_small, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    let nothing = Truth::default();
    for (key @ (index, window), sums) in &results.sums {
        let task = &program.tasks()[*index];
        let start = program.window().start_of(Time(*window));
        if sums.2 < program.min_batch_size() {
            let (task, window) = (task.name.clone(), format_moment(start));
            too_small.push(TooSmall { task, window, reports: sums.2 });
            continue;
        }
        let aggregate = aggregators.release(*index, sums)?;
        let interval = Interval::new(Time(*window), 1)?;
        let release = Release::new(program, task, &aggregate, sums.2, interval)?;
        releases.push(beside(task, &release, results.truths.get(key).unwrap_or(&nothing))?);
        batches.push(release.as_batch(task));
    }
    let accuracy = Accuracy::of(releases.iter());
    let judged = accuracy.filter(|_| results.counts.bare + results.counts.lies == 0);
    let least_held = judged.map(|accuracy| least_held(accuracy.figures));
    Ok(Outcome {
        program: program.name().to_owned(),
        devices: options.devices,
        windows: options.windows,
        seed: options.seed,
        start: format_moment(options.start),
        participation: participation(program),
        counts: results.counts,
        tasks: of_tasks(program, &releases),
        problems: problems(results.counts, accuracy, least_held),
        releases,
        too_small,
        accuracy,
        least_held,
        findings: Findings::of(program, batches)?,
    })
}

/// Where a budget covers some of a period's windows only.
fn participation(program: &Program) -> Option<[u64; 2]> {
    let budget = program.budget()?;
    let of = budget.period() / program.window().seconds();
    (budget.windows() < of).then_some([budget.windows(), of])
}

fn problems(counts: Counts, accuracy: Option<Accuracy>, least: Option<usize>) -> Vec<String> {
    let mut problems = Vec::new();
    if let (Some(accuracy), Some(least)) = (accuracy, least)
        && accuracy.held < least
    {
        let Accuracy { figures, held, .. } = accuracy;
        problems.push(format!(
            "{held} of {figures} intervals hold the truth; with correct 95 % intervals, fewer than {least} would \
             happen once in a million runs"
        ));
    }
    if counts.refused != counts.forged {
        problems.push(format!(
            "verification refused {} reports, but {} were forged",
            counts.refused, counts.forged
        ));
    }
    problems
}

fn of_tasks(program: &Program, releases: &[ReleaseBesideTruth]) -> Vec<TaskAccuracy> {
    let of = |task: &CompiledTask| {
        let theirs = releases.iter().filter(|release| release.task == task.name);
        Some(TaskAccuracy { task: task.name.clone(), accuracy: Accuracy::of(theirs)? })
    };
    program.tasks().iter().filter_map(of).collect()
}

fn beside(
    task: &CompiledTask,
    release: &Release,
    truth: &Truth,
) -> anyhow::Result<ReleaseBesideTruth> {
    let Truth { contributed, everybody } = truth;
    let is_whole = contributed.divided == 0 && contributed.devices == release.reports;
    let scope = if is_whole { Scope::Cohort } else { Scope::Population };
    let (known, thought) = (contributed.shares(), everybody.shares());
    let share = |shares: &Option<Vec<f64>>, index: usize| shares.as_ref()?.get(index).copied();
    #[expect(clippy::cast_precision_loss, reason = "devices are far fewer than 2^53")]
    let reports = release.reports as f64;
    let figure = |(index, figure): (usize, &sottovoce_collector::release::Figure)| {
        let estimate = &figure.estimate;
        let (low, high) = match scope {
            Scope::Cohort => (estimate.low / reports, estimate.high / reports),
            Scope::Population => (estimate.rate_low, estimate.rate_high),
        };
        let truth = share(&known, index);
        Figure {
            label: figure.label.clone(),
            truth,
            everybody: share(&thought, index),
            estimate: estimate.rate,
            low,
            high,
            holds: truth.map(|truth| (low - SLACK..=high + SLACK).contains(&truth)),
        }
    };
    Ok(ReleaseBesideTruth {
        task: release.name.clone(),
        window: format_moment(release.period.0),
        reports: release.reports,
        honest: contributed.devices,
        everybody: everybody.devices,
        scope,
        bins: release.bins.iter().enumerate().map(figure).collect(),
        measure: measure(task, release, truth),
        planned_half_width: plan::half_width(task, release.reports)?,
    })
}

/// A truth that is a whole number of devices may lie on the very end of an interval.
const SLACK: f64 = 1e-9;

/// The main measure of a release; nothing if there are too few answers.
fn measure(task: &CompiledTask, release: &Release, truth: &Truth) -> Option<MeasureBesideTruth> {
    let measure = Measure::of(&task.metric)?;
    let (numerator, denominator) =
        (measure.numerator(task.encoding(), None), measure.denominator(task.encoding(), None));
    let (scope, confidence) = (Scope::Population, Confidence::USUAL);
    let figure = ratio(&release.counts, &numerator, &denominator, scope, confidence).ok()?;
    let (low, high) = measure.range();
    let figure = figure.clamp(low, high);
    let dot = |shares: &[f64], weights: &[f64]| -> f64 {
        shares.iter().zip(weights).map(|(share, weight)| share * weight).sum()
    };
    let of = |tally: &Tally| {
        let shares = tally.shares()?;
        let answers = dot(&shares, &denominator);
        (answers > 0.0).then(|| dot(&shares, &numerator) / answers)
    };
    Some(MeasureBesideTruth {
        name: measure.name.clone(),
        truth: of(&truth.contributed),
        everybody: of(&truth.everybody),
        estimate: figure.value,
        low: figure.interval.low,
        high: figure.interval.high,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accuracy(held: usize) -> Accuracy {
        let (coverage, rms_error) = (0.0, 0.0);
        let (stated_error, planned_error) = (0.0, 0.0);
        Accuracy { figures: 100, held, coverage, rms_error, stated_error, planned_error }
    }

    #[test]
    fn intervals_that_hold_too_seldom_are_a_problem_unless_liars_moved_them() {
        let counts = Counts::default();
        let problem = problems(counts, Some(accuracy(81)), Some(82));
        assert!(problem[0].contains("81 of 100 intervals hold the truth"), "{problem:?}");
        assert_eq!(problems(counts, Some(accuracy(82)), Some(82)), Vec::<String>::new());
        assert_eq!(problems(counts, Some(accuracy(0)), None), Vec::<String>::new());
    }

    #[test]
    fn a_refused_honest_report_and_a_forged_one_that_is_taken_are_problems() {
        for (refused, forged) in [(1, 0), (3, 4)] {
            let counts = Counts { refused, forged, ..Counts::default() };
            let problem = problems(counts, None, None);
            assert!(problem[0].contains(&format!("refused {refused} reports")), "{problem:?}");
        }
    }
}
