//! `sottovoce`: the program's tools, and the demo.

mod analyse;
mod check;
mod compile;
mod demo;
mod guarantee;
mod init;
mod keygen;
mod load;
mod packaging;
mod plan;
mod schema;
mod simulate;
mod tasks;

use clap::{CommandFactory, Parser, Subcommand};
use sottovoce::{
    auditor, collector,
    servers::{self, HelperArguments, LeaderArguments},
};
use std::process::ExitCode;

/// Tools for differentially private feedback about LLM apps.
///
/// Devices randomize their users' answers and secret-share them between two aggregators that do not
/// collude. The aggregators add the shares up, and a collector combines the sums into noisy totals.
#[derive(Parser)]
#[command(name = "sottovoce", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Arguments),
    Check(check::Arguments),
    Compile(compile::Arguments),
    Plan(plan::Arguments),
    Simulate(simulate::Arguments),
    Demo(demo::Arguments),
    Tasks(tasks::Arguments),
    Analyse(analyse::Arguments),
    Guarantee(guarantee::Arguments),
    Keygen(keygen::Arguments),
    Load(load::Arguments),
    Schema(schema::Arguments),
    Completions(packaging::CompletionsArguments),
    Man(packaging::ManArguments),
}

fn main() -> ExitCode {
    sottovoce::command_line::exit(server().unwrap_or_else(tool))
}

/// The demo and the load run their servers as `sottovoce leader …` and `sottovoce helper …`, so that they
/// need no other binary. People have `sottovoce-leader` and `sottovoce-helper`.
fn server() -> Option<anyhow::Result<()>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let role = arguments.peek()?.to_str()?.to_owned();
    match role.as_str() {
        "leader" => Some(servers::leader(LeaderArguments::parse_from(arguments).command)),
        "helper" => Some(servers::helper(HelperArguments::parse_from(arguments).command)),
        _ => None,
    }
}

fn tool() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Tasks(arguments) => tasks::run(&arguments),
        Command::Guarantee(arguments) => guarantee::run(&arguments),
        Command::Analyse(arguments) => analyse::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Load(arguments) => load::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => packaging::completions(&arguments, binaries()),
        Command::Man(arguments) => packaging::man(&arguments, binaries()),
    }
}

/// The command lines of all five binaries.
fn binaries() -> [clap::Command; 5] {
    [
        Arguments::command(),
        LeaderArguments::command(),
        HelperArguments::command(),
        collector::Arguments::command(),
        auditor::Arguments::command(),
    ]
}

#[cfg(test)]
mod tests {
    /// Clap's own checks of names, positions and conflicts, which otherwise run when a command is used.
    #[test]
    fn all_command_lines_are_consistent() {
        super::binaries().into_iter().for_each(clap::Command::debug_assert);
    }
}
