//! `sottovoce-collector`: asks for batches and says what they mean.

use clap::{Parser, Subcommand};
use sottovoce::collector::{
    self, CollectArgs,
    doctor::{self, DoctorArgs},
};
use std::process::ExitCode;

/// Collect a batch of each metric and print estimates with their intervals and guarantees.
///
/// A batch can be collected only once; asking again for the same one gives the same figures.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    collect: Option<CollectArgs>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the leader whether it holds the same tasks, keys and clock, and collect nothing.
    Doctor(DoctorArgs),
}

fn main() -> ExitCode {
    let Arguments { command, collect } = Arguments::parse();
    sottovoce::command_line::exit(match (command, collect) {
        (Some(Command::Doctor(args)), _) => doctor::run(&args),
        (None, Some(args)) => collector::run(&args),
        (None, None) => {
            Err(anyhow::anyhow!("which program? `sottovoce-collector --help` says more"))
        }
    })
}
