//! `sottovoce init`: a program to begin with.

use sottovoce::command_line::file_argument::OutputArgs;
use sottovoce_program::{ProgramKind, template};
use std::path::Path;

/// Write a commented program to begin with.
///
/// It is complete: `sottovoce check` and `sottovoce plan` work on it at once. Before real use, replace its
/// two endpoints and the collector's key; the comments say with what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What the program is for.
    #[arg(long, value_enum, default_value_t = Kind::Feedback)]
    kind: Kind,
    /// The program's name: a-z, 0-9, hyphen and underscore [default: the output file's name, or its folder's
    /// if the file is program.toml].
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Users of an app say how well it serves them.
    Feedback,
    /// Red-team reporters describe the harm they found.
    RedTeam,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let kind = match arguments.kind {
        Kind::Feedback => ProgramKind::Feedback,
        Kind::RedTeam => ProgramKind::RedTeam,
    };
    let path = arguments.output.path_or(Path::new(USUAL));
    let name = arguments.name.clone().unwrap_or_else(|| name_of(path));
    arguments.output.write(path, &template::template(kind, &name)?)?;
    let place = path.display();
    eprintln!(
        "{place}: program {name:?} written. Replace the lines marked REPLACE, then run: sottovoce check {place}"
    );
    Ok(())
}

const USUAL: &str = "program.toml";

/// A name for a program, from where its file is: `support.toml` and `support/program.toml` are both
/// `support`.
fn name_of(path: &Path) -> String {
    let is_usual = path.file_name().is_some_and(|name| name == USUAL);
    let whole = std::path::absolute(path).unwrap_or_default();
    let named = if is_usual { whole.parent().and_then(Path::file_name) } else { path.file_stem() };
    let name = named.map(|name| fit(&name.to_string_lossy())).unwrap_or_default();
    if name.is_empty() { "my-app".to_owned() } else { name }
}

/// The characters that a program's name may have; each other one becomes a hyphen.
fn fit(name: &str) -> String {
    let fitting = |c: char| {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '-' }
    };
    let name: String = name.chars().map(fitting).take(64).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_after_its_file_or_its_folder() {
        for (path, name) in [
            ("support.toml", "support"),
            ("apps/Chat App 2.toml", "chat-app-2"),
            ("/srv/support/program.toml", "support"),
            ("/srv/Été/program.toml", "t"),
            ("/program.toml", "my-app"),
            ("日本.toml", "my-app"),
        ] {
            assert_eq!(name_of(Path::new(path)), name, "{path}");
        }
        assert!(name_of(Path::new(&format!("{}.toml", "a".repeat(99)))).len() <= 64);
    }
}
