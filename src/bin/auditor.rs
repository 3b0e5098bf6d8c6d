//! `sottovoce-auditor`: holds aggregators to what they say.

use clap::Parser;
use sottovoce::auditor::{self, Command};
use std::process::ExitCode;

/// Check what aggregators and devices promise, trusting none of them.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    auditor::run(&Arguments::parse().command)
}
