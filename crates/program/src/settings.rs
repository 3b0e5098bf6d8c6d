//! A program with other numbers: what a plan proposes, as the same program would have it.

use super::{
    Calendar, Program, ProgramError, budget::DeviceBudget, compile, explain::Explanation,
    format_duration, format_moment,
};
use sottovoce_dap::time::{Interval, TimePrecision};
use sottovoce_privacy::{
    budget::Limits,
    units::{Delta, Epsilon},
};
use std::{collections::BTreeMap, fmt::Write};

/// The numbers that decide what a device risks over a period, and how precise figures are.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The reporting window.
    pub window: TimePrecision,
    /// The least number of reports in a batch.
    pub min_batch_size: u64,
    /// The budget of one report of each metric, by its name.
    pub epsilon0: BTreeMap<String, Epsilon>,
    /// The period of the budget, in seconds.
    pub period: u64,
    /// The windows of a period in which a device reports.
    pub windows: u64,
    /// The promise for a period: all metrics together, with one honest aggregator and most devices
    /// honest.
    pub central: (Epsilon, Delta),
}

impl Settings {
    /// The budget of one report that stands under `[privacy]`: the largest of all.
    fn largest(&self) -> f64 {
        self.epsilon0.values().map(|epsilon| epsilon.get()).fold(0.0, f64::max)
    }

    /// The lines of a program that say so, by their tables; `program` is the one that they change.
    pub fn toml(&self, program: &Program) -> String {
        let window = format_duration(self.window.seconds());
        let (epsilon, delta) = (self.central.0.get(), self.central.1.get());
        let mut out = format!(
            "window = \"{window}\"\n{}min_batch_size = {}\n\n[privacy]\nepsilon0 = {:?}\n\n[budget]\n\
             period = \"{}\"\nwindows = {}\ncentral = {{ epsilon = {epsilon:?}, delta = {delta:e} }}\n",
            self.week_begins(program),
            self.min_batch_size,
            self.largest(),
            format_duration(self.period),
            self.windows,
        );
        for (name, epsilon0) in &self.epsilon0 {
            if self.has_own(program, name) {
                let _ = write!(out, "\n[metrics.{name}]\nepsilon0 = {:?}\n", epsilon0.get());
            }
        }
        out
    }

    /// The line of a program's day, which only windows of whole weeks have.
    fn week_begins(&self, program: &Program) -> String {
        match program.window().week_begins().filter(|day| !day.is_thursday()) {
            None => String::new(),
            Some(day) if program.window().with_length(self.window).week_begins().is_some() => {
                format!("week_begins = \"{}\"\n", day.word())
            }
            Some(_) => "# remove week_begins: these windows are not whole weeks\n".to_owned(),
        }
    }

    /// Whether a metric needs a line of its own: it differs from the program's, or had one.
    #[expect(clippy::float_cmp, reason = "the largest is one of them")]
    fn has_own(&self, program: &Program, name: &str) -> bool {
        let had =
            program.tasks().iter().any(|t| t.metric.name == name && t.metric.epsilon0.is_some());
        let own = self.epsilon0.get(name).map(|epsilon| epsilon.get());
        had || own.is_some_and(|own| own != self.largest())
    }
}

impl Program {
    /// The same program with these numbers, checked as if its file had them.
    pub fn with_settings(&self, settings: &Settings) -> Result<Self, ProgramError> {
        let refused = |reason: String| ProgramError::new(&self.name, reason);
        let window = settings.window;
        if settings.period == 0 || !settings.period.is_multiple_of(window.seconds()) {
            let reason = "the period must be a multiple of the window";
            return Err(refused(reason.to_owned()));
        }
        let mut program = self.clone();
        program.window = self.window.with_length(window);
        program.interval = self.interval_in(program.window).map_err(refused)?;
        program.min_batch_size = settings.min_batch_size;
        program.privacy.epsilon0 =
            Epsilon::new(settings.largest()).map_err(|error| refused(error.to_string()))?;
        program.tasks.clear();
        for metric in self.metrics() {
            let mut metric = metric.clone();
            metric.epsilon0 = settings.epsilon0.get(&metric.name).copied().or(metric.epsilon0);
            let compiled = compile::compile(&program, &metric, &mut compile::certify);
            program.tasks.extend(compiled.map_err(|error| refused(error.to_string()))?);
        }
        let local = self.budget.and_then(|budget| budget.limits().local);
        let limits = Limits { local, central: Some(settings.central) };
        program.budget = Some(DeviceBudget::new(settings.period, settings.windows, limits));
        program.for_users = Explanation::of(&program).for_users();
        Ok(program)
    }

    /// The program's interval in other windows.
    fn interval_in(&self, window: Calendar) -> Result<Option<Interval>, String> {
        let Some(interval) = self.interval else { return Ok(None) };
        let [start, end] =
            [interval.start(), interval.end()].map(|time| self.window.start_of(time));
        if !window.is_start(start) || !window.is_start(end) {
            return Err(format!(
                "{} to {} is not a whole number of windows of {} seconds; change `starts` and `ends`",
                format_moment(start),
                format_moment(end),
                window.seconds()
            ));
        }
        let (start, end) = (window.time_at(start), window.time_at(end));
        Interval::new(start, end.0 - start.0).map(Some).map_err(|error| error.to_string())
    }
}
