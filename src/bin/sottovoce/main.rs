//! `sottovoce`: the program's tools, and the demo.

mod analyse;
mod check;
mod demo;
mod guarantee;
mod init;
mod keygen;
mod load;
mod plan;
mod schema;
mod simulate;
mod tasks;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Hear the users of an LLM app without overhearing any of them.
///
/// Users' feedback is randomized and secret-shared on their devices; two aggregators that do not
/// collude add the shares up; a collector sees noisy totals only.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Arguments),
    Check(check::Arguments),
    Plan(plan::Arguments),
    Simulate(simulate::Arguments),
    Demo(demo::Arguments),
    Tasks(tasks::Arguments),
    Analyse(analyse::Arguments),
    Guarantee(guarantee::Arguments),
    Keygen(keygen::Arguments),
    Load(load::Arguments),
    Schema(schema::Arguments),
    /// Be the demo's leader.
    #[command(hide = true, subcommand)]
    Leader(sottovoce::servers::Command),
    /// Be the demo's helper.
    #[command(hide = true, subcommand)]
    Helper(sottovoce::servers::Command),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
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
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Leader(command) => sottovoce::servers::leader(command),
        Command::Helper(command) => sottovoce::servers::helper(command),
    };
    sottovoce::command_line::exit(result)
}
