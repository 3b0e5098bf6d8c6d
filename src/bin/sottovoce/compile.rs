//! `sottovoce compile`: the form of a program that devices load.

use anyhow::Context;
use sottovoce_program::Program;
use sottovoce_whole_file::{Readers, replace};
use std::path::PathBuf;

/// Compile a program for devices: compact bytes that are read without parsing TOML or computing bounds.
///
/// The result asks and promises exactly what the program does: a device that reads it checks that it has the same
/// tasks. Ship it with the app, and compile it again whenever the program or the version of sottovoce changes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The program.
    program: PathBuf,
    /// The file to write; replaced if it exists [default: the program's name with the ending .svp].
    #[arg(short, long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { program, output } = arguments;
    let place = program.display().to_string();
    let text =
        std::fs::read_to_string(program).with_context(|| format!("{place} cannot be read"))?;
    let form = Program::compile_for_devices(&place, &text)?;
    let path = output.clone().unwrap_or_else(|| program.with_extension("svp"));
    replace(&path, &form, Readers::All).with_context(|| path.display().to_string())?;
    eprintln!("{}: {} bytes, for devices", path.display(), form.len());
    Ok(())
}
