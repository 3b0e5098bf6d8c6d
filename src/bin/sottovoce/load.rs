//! `sottovoce load`: what the servers cost, measured on this machine.

use sottovoce::{
    command_line,
    load::{self, Options},
};
use std::time::Duration;

/// Measure what reports cost the servers: CPU, memory, disk and time, on this machine.
///
/// Starts a leader and a helper of its own, sends randomized reports of a metric with five bins as
/// fast as the servers take them, collects, and checks that the sums are exactly what was sent.
/// The floor is measured in the same run: what opening and verifying a report costs without any
/// server around it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Reports to send.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    reports: u64,
    /// Reports of one upload request: a device sends one, a relay many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    reports_per_upload: u64,
    /// Upload requests under way at once.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Stop sending after this many seconds, and measure what was sent.
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=36_000))]
    seconds: u64,
    /// Keep it in PostgreSQL, on a server that is started for this and stopped after it.
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
