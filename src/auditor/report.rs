//! `report`: an audit, and the documents that come of it.

use crate::{auditor::verify::LogArgs, command_line};
use anyhow::Context;
use clap::Args;
use sottovoce_audit::{
    report::{
        document::{Audited, Made, document},
        registry, render,
    },
    verify::Inspected,
};
use sottovoce_program::{Program, explain::Explanation};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What to report on.
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    logs: LogArgs,
    /// The folder to write to; created if it does not exist.
    #[arg(long, short, value_name = "FOLDER")]
    output: PathBuf,
    /// Who audits: a name and an organisation, for the report. Default: room to write it in.
    #[arg(long, value_name = "NAME")]
    auditor: Option<String>,
}

/// Audits, and writes a document for each program as Markdown and HTML, with a registry entry; whether
/// all holds. What could not be verified is an error, after the documents were written with what could.
pub fn run(args: &ReportArgs) -> anyhow::Result<bool> {
    let programs = args.logs.programs()?;
    let logs = args.logs.logs(&programs)?;
    // A document is of everything, not of what happened since the last one.
    let mut state = args.logs.remembered()?;
    let inspected = args.logs.inspect(&programs, &logs, &mut state, true, args.logs.reread)?;
    fs::create_dir_all(&args.output)
        .with_context(|| format!("{} cannot be created", args.output.display()))?;
    for (path, program) in args.logs.programs.iter().zip(&programs) {
        args.write(path, program, &inspected)?;
    }
    let Inspected { outcome, unverified } = inspected;
    match unverified.into_iter().next() {
        Some(error) if outcome.holds => Err(error.into()),
        _ => Ok(outcome.holds),
    }
}

impl ReportArgs {
    fn write(&self, path: &Path, program: &Program, inspected: &Inspected) -> anyhow::Result<()> {
        let Inspected { outcome, unverified } = inspected;
        let (explanation, made) = (Explanation::in_full(program)?, self.made(path)?);
        let blocks = document(Audited {
            program,
            explanation: &explanation,
            outcome,
            unverified,
            made: &made,
        });
        let title = format!("Audit of {}", program.name());
        for (end, text) in [
            ("md", render::markdown(&blocks)),
            ("html", render::html(&title, &blocks)),
            ("registry.yaml", registry::entry(program, &explanation, outcome)),
        ] {
            let path = self.output.join(format!("{}.{end}", program.name()));
            fs::write(&path, text)
                .with_context(|| format!("{} cannot be written", path.display()))?;
            command_line::print(path.display())?;
        }
        Ok(())
    }

    fn made(&self, path: &Path) -> anyhow::Result<Made> {
        let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Made::of(&name, &bytes, now, self.auditor.clone()))
    }
}
