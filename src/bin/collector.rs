//! `sottovoce-collector`: collects batches and prints their figures.

use clap::Parser;
use sottovoce::collector::{self, Arguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    sottovoce::command_line::exit(collector::run(&Arguments::parse()))
}
