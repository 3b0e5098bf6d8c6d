//! `sottovoce check`: validates and explains a program.

use anyhow::Context;
use sottovoce::command_line;
use sottovoce_estimate::plan;
use sottovoce_program::{Program, explain::Explanation};
use std::path::PathBuf;

/// Validate a program and explain in plain words what it will do.
///
/// For a privacy office: what one device risks over a period, what is asked, what leaves a device and what
/// never does, how often, who sees what, and under which guarantee. A program that promises more privacy
/// than it gives is refused, with the line and a value that works.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program.
    program: PathBuf,
    /// Print the text that users are shown before they consent.
    #[arg(long, conflicts_with = "json")]
    for_users: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = Program::read(&arguments.program)?;
    program.certify_budget().with_context(|| {
        format!("{}: [budget] allows more than it promises", arguments.program.display())
    })?;
    let mut explanation = Explanation::in_full(&program)?;
    explanation.rhythm.devices_needed = Some(plan::devices_needed(&program));
    command_line::print(if arguments.json {
        serde_json::to_string_pretty(&explanation)?
    } else if arguments.for_users {
        explanation.for_users()
    } else {
        explanation.to_string()
    })
}
