//! `sottovoce keygen`: generates each party's secrets.

use anyhow::Context;
use sottovoce::{command_line, keygen::Secrets};
use std::path::PathBuf;

/// Generate the secrets of leader, helper and collector, one file each.
///
/// Give each file to its party only, over a channel that you trust. Existing files are never overwritten.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder for leader.secrets.toml, helper.secrets.toml and collector.secrets.toml; created if it does not
    /// exist.
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let secrets = Secrets::generate()?;
    let written = secrets.write(folder)?;
    for path in written {
        eprintln!("{}: for this party only", path.display());
    }
    eprintln!("\nPut this line into the program:");
    command_line::print(format_args!("collector = \"{}\"", secrets.collector_hpke_config()))
}
