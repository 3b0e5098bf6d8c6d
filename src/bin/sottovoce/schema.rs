//! `sottovoce schema`: the JSON Schema of program files.

use sottovoce::command_line;
use sottovoce_program::schema;

/// Print the JSON Schema of program files, for editors.
///
/// In VS Code with Even Better TOML, put `#:schema ./program.schema.json` in the program's first line.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> anyhow::Result<()> {
    command_line::print(serde_json::to_string_pretty(&schema::json_schema())?)
}
