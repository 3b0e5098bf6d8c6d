//! The result of a load: costs per report, and the floor.

use super::devices::Sent;
use serde::Serialize;
use std::{fmt, time::Duration};

/// All that was measured, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Reports sent, aggregated and collected.
    pub reports: u64,
    /// From the first report made to the collected result.
    pub seconds: f64,
    /// Of the whole way, the load generator included.
    pub reports_per_second: f64,
    /// CPU time of each process, in milliseconds.
    pub cpu_ms_per_report: Parties,
    /// Two HPKE opens and two verifications; with few reports in a request, the request's part
    /// too. In milliseconds of CPU.
    pub floor_ms_per_report: f64,
    /// `cpu_ms_per_report.total` over the floor.
    pub times_floor: f64,
    /// Peak memory from the start of the servers to their end (`VmHWM`), in megabytes.
    pub peak_rss_mb: Memory,
    /// Bytes of the databases in use.
    pub disk_bytes_per_report: Disk,
    /// How long the upload requests took.
    pub latency_ms: Latency,
    /// How long it took to collect a batch whose reports were all aggregated.
    pub collection_ms: Collections,
    /// Reports of one upload request.
    pub reports_per_upload: u64,
    /// `sqlite` or `postgres`.
    pub storage: &'static str,
}

/// CPU time, party by party.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Parties {
    /// The leader.
    pub leader: f64,
    /// The helper.
    pub helper: f64,
    /// The database server; 0 for an embedded database, whose work is the servers'.
    pub database: f64,
    /// All of them.
    pub total: f64,
}

/// Peak memory of the servers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// The leader.
    pub leader: f64,
    /// The helper.
    pub helper: f64,
}

/// Disk use.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Disk {
    /// The leader's, for a report that waits.
    pub before: f64,
    /// The leader's, for one that is aggregated and collected.
    pub leader: f64,
    /// The helper's, likewise.
    pub helper: f64,
}

/// Quantiles of the upload requests' times, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half of them took less.
    pub p50: f64,
    /// One in a hundred took more.
    pub p99: f64,
}

impl Latency {
    pub(super) fn of(sent: &Sent) -> Self {
        let mut sorted = sent.latencies.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            milliseconds(sorted.get(index).copied().unwrap_or_default())
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// Times of some collections, each of the smallest batch, one after the other; in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Collections {
    /// Half of them took less.
    pub median: f64,
    /// The longest.
    pub longest: f64,
}

impl Collections {
    pub(super) fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |index: usize| milliseconds(took.get(index).copied().unwrap_or_default());
        Self { median: at(took.len() / 2), longest: at(took.len().saturating_sub(1)) }
    }
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parties { leader, helper, database, total } = self.cpu_ms_per_report;
        writeln!(
            f,
            "{} reports, {} per request, on {}: {:.1} s, {:.0} reports per second including the devices",
            self.reports,
            self.reports_per_upload,
            self.storage,
            self.seconds,
            self.reports_per_second
        )?;
        writeln!(
            f,
            "CPU per report: {total:.4} ms (leader {leader:.4}, helper {helper:.4}, database \
             {database:.4}), {:.2} times the floor of {:.4} ms",
            self.times_floor, self.floor_ms_per_report
        )?;
        let Latency { p50, p99 } = self.latency_ms;
        writeln!(f, "upload latency: p50 {p50:.1} ms, p99 {p99:.1} ms")?;
        let Collections { median, longest } = self.collection_ms;
        writeln!(
            f,
            "collection when all is aggregated: median {median:.1} ms, longest {longest:.1} ms"
        )?;
        let Memory { leader, helper } = self.peak_rss_mb;
        writeln!(f, "peak memory: leader {leader:.1} MB, helper {helper:.1} MB")?;
        let Disk { before, leader, helper } = self.disk_bytes_per_report;
        write!(
            f,
            "disk per report: {before:.0} bytes while it waits, then {leader:.1} at the leader and \
             {helper:.1} at the helper"
        )
    }
}
