//! `init`: a first configuration.

use crate::command_line::{self, file_argument::OutputArgs};
use sottovoce_aggregator::config::template;
use std::path::PathBuf;

pub(super) fn run(role: &str, output: &OutputArgs) -> anyhow::Result<()> {
    let usual = PathBuf::from(format!("{role}.toml"));
    let path = output.path_or(&usual);
    output.write(path, &template::text(role))?;
    command_line::print(format_args!(
        "wrote {path}. Next:\n  \
         put the secrets that you share with the other parties beside it, as {role}.secrets.toml \
         (`sottovoce keygen` creates them for all parties); without programs, remove `secrets`\n  \
         list your program under `programs`\n  \
         run: sottovoce-{role} serve --config {path} --check-config",
        path = path.display()
    ))
}
