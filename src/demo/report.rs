//! The figures beside the truth.

use super::devices::Sent;
use crate::local_servers::Usage;
use serde::Serialize;
use sottovoce_collector::{
    present::{columns, period, privacy},
    release::{Figure, Release},
};
use sottovoce_privacy::units::Guarantee;
use sottovoce_program::budget::PeriodCost;
use std::{fmt::Write, path::PathBuf, time::Duration};

/// The outcome of a demonstration.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What one device risks over a period, with all metrics.
    pub period: PeriodCost,
    /// Metric by metric.
    pub metrics: Vec<Metric>,
    /// What the devices sent.
    #[serde(skip)]
    pub sent: Sent,
    /// What the servers used.
    #[serde(skip)]
    pub usage: [Usage; 2],
    /// How long everything took.
    #[serde(skip)]
    pub elapsed: Duration,
    /// Where databases and logs were kept.
    #[serde(skip)]
    pub kept: Option<PathBuf>,
}

/// One metric's figures.
#[derive(Debug, Serialize)]
pub struct Metric {
    /// The metric.
    pub name: String,
    /// Reports in the batch.
    pub reports: u64,
    /// The figures.
    pub bins: Vec<Bin>,
    /// The privacy of one report in the batch.
    pub privacy: Vec<Guarantee>,
}

/// One answer's figures.
#[derive(Debug, Serialize)]
pub struct Bin {
    /// Devices that gave it.
    pub truth: u64,
    /// What the collector makes of the batch.
    #[serde(flatten)]
    pub figure: Figure,
}

impl Bin {
    /// Whether the 95 % interval holds the truth.
    #[expect(clippy::cast_precision_loss, reason = "a number of devices")]
    fn holds(&self) -> bool {
        let estimate = &self.figure.estimate;
        (estimate.low..=estimate.high).contains(&(self.truth as f64))
    }
}

impl Metric {
    /// Compares a release with the truth, bin by bin.
    pub fn new(release: &Release, truth: &[u64]) -> Self {
        let bins = release.bins.iter().cloned().zip(truth);
        let bins = bins.map(|(figure, truth)| Bin { truth: *truth, figure });
        Self {
            name: release.name.clone(),
            reports: release.reports,
            bins: bins.collect(),
            privacy: release.privacy.clone(),
        }
    }

    fn table(&self) -> String {
        let mut rows = vec!["answer\ttruth\testimate\t95 % interval\t".to_owned()];
        for bin in &self.bins {
            let Bin { truth, figure: Figure { label, estimate, .. } } = bin;
            let (shown, low, high) = (estimate.shown(), estimate.low, estimate.high);
            let mark = if bin.holds() { "✓" } else { "outside" };
            rows.push(format!("{label}\t{truth}\t{shown:.0}\t{low:.0} – {high:.0}\t{mark}"));
        }
        format!(
            "{} · {} reports\n{}  one report in this batch:\n{}",
            self.name,
            self.reports,
            columns(&rows),
            privacy(&self.privacy)
        )
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "What is risked by\n{}", period(&self.period))?;
        for metric in &self.metrics {
            writeln!(f, "{}", metric.table())?;
        }
        let bins = self.metrics.iter().flat_map(|metric| &metric.bins);
        let inside = bins.clone().filter(|bin| bin.holds());
        writeln!(
            f,
            "{} of {} intervals hold the truth; about 95 % should.",
            inside.count(),
            bins.count()
        )?;
        writeln!(f, "{}", self.cost())
    }
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    fn cost(&self) -> String {
        let reports = self.sent.reports.max(1) as f64;
        let mut line = format!(
            "{} reports, {:.1} MB sent by devices, {:.1} s in all",
            self.sent.reports,
            self.sent.bytes as f64 / 1e6,
            self.elapsed.as_secs_f64(),
        );
        let [leader, helper] = self.usage.map(|usage| usage.cpu.as_secs_f64() * 1e3 / reports);
        let [leader_peak, helper_peak] = self.usage.map(|usage| usage.memory as f64 / 1e3);
        if leader > 0.0 {
            let _ = write!(
                line,
                "; servers: {leader:.3} ms (leader) + {helper:.3} ms (helper) of CPU a report, \
                 {leader_peak:.0} MB and {helper_peak:.0} MB at their peaks",
            );
        }
        if let Some(kept) = &self.kept {
            let _ = write!(line, "\ndatabases and logs are in {}", kept.display());
        }
        line
    }
}
