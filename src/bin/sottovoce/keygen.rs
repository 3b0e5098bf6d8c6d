//! `sottovoce keygen`: each party's secrets.

use anyhow::Context;
use sottovoce::{command_line, keygen::Secrets};
use std::path::PathBuf;

/// Make the secrets of leader, helper and collector, one file each.
///
/// Hand each file to its party over a channel you trust, and to nobody else. Nothing that is there
/// is ever written over.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder to write leader.secrets.toml, helper.secrets.toml and collector.secrets.toml to.
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let secrets = Secrets::generate()?;
    let written = secrets.write(folder)?;
    for path in written {
        eprintln!("{} is for its party only", path.display());
    }
    eprintln!("\nPut this line in the program:");
    command_line::print(format_args!("collector = \"{}\"", secrets.collector_hpke_config()))
}
