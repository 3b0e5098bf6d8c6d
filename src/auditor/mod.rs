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

/// Verify aggregators' logs, test clients, and run a witness, without trusting any of them.
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
    /// Verify both aggregators' logs against the program: nothing was altered, released twice, released from
    /// too small a batch, or beyond the privacy budget.
    ///
    /// Exit status: 0 if there is no violation, 1 if there is one, 3 if the logs could not be verified.
    Verify(LogArgs),
    /// Verify at an interval until there is a violation, then exit with status 1.
    Watch(WatchArgs),
    /// Verify, and write a report for a privacy office, with a draft entry for the Differential Privacy
    /// Deployments Registry.
    ///
    /// Exit status: as `verify`.
    Report(ReportArgs),
    /// Test whether a client adds the noise that its manifest promises.
    ///
    /// Exit status: 0 if it does, 1 if it does not, 3 if a limit was reached before that was decided or the
    /// client failed.
    Probe(ProbeArgs),
    /// Write a file of inclusion proofs that both logs have the program's tasks, for devices that require them.
    Prove(ProveArgs),
    /// Run a witness: cosign checkpoints of logs that prove to be append-only.
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
