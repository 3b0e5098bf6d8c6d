//! `sottovoce init`: a program to begin with.

use anyhow::{Context, anyhow};
use sottovoce_program::{ProgramKind, template};
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::PathBuf,
};

/// Write a commented program to begin with.
///
/// It is complete, so that `check` and `plan` can be tried at once. Before it is used, its two
/// endpoints and the collector's key must be replaced; the comments say by what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What the program is for.
    #[arg(long, value_enum, default_value_t = Kind::Feedback)]
    kind: Kind,
    /// The program's name: a-z, 0-9, hyphen and underscore.
    #[arg(long, default_value = "my-app")]
    name: String,
    /// Where to write it; a file that is there is left alone.
    #[arg(long, short, default_value = "program.toml")]
    output: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Users of an app say how well it serves them.
    Feedback,
    /// Reporters mark what harm they found.
    RedTeam,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let kind = match arguments.kind {
        Kind::Feedback => ProgramKind::Feedback,
        Kind::RedTeam => ProgramKind::RedTeam,
    };
    let text = template::template(kind, &arguments.name)?;
    let place = arguments.output.display();
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(&arguments.output).map_err(
            |error| match error.kind() {
                ErrorKind::AlreadyExists => {
                    anyhow!("{place} is there already; move it away, or choose another --output")
                }
                _ => anyhow!(error).context(format!("{place} cannot be made")),
            },
        )?;
    file.write_all(text.as_bytes()).with_context(|| format!("{place} cannot be written"))?;
    eprintln!("{place} is written; replace what is marked in it, then: sottovoce check {place}");
    Ok(())
}
