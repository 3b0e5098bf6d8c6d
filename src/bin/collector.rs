//! `sottovoce-collector`: asks for batches and says what they mean.

use clap::Parser;
use sottovoce::collector::command::{self, CollectArgs};
use std::process::ExitCode;

/// Collect a batch of each metric and print estimates with their intervals and guarantees.
///
/// A batch can be collected only once; asking again for the same one gives the same figures.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    collect: CollectArgs,
}

fn main() -> ExitCode {
    sottovoce::command_line::exit(command::run(&Arguments::parse().collect))
}
