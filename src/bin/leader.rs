//! `sottovoce-leader`: the leader's server.

use clap::Parser;
use sottovoce::servers::{self, Command};
use std::process::ExitCode;

/// The DAP leader: takes reports from devices, aggregates them with the helper, and hands batches to
/// the collector.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    sottovoce::command_line::exit(servers::leader(Arguments::parse().command))
}
