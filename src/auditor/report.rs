//! `report`: an audit, and the documents that come of it.

use crate::{auditor::verify::LogArgs, command_line};
use anyhow::Context;
use clap::Args;
use sottovoce_audit::report::{document::document, registry, render};
use sottovoce_program::explain::Explanation;
use std::{fs, path::PathBuf};

/// What to report on.
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    logs: LogArgs,
    /// The folder to write to; created if it does not exist.
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
}

/// Audits, and writes a document for each program as Markdown and HTML, with a registry entry; whether
/// all holds.
pub fn run(args: &ReportArgs) -> anyhow::Result<bool> {
    let programs = args.logs.programs()?;
    let logs = args.logs.logs(&programs)?;
    // A document is of everything, not of what happened since the last one.
    let outcome =
        args.logs.audit(&programs, &logs, &mut args.logs.remembered()?, true, args.logs.reread)?;
    fs::create_dir_all(&args.output)
        .with_context(|| format!("{} cannot be created", args.output.display()))?;
    for program in &programs {
        let explanation = Explanation::in_full(program)?;
        let blocks = document(program, &explanation, &outcome);
        let title = format!("Audit of {}", program.name());
        for (end, text) in [
            ("md", render::markdown(&blocks)),
            ("html", render::html(&title, &blocks)),
            ("registry.yaml", registry::entry(program, &explanation, &outcome)),
        ] {
            let path = args.output.join(format!("{}.{end}", program.name()));
            fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            command_line::print(path.display())?;
        }
    }
    Ok(outcome.holds)
}
