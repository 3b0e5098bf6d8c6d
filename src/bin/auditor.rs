//! `sottovoce-auditor`: verifies logs, tests clients and witnesses checkpoints.

use clap::Parser;
use sottovoce::auditor::{self, Arguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    auditor::run(&Arguments::parse())
}
