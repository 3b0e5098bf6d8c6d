//! `sottovoce analyse`: comparisons across releases.

use anyhow::Context;
use sottovoce::command_line;
use sottovoce_collector::document::ReleaseDocument;
use sottovoce_estimate::findings::Findings;
use sottovoce_program::Program;
use std::path::PathBuf;

/// Compare releases: differences between arms, changes over windows, strengths of candidates, gaps between
/// segments.
///
/// Reads any number of files that the collector wrote with --json, all of one program. A release of a task
/// that the program does not compile to is refused. Analysing costs no privacy, so repeat it as often as you
/// like. Where the data does not support a claim, the output says so.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program of the releases.
    program: PathBuf,
    /// Files that the collector wrote with --json.
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
