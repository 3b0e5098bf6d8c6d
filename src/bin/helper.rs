//! `sottovoce-helper`: the helper's server.

use clap::Parser;
use sottovoce::servers::{self, HelperArguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    sottovoce::command_line::exit(servers::helper(HelperArguments::parse().command))
}
