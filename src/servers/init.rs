//! `init`: a configuration to begin with.

use crate::command_line;
use anyhow::ensure;
use clap::Args;
use sottovoce_aggregator::config::template;
use sottovoce_whole_file::Readers;
use std::path::PathBuf;

/// Where to write it.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The file to write; it must not be there yet.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(role: &str, args: &InitArgs) -> anyhow::Result<()> {
    let path = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{role}.toml")));
    ensure!(!path.exists(), "{} is there already; name another file with --output", path.display());
    command_line::write_new(&path, &template::text(role), Readers::All)?;
    command_line::print(format_args!(
        "{path} is written. Next:\n  \
         put the secrets that you share with the other parties beside it, as {role}.secrets.toml \
         (`sottovoce keygen` makes all of them at once); without programs, take `secrets` out\n  \
         name your program under `programs`\n  \
         sottovoce-{role} serve --config {path} --check-config",
        path = path.display()
    ))
}
