//! `sottovoce load`: measures what reports cost servers of its own, or sends some to those of an installation.

use sottovoce::{
    command_line,
    load::{self, Options, installation},
};
use std::{path::PathBuf, time::Duration};

/// Measure what reports cost the servers on this machine, or send reports of invented users to an installation.
///
/// Without --program, this starts a leader and a helper, sends randomized reports of a metric with five bins as
/// fast as the servers accept them, collects, and checks that the sums are exactly what was sent. The same
/// run measures the floor: the CPU time of opening and verifying a report without a server.
///
/// With --program, it sends reports to the servers that the program names, which must be running and have its
/// tasks: one report for each metric of each of N devices, whose users answer as in `sottovoce simulate`, at
/// --rate devices per second. THE SERVERS COUNT INVENTED REPORTS LIKE REAL ONES: use a program that no app uses.
/// Without --secrets, the reports are for the window that is open now. With --secrets, they are for the last
/// window whose grace is over; it is collected at once, and must have at least the reports that were sent. The
/// collector can collect it again.
///
/// Examples:
///   sottovoce load --reports 100000
///   sottovoce load --program trial.toml --devices 3000 --rate 100
///   sottovoce load --program trial.toml --devices 3000 --secrets collector.secrets.toml
///   sottovoce-collector trial.toml collector.secrets.toml
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
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
    /// Send reports to the servers of this program instead.
    #[arg(long, value_name = "FILE", requires = "devices")]
    #[arg(conflicts_with_all = ["reports", "reports_per_upload", "connections", "seconds", "postgres"])]
    program: Option<PathBuf>,
    /// Number of invented devices, with --program.
    #[arg(long, value_name = "N", requires = "program", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    devices: Option<u64>,
    /// Devices per second, at most, with --program.
    #[arg(long, value_name = "N", requires = "program", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// The seed for users' behaviour, with --program.
    #[arg(long, requires = "program", default_value_t = 1)]
    seed: u64,
    /// The collector's secrets, with --program: collect the window and compare.
    #[arg(long, value_name = "FILE", requires = "program")]
    secrets: Option<PathBuf>,
    /// Wait for the collection for this many seconds.
    #[arg(long, value_name = "SECONDS", requires = "secrets", default_value_t = 600)]
    patience: u64,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (Some(program), Some(devices)) = (&arguments.program, arguments.devices) else {
        return measure(arguments);
    };
    let driven = installation::drive(&installation::Options {
        program: program.clone(),
        devices,
        rate: arguments.rate,
        seed: arguments.seed,
        secrets: arguments.secrets.clone(),
        patience: Duration::from_secs(arguments.patience),
    })?;
    if arguments.json {
        command_line::print(serde_json::to_string_pretty(&driven)?)
    } else {
        command_line::print(driven)
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
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
