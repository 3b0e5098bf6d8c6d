//! What a collector would see, beside what was so.

use super::{
    Options,
    aggregators::Aggregators,
    population::{Results, Truth},
};
use crate::{
    collector::release::Release,
    dap::time::{Interval, Time},
    findings::{Batch, Findings},
    program::{Program, format_moment},
};
use serde::Serialize;
use std::fmt;

/// What came of a simulation.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Devices, and how many of their users took part.
    pub devices: u64,
    /// Those whose users took part.
    pub took_part: u64,
    /// Where behaviour was drawn from.
    pub seed: u64,
    /// Reports that verification refused.
    pub refused: u64,
    /// Reports of devices that do not run the engine: without noise, under a proof that holds.
    pub bare: u64,
    /// The same with a share that was tampered with.
    pub forged: u64,
    /// Each released window of each task.
    pub releases: Vec<ReleaseBesideTruth>,
    /// Windows that were too small to be released: task, window, reports.
    pub too_small: Vec<(String, String, u64)>,
    /// All figures together.
    pub accuracy: Option<Accuracy>,
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
    /// Each bin.
    pub bins: Vec<Figure>,
}

/// A bin of a release beside the truth.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// The bin.
    pub label: String,
    /// The share of those whose reports were taken and who run the engine; absent where only
    /// engines know.
    pub truth: Option<f64>,
    /// The estimated share.
    pub estimate: f64,
    /// The lower end of its 95 % interval, for people like these.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// How close the figures come.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Accuracy {
    /// Figures with a known truth.
    pub figures: usize,
    /// The share of intervals that hold the truth; 0.95 is meant.
    pub coverage: f64,
    /// The root of the mean squared error of shares.
    pub rms_error: f64,
    /// The half of an interval's width, on average.
    pub half_width: f64,
}

/// Fewer figures say nothing about coverage.
const ENOUGH_FIGURES: usize = 100;
/// Intervals that hold the truth less often than this are not 95 % intervals.
const LEAST_COVERAGE: f64 = 0.9;

impl Outcome {
    /// Whether intervals hold the truth clearly less often than they say. Dishonest devices make
    /// them, and then nothing is judged; nor is it with fewer than 100 figures.
    pub fn misses(&self) -> bool {
        self.bare + self.forged == 0
            && self.accuracy.is_some_and(|accuracy| {
                accuracy.figures >= ENOUGH_FIGURES && accuracy.coverage < LEAST_COVERAGE
            })
    }
}

pub(super) fn outcome(
    program: &Program,
    options: Options,
    aggregators: &Aggregators,
    results: Results,
) -> anyhow::Result<Outcome> {
    let (mut releases, mut too_small, mut batches) = (Vec::new(), Vec::new(), Vec::new());
    for ((index, window), sums) in &results.sums {
        let task = &program.tasks()[*index];
        let start = program.window().start_of(Time(*window));
        if sums.2 < program.min_batch_size() {
            too_small.push((task.name.clone(), format_moment(start), sums.2));
            continue;
        }
        let aggregate = aggregators.release(*index, sums)?;
        let interval = Interval::new(Time(*window), 1)?;
        let release = Release::new(task, &aggregate, sums.2, interval)?;
        let truth = results.truths.get(&(*index, *window));
        releases.push(beside(&release, truth, start));
        let end = release.period.1;
        batches.push(Batch { task, counts: release.counts, start, end });
    }
    Ok(Outcome {
        devices: options.devices,
        took_part: results.took_part,
        seed: options.seed,
        refused: results.refused,
        bare: results.bare,
        forged: results.forged,
        accuracy: accuracy(&releases),
        releases,
        too_small,
        findings: Findings::of(batches)?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "devices are far fewer than 2^53")]
fn beside(release: &Release, truth: Option<&Truth>, start: u64) -> ReleaseBesideTruth {
    let known = truth.filter(|truth| truth.bins.len() == release.bins.len() && truth.devices > 0);
    let bins = release.bins.iter().enumerate().map(|(index, figure)| Figure {
        label: figure.label.clone(),
        truth: known.map(|truth| truth.bins[index] / truth.devices as f64),
        estimate: figure.estimate.rate,
        low: figure.estimate.rate_low,
        high: figure.estimate.rate_high,
    });
    ReleaseBesideTruth {
        task: release.name.clone(),
        window: format_moment(start),
        reports: release.reports,
        bins: bins.collect(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures are far fewer than 2^53")]
fn accuracy(releases: &[ReleaseBesideTruth]) -> Option<Accuracy> {
    let figures = releases.iter().flat_map(|release| &release.bins);
    let known: Vec<_> = figures.filter_map(|figure| Some((figure, figure.truth?))).collect();
    let mean = |of: &dyn Fn(&Figure, f64) -> f64| {
        known.iter().map(|(figure, truth)| of(figure, *truth)).sum::<f64>() / known.len() as f64
    };
    // A truth that is a whole number of devices may lie on the very end.
    let holds = |figure: &Figure, truth: f64| {
        f64::from(u8::from(figure.low - 1e-9 <= truth && truth <= figure.high + 1e-9))
    };
    (!known.is_empty()).then(|| Accuracy {
        figures: known.len(),
        coverage: mean(&holds),
        rms_error: mean(&|figure, truth| (figure.estimate - truth).powi(2)).sqrt(),
        half_width: mean(&|figure, _| (figure.high - figure.low) / 2.0),
    })
}

/// More releases than this are not shown bin by bin.
const MOST_SHOWN: usize = 8;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { devices, took_part, refused, bare, forged, .. } = self;
        writeln!(f, "{devices} devices, {took_part} of them take part (seed {})", self.seed)?;
        if bare + forged + refused > 0 {
            writeln!(
                f,
                "{bare} reports without noise, {forged} forged; verification refused {refused}"
            )?;
        }
        for release in self.releases.iter().take(MOST_SHOWN) {
            release.fmt(f)?;
        }
        if self.releases.len() > MOST_SHOWN {
            let more = self.releases.len() - MOST_SHOWN;
            writeln!(f, "\nand {more} more releases; --json has them all")?;
        }
        for (task, window, reports) in &self.too_small {
            writeln!(f, "{task} from {window}: {reports} reports are too few to be released")?;
        }
        if let Some(Accuracy { figures, coverage, rms_error, half_width }) = self.accuracy {
            writeln!(
                f,
                "\n{figures} figures: {:.1} % of the 95 % intervals hold the truth; off by {:.2} pp \
                 (root mean square), ± {:.2} pp stated\n",
                100.0 * coverage,
                100.0 * rms_error,
                100.0 * half_width
            )?;
        }
        self.findings.fmt(f)
    }
}

impl fmt::Display for ReleaseBesideTruth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, window, reports, .. } = self;
        writeln!(f, "\n{task} from {window}, {reports} reports")?;
        let width = self.bins.iter().map(|bin| bin.label.chars().count()).max().unwrap_or(0);
        writeln!(f, "  {:width$}    truth  estimate  95 % interval", "")?;
        for Figure { label, truth, estimate, low, high } in &self.bins {
            let percent = |share: f64| format!("{:.2} %", 100.0 * share);
            let truth = truth.map_or_else(|| "?".to_owned(), percent);
            let range = format!("{} – {}", percent(*low), percent(*high));
            writeln!(f, "  {label:width$}  {truth:>7}  {:>8}  {range}", percent(*estimate))?;
        }
        Ok(())
    }
}
