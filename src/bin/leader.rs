//! `sottovoce-leader`: the leader's server.

use clap::Parser;
use sottovoce::servers::{self, LeaderArguments};
use std::process::ExitCode;

fn main() -> ExitCode {
    sottovoce::command_line::exit(servers::leader(LeaderArguments::parse().command))
}
