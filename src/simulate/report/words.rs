//! A simulation's outcome for people.

use super::{Accuracy, Figure, MeasureBesideTruth, Outcome, ReleaseBesideTruth, TooSmall};
use sottovoce_collector::present::columns;
use sottovoce_estimate::{
    interval::{Interval, Scope},
    shown::number,
};
use std::fmt;

/// More releases, and more windows that are too small, are not shown one by one.
const MOST_SHOWN: usize = 8;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events(f)?;
        for release in self.releases.iter().take(MOST_SHOWN) {
            release.fmt(f)?;
        }
        more(f, self.releases.len(), "releases")?;
        for TooSmall { task, window, reports } in self.too_small.iter().take(MOST_SHOWN) {
            writeln!(f, "{task} from {window}: {reports} reports are too few for a release")?;
        }
        more(f, self.too_small.len(), "windows that are too small")?;
        self.accuracies(f)?;
        writeln!(f)?;
        self.findings.fmt(f)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))
    }
}

impl Outcome {
    fn events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (counts, windows) = (&self.counts, self.windows);
        writeln!(
            f,
            "{} devices, of which {} take part; {windows} windows from {}; seed {}",
            self.devices, counts.took_part, self.start, self.seed
        )?;
        if let Some([some, of]) = self.participation {
            writeln!(
                f,
                "each device takes part in {some} of the {of} windows of a period, chosen at random by itself; each window \
                 has that share of the devices"
            )?;
        }
        writeln!(f, "{} reports aggregated, {} requests", counts.accepted, counts.requests)?;
        if counts.lost + counts.crashes + counts.replayed + counts.late > 0 {
            writeln!(
                f,
                "{} requests or responses were lost, {} apps were killed; {} replayed and {} late reports were not \
                 counted",
                counts.lost, counts.crashes, counts.replayed, counts.late
            )?;
        }
        if counts.lies + counts.bare + counts.forged + counts.refused > 0 {
            writeln!(
                f,
                "dishonest reports: {} through the engine, {} without noise, {} forged; \
                 verification refused {}",
                counts.lies, counts.bare, counts.forged, counts.refused
            )?;
        }
        Ok(())
    }

    fn accuracies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(all) = self.accuracy else { return Ok(()) };
        let row = |name: &str, accuracy: Accuracy| {
            let points = |share: f64| format!("{:.2} pp", 100.0 * share);
            let Accuracy { figures, held, rms_error, stated_error, planned_error, .. } = accuracy;
            let (error, stated) = (points(rms_error), points(stated_error));
            let planned = points(planned_error);
            format!("{name}\t{held} of {figures}\t{error}\t{stated}\t{planned}")
        };
        let mut rows = vec!["all windows\tintervals hold\terror\tstated\tplanned".to_owned()];
        rows.extend(self.tasks.iter().map(|task| row(&task.task, task.accuracy)));
        rows.push(row("all", all));
        write!(f, "\n{}", columns(&rows))?;
        let coverage = 100.0 * all.coverage;
        write!(f, "{coverage:.1} % of the 95 % intervals hold the truth")?;
        match self.least_held {
            Some(least) => writeln!(f, "; fewer than {least} would be a failure"),
            None => writeln!(f, "; not judged, because there are dishonest devices"),
        }
    }
}

impl fmt::Display for ReleaseBesideTruth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, window, reports, .. } = self;
        let about = match self.scope {
            Scope::Cohort => "of these devices",
            Scope::Population => "of people like these",
        };
        writeln!(f, "\n{task} from {window}, {reports} reports")?;
        let mut rows = vec![format!("\teverybody\ttruth\testimate\t95 % interval {about}\t")];
        for Figure { label, truth, everybody, estimate, low, high, holds } in &self.bins {
            let [everybody, truth] = [everybody, truth].map(|share| known(*share, percent));
            let mark = if *holds == Some(false) { "outside" } else { "" };
            let shown = Interval { low: *low, high: *high }.nearest(*estimate);
            let (estimate, low, high) = (percent(shown), percent(*low), percent(*high));
            rows.push(format!("{label}\t{everybody}\t{truth}\t{estimate}\t{low} – {high}\t{mark}"));
        }
        write!(f, "{}", columns(&rows))?;
        self.measure.iter().try_for_each(|measure| measure.fmt(f))
    }
}

impl fmt::Display for MeasureBesideTruth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, truth, everybody, estimate, low, high } = self;
        let shown = Interval { low: *low, high: *high }.nearest(*estimate);
        let number = |value: f64| number(value, 3);
        let [everybody, truth] = [everybody, truth].map(|value| known(*value, number));
        let [estimate, low, high] = [shown, *low, *high].map(number);
        writeln!(
            f,
            "  {name}: {everybody} of everybody's opinions, {truth} of the answers given, estimate \
             {estimate} ({low} – {high})"
        )
    }
}

fn more(f: &mut fmt::Formatter<'_>, count: usize, what: &str) -> fmt::Result {
    if count > MOST_SHOWN {
        writeln!(f, "\nand {} more {what}; see --json", count - MOST_SHOWN)?;
    }
    Ok(())
}

fn known(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "?".to_owned(), show)
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share, 2))
}
