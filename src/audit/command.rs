//! The auditor's commands.

use super::witness::command::{self as witness, WitnessArgs};
use clap::Subcommand;

/// What an auditor does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Cosign checkpoints of logs that only grow, as long as they do.
    Witness(WitnessArgs),
}

/// Carries a command out.
pub fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Witness(args) => witness::run(args),
    }
}
