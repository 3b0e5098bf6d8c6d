//! `init`: a configuration to begin with.

use crate::command_line::{self, file_argument::OutputArgs};
use sottovoce_aggregator::config::template;
use std::path::PathBuf;

pub(super) fn run(role: &str, output: &OutputArgs) -> anyhow::Result<()> {
    let usual = PathBuf::from(format!("{role}.toml"));
    let path = output.path_or(&usual);
    output.write(path, &template::text(role))?;
    command_line::print(format_args!(
        "{path} is written. Next:\n  \
         put the secrets that you share with the other parties beside it, as {role}.secrets.toml \
         (`sottovoce keygen` makes all of them at once); without programs, take `secrets` out\n  \
         name your program under `programs`\n  \
         sottovoce-{role} serve --config {path} --check-config",
        path = path.display()
    ))
}
