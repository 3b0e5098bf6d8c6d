//! The question turned around: in how few windows must a device report, so that every window's figures
//! are precise enough and what it risks over a period stays within a promise?
//!
//! More windows for each device make larger batches, and larger batches need less of each report: at the
//! same precision, what all of them come to with one honest aggregator falls, and what they come to if
//! both collude (the sum of ε₀) rises. So for each length of a window the smallest number is looked for
//! that keeps the promise, and of all lengths the one with the smallest is proposed, the shortest window
//! among equals. Each attempt is worked out by the code that certifies programs.

use super::{PlanError, batches::Batches, gaussian, law_of, precision::Precision};
use crate::{aggregator_noise::AggregatorNoise, confidence::Confidence};
use serde::Serialize;
use sottovoce_dap::time::TimePrecision;
use sottovoce_privacy::{
    budget::{Budget, Limits},
    guarantee::{LARGEST_BATCH, LEAST_REPORTS, Release},
    units::{Delta, Epsilon},
};
use sottovoce_program::{Program, budget::PeriodCost, metric::Metric, settings::Settings};
use std::collections::BTreeMap;

/// What is asked of a proposal.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Devices that take part.
    pub devices: u64,
    /// How precise the figures of each window shall be.
    pub precision: Precision,
    /// The length of a window in seconds, if it is not to be found.
    pub window: Option<u64>,
}

/// Numbers for a program that keep a promise for a period and reach a precision.
#[derive(Clone, Debug, Serialize)]
pub struct Proposal {
    /// The program that it changes.
    pub program: String,
    /// Devices that take part.
    pub devices: u64,
    /// What was wanted.
    pub precision: Precision,
    /// What all metrics together may come to in a period, with one honest aggregator and most devices
    /// honest: the budget's `central`, or ε = 1 at the program's δ.
    pub promise: (Epsilon, Delta),
    /// What one device then risks over a period.
    pub period: PeriodCost,
    /// The length of a window in seconds.
    pub window_seconds: u64,
    /// The smallest batch.
    pub min_batch_size: u64,
    /// The probability that every batch of a period holds as many.
    pub all_batches: f64,
    /// What each metric's reports may tell.
    pub metrics: Vec<ProposedMetric>,
    /// The lines of the program that say so.
    pub toml: String,
    /// What other lengths of a window take, the shortest first.
    pub others: Vec<Alternative>,
}

/// One metric of a proposal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedMetric {
    /// Its name.
    pub name: String,
    /// The smallest budget of one report that is precise enough.
    pub epsilon0: Epsilon,
    /// Reports that each of its batches is sure to hold.
    pub reports: u64,
    /// Half of a 95 % interval for a rate of one half from so many.
    pub half_width: f64,
}

/// Another length of a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// The length in seconds.
    pub window_seconds: u64,
    /// Windows in a period.
    pub of_windows: u64,
    /// In how many a device reports, and what that comes to; nothing if no number does.
    pub found: Option<Found>,
}

/// What another length of a window takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Found {
    /// In how many windows of a period a device reports.
    pub windows: u64,
    /// The smallest batch.
    pub min_batch_size: u64,
    /// The sum of ε₀ of a period.
    pub local: Epsilon,
    /// The composed ε of a period, with one honest aggregator and most devices honest.
    pub central: Epsilon,
}

/// The part of a Gaussian estimate that the truth is not below.
const CERTAIN: f64 = 0.9;
/// A promise for programs that declare none.
const USUAL_PROMISE: f64 = 1.0;
/// A quarter: 13 weeks.
const USUAL_PERIOD: u64 = 91 * DAY;
const DAY: u64 = 86_400;

/// Lengths that people think in; of each the nearest part of the period is looked at.
const LENGTHS: [u64; 5] = [DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY];

impl Proposal {
    /// Finds one, and calls `progress` with each length of a window that is looked at.
    pub fn find(
        program: &Program,
        wanted: Wanted,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, PlanError> {
        let search = Search::new(program, wanted)?;
        let mut found: Vec<(u64, Option<Attempt>)> = Vec::new();
        for window in search.lengths()? {
            progress(window);
            found.push((window, search.fewest(window)?));
        }
        let reached = found.iter().filter_map(|(_, attempt)| attempt.as_ref());
        // The first of equals is the shortest.
        let Some(best) = reached.min_by_key(|attempt| attempt.windows).cloned() else {
            return Err(search.unreachable());
        };
        search.proposal(&best, &found)
    }
}

/// What stays the same while a proposal is looked for.
struct Search<'a> {
    program: &'a Program,
    wanted: Wanted,
    promise: (Epsilon, Delta),
    local: Option<Epsilon>,
    period: u64,
}

/// One length of a window and one number of windows, which do.
#[derive(Clone)]
struct Attempt {
    window: u64,
    windows: u64,
    batches: Batches,
    min_batch_size: u64,
    /// Reports of a batch that may be counted on.
    honest: u64,
    metrics: Vec<ProposedMetric>,
    central: Epsilon,
}

impl<'a> Search<'a> {
    fn new(program: &'a Program, wanted: Wanted) -> Result<Self, PlanError> {
        let limits = program.budget().map(|budget| budget.limits()).unwrap_or_default();
        let promise = match limits.central {
            Some(promise) => promise,
            None => (Epsilon::new(USUAL_PROMISE)?, program.privacy().delta),
        };
        let period = match program.budget() {
            Some(budget) => budget.period(),
            None => USUAL_PERIOD.next_multiple_of(program.window().seconds()),
        };
        Ok(Self { program, wanted, promise, local: limits.local, period })
    }

    /// The lengths of a window that are looked at, the shortest first.
    fn lengths(&self) -> Result<Vec<u64>, PlanError> {
        let parts = |length: &u64| *length > 0 && self.period.is_multiple_of(*length);
        if let Some(window) = self.wanted.window {
            if !parts(&window) {
                return Err(PlanError::Window { window, period: self.period });
            }
            return Ok(vec![window]);
        }
        let own = self.program.window().seconds();
        let nearest = |length: u64| {
            // Whole days if the period has whole days, and whole hours else.
            let unit = if self.period.is_multiple_of(DAY) { DAY } else { 3600 };
            let most = (self.period / unit).min(MOST_UNITS);
            let lengths = (1..=most).map(|count| count * unit).filter(parts);
            lengths.min_by_key(|part| part.abs_diff(length))
        };
        let mut lengths: Vec<u64> = LENGTHS.into_iter().filter_map(nearest).collect();
        lengths.extend([own, self.period]);
        lengths.sort_unstable();
        lengths.dedup();
        Ok(lengths)
    }

    /// The smallest number of windows of this length that does, if any.
    ///
    /// The accountant takes up to seconds, so it is asked last: not where figures are too coarse, nor
    /// where the estimate, which is a little below the truth, is above the promise.
    fn fewest(&self, window: u64) -> Result<Option<Attempt>, PlanError> {
        let all = self.period / window;
        let likely = |windows: u64| -> Result<bool, PlanError> {
            let Some(attempt) = self.precise(window, windows, self.wanted)? else {
                return Ok(false);
            };
            Ok(self.estimate(&attempt)? <= self.promise.0.get())
        };
        if !likely(all)? {
            return Ok(None);
        }
        let mut low = 0;
        let mut high = all;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if likely(middle)? { high = middle } else { low = middle }
        }
        // No number up to `low` will do. What will is at this one, or soon after.
        let (mut windows, mut step) = (high, 1);
        let mut found = None;
        while found.is_none() && windows <= all {
            found = self.attempt(window, windows, self.wanted)?;
            if found.is_none() {
                low = windows;
                windows = if windows == all { all + 1 } else { all.min(windows + step) };
                step *= 2;
            }
        }
        let Some(mut best) = found else { return Ok(None) };
        while best.windows - low > 1 {
            let middle = low + (best.windows - low) / 2;
            match self.attempt(window, middle, self.wanted)? {
                Some(attempt) => best = attempt,
                None => low = middle,
            }
        }
        // More windows only cost more of it.
        let affordable = self.local.is_none_or(|local| {
            best.local().is_ok_and(|spent| spent.get() <= local.get() * (1.0 + 1e-9))
        });
        Ok(Some(best).filter(|_| affordable))
    }

    /// What a device reports in so many windows of this length; `None` if figures are not precise
    /// enough, or the promise is not kept.
    fn attempt(
        &self,
        window: u64,
        windows: u64,
        wanted: Wanted,
    ) -> Result<Option<Attempt>, PlanError> {
        let Some(attempt) = self.precise(window, windows, wanted)? else { return Ok(None) };
        if self.estimate(&attempt)? > self.promise.0.get() {
            return Ok(None);
        }
        let spent = self.releases(&attempt)?;
        let mut account = Budget::with_spent(Limits::default(), spent);
        let attempt = Attempt { central: account.spent_central(self.promise.1)?, ..attempt };
        let keeps = attempt.central <= self.promise.0
            && (self.promise.0 <= self.program.privacy().epsilon
                || self.program.with_settings(&self.settings(&attempt)?).is_ok());
        Ok(keeps.then_some(attempt))
    }

    /// The same before anything is accounted for.
    fn precise(
        &self,
        window: u64,
        windows: u64,
        wanted: Wanted,
    ) -> Result<Option<Attempt>, PlanError> {
        let batches = Batches::new(self.program, wanted.devices, windows, self.period / window);
        let min_batch_size = batches.smallest().min(LARGEST_BATCH);
        let honest = self.program.privacy().reserve.honest_of(min_batch_size);
        if honest < LEAST_REPORTS {
            return Ok(None);
        }
        let mut metrics = Vec::new();
        for metric in self.program.metrics() {
            let reports = batches.surely(&metric.name);
            match self.least_epsilon0(metric, reports, wanted.precision)? {
                Some(proposed) => metrics.push(proposed),
                None => return Ok(None),
            }
        }
        let central = Epsilon::new(f64::MAX)?;
        Ok(Some(Attempt { window, windows, batches, min_batch_size, honest, metrics, central }))
    }

    /// The smallest budget of a report with which so many reports are precise enough; `None` if the
    /// largest is not.
    fn least_epsilon0(
        &self,
        metric: &Metric,
        reports: u64,
        precision: Precision,
    ) -> Result<Option<ProposedMetric>, PlanError> {
        let noise = AggregatorNoise::of_both(self.program.privacy().aggregator_noise);
        let with = |steps: u64| -> Result<ProposedMetric, PlanError> {
            let epsilon0 = Epsilon::new(from_steps(steps))?;
            let mechanism = metric.randomizer_with(epsilon0)?.mechanism;
            let half_width = law_of(&mechanism, noise)?.half_width(reports, Confidence::USUAL);
            Ok(ProposedMetric { name: metric.name.clone(), epsilon0, reports, half_width })
        };
        let enough = |proposed: &ProposedMetric| proposed.half_width <= precision.half_width();
        let (mut low, mut high) = (0, MOST_STEPS);
        let mut best = with(high)?;
        if !enough(&best) {
            return Ok(None);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let proposed = with(middle)?;
            if enough(&proposed) {
                (high, best) = (middle, proposed);
            } else {
                low = middle;
            }
        }
        Ok(Some(best))
    }

    /// All reports of a device in a period.
    fn releases(&self, attempt: &Attempt) -> Result<Vec<(Release, u64)>, PlanError> {
        let (noise, honest) = (self.program.privacy().aggregator_noise, attempt.honest);
        let metrics = self.program.metrics().into_iter().zip(&attempt.metrics);
        let releases = metrics.map(|(metric, proposed)| {
            let mechanism = metric.randomizer_with(proposed.epsilon0)?.mechanism;
            Ok((Release { mechanism, noise, honest }, attempt.windows))
        });
        releases.collect()
    }

    /// Less than what they come to, by little: as if all were one Gaussian mechanism, with some slack.
    fn estimate(&self, attempt: &Attempt) -> Result<f64, PlanError> {
        let releases = self.releases(attempt)?;
        let mut squared = 0.0;
        for (release, windows) in &releases {
            squared += gaussian::squared_mean(release)? * number(*windows);
        }
        let pure = attempt.local()?.get();
        Ok((gaussian::epsilon(squared.sqrt(), self.promise.1.get()) * CERTAIN).min(pure))
    }

    fn settings(&self, attempt: &Attempt) -> Result<Settings, PlanError> {
        let window = TimePrecision::from_seconds(attempt.window)
            .ok_or(PlanError::Window { window: attempt.window, period: self.period })?;
        let epsilon0 = attempt.metrics.iter().map(|m| (m.name.clone(), m.epsilon0));
        Ok(Settings {
            window,
            min_batch_size: attempt.min_batch_size,
            epsilon0: epsilon0.collect::<BTreeMap<_, _>>(),
            period: self.period,
            windows: attempt.windows,
            central: self.promise,
        })
    }

    fn proposal(
        &self,
        best: &Attempt,
        found: &[(u64, Option<Attempt>)],
    ) -> Result<Proposal, PlanError> {
        let settings = self.settings(best)?;
        let program = self.program.with_settings(&settings)?;
        let others = found.iter().filter(|(window, _)| *window != best.window);
        let alternative = |(window, attempt): &(u64, Option<Attempt>)| {
            let found = attempt.as_ref().map(Attempt::found).transpose()?;
            Ok(Alternative { window_seconds: *window, of_windows: self.period / window, found })
        };
        Ok(Proposal {
            program: self.program.name().to_owned(),
            devices: self.wanted.devices,
            precision: self.wanted.precision,
            promise: self.promise,
            period: program.period_cost()?,
            window_seconds: best.window,
            min_batch_size: settings.min_batch_size,
            all_batches: best.batches.all_fill(settings.min_batch_size),
            metrics: best.metrics.clone(),
            toml: settings.toml(self.program),
            others: others.map(alternative).collect::<Result<_, PlanError>>()?,
        })
    }

    /// What would do: more devices, or a coarser precision.
    fn unreachable(&self) -> PlanError {
        // The fewest and largest batches there can be: one window of the length wanted, or of the whole
        // period, in which every device reports.
        let window = self.wanted.window.unwrap_or(self.period);
        let windows = self.period / window;
        let does =
            |wanted: Wanted| self.attempt(window, windows, wanted).is_ok_and(|a| a.is_some());
        let devices = self.wanted.devices;
        let with = |devices: u64| does(Wanted { devices, ..self.wanted });
        let enough =
            (1..40).map(|i| devices.saturating_mul(1 << i)).take_while(|d| *d <= MOST_DEVICES);
        let more = enough
            .into_iter()
            .find(|devices| with(*devices))
            .map(|high| least(high / 2, high, &|devices| with(devices)));
        let coarser = |hundredths: u64| -> bool {
            Precision::at_least(half_width_of(hundredths))
                .is_some_and(|precision| does(Wanted { precision, ..self.wanted }))
        };
        let finest = hundredths_of(self.wanted.precision);
        let coarse = coarser(5000).then(|| least(finest, 5000, &coarser));
        PlanError::Unreachable {
            devices,
            precision: self.wanted.precision,
            epsilon: self.promise.0.get(),
            delta: self.promise.1.get(),
            more,
            coarser: coarse.and_then(|hundredths| Precision::at_least(half_width_of(hundredths))),
            windows: if self.wanted.window.is_some() { "of this length" } else { "of any length" },
        }
    }
}

impl Attempt {
    fn local(&self) -> Result<Epsilon, PlanError> {
        let one: f64 = self.metrics.iter().map(|metric| metric.epsilon0.get()).sum();
        let all = one * number(self.windows) * (1.0 + 1e-9);
        Ok(Epsilon::new(all)?)
    }

    fn found(&self) -> Result<Found, PlanError> {
        Ok(Found {
            windows: self.windows,
            min_batch_size: self.min_batch_size,
            local: self.local()?,
            central: self.central,
        })
    }
}

/// The least number above `low`, to a hundredth of itself, for which `holds`; it does for `high`.
fn least(mut low: u64, mut high: u64, holds: &dyn Fn(u64) -> bool) -> u64 {
    while high - low > (high / 100).max(1) {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

#[expect(clippy::cast_precision_loss, reason = "a number of windows")]
fn number(windows: u64) -> f64 {
    windows as f64
}

/// Budgets are found in thousandths.
const STEPS_TO_ONE: f64 = 1000.0;
/// As many as the largest budget has.
const MOST_STEPS: u64 = 20_000;
/// Days, or hours, of a period that are tried as a window's length.
const MOST_UNITS: u64 = 100_000;
/// As many as a plan takes.
const MOST_DEVICES: u64 = 1_000_000_000;

#[expect(clippy::cast_precision_loss, reason = "at most 20 thousand")]
fn from_steps(steps: u64) -> f64 {
    steps as f64 / STEPS_TO_ONE
}

/// From hundredths of a percentage point.
#[expect(clippy::cast_precision_loss, reason = "at most 5000")]
fn half_width_of(hundredths: u64) -> f64 {
    // A little below, since what is not whole is made coarser.
    (hundredths as f64 - 0.001) / 1e4
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 5000")]
fn hundredths_of(precision: Precision) -> u64 {
    (precision.half_width() * 1e4).floor() as u64
}

#[cfg(test)]
mod tests;
