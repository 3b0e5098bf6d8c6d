//! The auditor's commands.

pub mod probe;
pub mod prove;
pub mod report;
pub mod verify;
pub mod witness;

use crate::auditor::{
    probe::ProbeArgs,
    prove::ProveArgs,
    report::ReportArgs,
    verify::{LogArgs, WatchArgs},
    witness::WitnessArgs,
};
use crate::command_line;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Check what aggregators and devices promise, trusting none of them.
#[derive(Debug, Parser)]
#[command(name = "sottovoce-auditor", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What an auditor does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Verify both aggregators' logs by the program: nothing altered, nothing released twice, too small
    /// or beyond the budget.
    ///
    /// Ends with 0 if all holds, 1 if a promise is broken, 3 if that cannot be told.
    Verify(LogArgs),
    /// Verify again and again, and end with 1 as soon as something is violated.
    Watch(WatchArgs),
    /// Verify, and write a document for a privacy office, with an entry for the deployments registry.
    ///
    /// Ends as `verify` does.
    Report(ReportArgs),
    /// Put a client to the test: whether it really adds the noise that its manifest promises.
    ///
    /// Ends with 0 if it does, 1 if it does not, 3 if the limits were reached before that was clear, or the
    /// client did not answer.
    Probe(ProbeArgs),
    /// Gather the proofs that both logs have a program's tasks, for devices that insist on them.
    Prove(ProveArgs),
    /// Cosign checkpoints of logs that only grow, as long as they do.
    Witness(WitnessArgs),
}

/// Runs the auditor's command line.
pub fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Command::Verify(args) => judged(verify::run(args)),
        Command::Watch(args) => judged(verify::watch(args)),
        Command::Report(args) => judged(report::run(args)),
        Command::Probe(args) => match probe::run(args) {
            Ok(None) => ExitCode::from(UNTOLD),
            Ok(Some(certified)) => judged(Ok(certified)),
            Err(error) => judged(Err(error)),
        },
        Command::Prove(args) => command_line::exit(prove::run(args)),
        Command::Witness(args) => command_line::exit(witness::run(args)),
    }
}

/// What an auditor could not look at is neither right nor wrong.
fn judged(result: anyhow::Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", command_line::story(&error));
            ExitCode::from(UNTOLD)
        }
    }
}

const UNTOLD: u8 = 3;
