//! `sottovoce-helper`: the helper's server.

use clap::Parser;
use sottovoce::servers::{self, Command};
use std::process::ExitCode;

/// The DAP helper: verifies and aggregates its half of what the leader sends, and gives out each
/// batch once.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    sottovoce::command_line::exit(servers::helper(Arguments::parse().command))
}
