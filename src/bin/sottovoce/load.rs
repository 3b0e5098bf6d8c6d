//! `sottovoce load`: measures what reports cost the servers.

use sottovoce::{
    command_line,
    load::{self, Options},
};
use std::time::Duration;

/// Measure what reports cost the servers on this machine: CPU, memory, disk and time.
///
/// Starts a leader and a helper, sends randomized reports of a metric with five bins as fast as the
/// servers accept them, collects, and checks that the sums are exactly what was sent. The same run
/// measures the floor: the CPU time of opening and verifying a report without a server.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Number of reports.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    reports: u64,
    /// Reports in one upload request: a device sends one, a relay many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    reports_per_upload: u64,
    /// Concurrent upload requests.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Stop sending after this many seconds and measure what was sent until then.
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=36_000))]
    seconds: u64,
    /// Use PostgreSQL for storage: starts a temporary server of its own.
    #[arg(long)]
    postgres: bool,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let measured = load::run(Options {
        reports: arguments.reports,
        per_upload: arguments.reports_per_upload,
        connections: arguments.connections.into(),
        at_most: Duration::from_secs(arguments.seconds),
        postgres: arguments.postgres,
    })?;
    if arguments.json {
        command_line::print(serde_json::to_string_pretty(&measured)?)
    } else {
        command_line::print(measured)
    }
}
