//! `sottovoce analyse`: what releases say together.

use anyhow::Context;
use sottovoce::command_line;
use sottovoce_collector::document::ReleaseDocument;
use sottovoce_estimate::findings::Findings;
use sottovoce_program::Program;
use std::path::PathBuf;

/// Say what releases show: differences between arms, changes over windows, strengths of candidates,
/// gaps between segments.
///
/// Reads what the collector wrote with --json, any number of files, of one program; a release of a task
/// that the program does not compile to is refused. Nothing is asked
/// of anyone: releases may be looked at as often as you like. A claim that the data does not
/// support is refused in words.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program that the releases are of.
    program: PathBuf,
    /// What the collector wrote with --json.
    #[arg(required = true, value_name = "RELEASES")]
    releases: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = Program::read(&arguments.program)?;
    let mut batches = Vec::new();
    for path in &arguments.releases {
        let place = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(place)?;
        batches.extend(
            ReleaseDocument::read(&text)
                .and_then(|document| document.batches(&program))
                .with_context(place)?,
        );
    }
    let findings = Findings::of(&program, batches)?;
    if arguments.json {
        return command_line::print(serde_json::to_string_pretty(&findings)?);
    }
    command_line::print(findings)
}
