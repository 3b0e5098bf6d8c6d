//! Files on the command line, as people type them: by position (`serve leader.toml`) or as an option
//! (`serve --config leader.toml`).

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, error::ErrorKind,
    value_parser,
};
use sottovoce_whole_file::Readers;
use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
};

/// One file that may be written either way, but not both.
#[derive(Clone, Copy, Debug)]
pub struct FileArgument {
    /// The positional argument's name, in capitals: `CONFIG`.
    pub name: &'static str,
    /// The option's name: `config`.
    pub option: &'static str,
    /// The option's short form.
    pub short: Option<char>,
    /// What the file is.
    pub help: &'static str,
}

impl FileArgument {
    /// Adds both forms to a command; one of them must be given.
    fn required(self, command: Command) -> Command {
        let [positional, option] = self.forms();
        let help = format!("The same as {}; one of the two is required", self.name);
        command.arg(positional.required_unless_present(self.option)).arg(option.help(help))
    }

    /// Adds both forms to a command; both may be left out.
    fn optional(self, command: Command) -> Command {
        self.forms().into_iter().fold(command, Command::arg)
    }

    fn forms(self) -> [Arg; 2] {
        let form = |id: &'static str| Arg::new(id).value_parser(value_parser!(PathBuf));
        let positional = form(self.name).help(self.help).conflicts_with(self.option);
        let option = form(self.option).long(self.option).value_name(self.name);
        let option = option.help(format!("The same as {}", self.name));
        [positional, self.short.into_iter().fold(option, Arg::short)]
    }

    /// The file that was given, if any was.
    fn find(self, matches: &ArgMatches) -> Option<PathBuf> {
        let given = |id| matches.get_one::<PathBuf>(id).cloned();
        given(self.name).or_else(|| given(self.option))
    }
}

/// What a command's required file is.
pub trait Named {
    /// How it is written and explained.
    const FILE: FileArgument;
}

/// A file that a command requires, in either form.
#[derive(Debug)]
pub struct RequiredFile<N> {
    /// Where it is.
    pub path: PathBuf,
    name: PhantomData<N>,
}

impl<N: Named> Args for RequiredFile<N> {
    fn augment_args(command: Command) -> Command {
        N::FILE.required(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        N::FILE.optional(command)
    }
}

impl<N: Named> FromArgMatches for RequiredFile<N> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let name = N::FILE.name;
        let missing =
            || Error::raw(ErrorKind::MissingRequiredArgument, format!("{name} is missing\n"));
        let path = N::FILE.find(matches).ok_or_else(missing)?;
        Ok(Self { path, name: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        if let Some(path) = N::FILE.find(matches) {
            self.path = path;
        }
        Ok(())
    }
}

/// The file that a command writes, and whether it may replace one that exists.
#[derive(Debug)]
pub struct OutputArgs {
    path: Option<PathBuf>,
    force: bool,
}

const OUTPUT: FileArgument = FileArgument {
    name: "OUTPUT",
    option: "output",
    short: Some('o'),
    help: "The file to write. A file that exists is kept unless --force is given",
};

impl OutputArgs {
    /// The file that was given, or the usual one.
    pub fn path_or<'a>(&'a self, usual: &'a Path) -> &'a Path {
        self.path.as_deref().unwrap_or(usual)
    }

    /// Writes the file. Without `--force`, an existing file is an error and is kept.
    pub fn write(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        let written = if self.force {
            sottovoce_whole_file::replace(path, text.as_bytes(), Readers::All)
        } else {
            sottovoce_whole_file::create(path, text.as_bytes(), Readers::All)
        };
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => anyhow::anyhow!(
                "{} already exists; name another file, or replace it with --force",
                path.display()
            ),
            _ => anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
        })
    }
}

impl Args for OutputArgs {
    fn augment_args(command: Command) -> Command {
        let force = Arg::new("force").long("force").action(ArgAction::SetTrue);
        OUTPUT.optional(command).arg(force.help("Replace the file if it exists"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for OutputArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self { path: OUTPUT.find(matches), force: matches.get_flag("force") })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        output: OutputArgs,
    }

    #[derive(Debug)]
    struct Config;

    impl Named for Config {
        const FILE: FileArgument =
            FileArgument { name: "CONFIG", option: "config", short: Some('c'), help: "A file" };
    }

    #[derive(Debug, Parser)]
    struct Serve {
        #[command(flatten)]
        config: RequiredFile<Config>,
    }

    fn config(line: &[&str]) -> Result<PathBuf, Error> {
        Serve::try_parse_from([&["serve"], line].concat()).map(|serve| serve.config.path)
    }

    #[test]
    fn a_file_is_given_by_position_or_by_option_and_not_by_both() {
        for line in [&["a.toml"][..], &["--config", "a.toml"], &["-c", "a.toml"]] {
            assert_eq!(config(line).unwrap(), Path::new("a.toml"), "{line:?}");
        }
        let refused = |line: &[&str]| config(line).unwrap_err().kind();
        assert_eq!(refused(&[]), ErrorKind::MissingRequiredArgument);
        assert_eq!(refused(&["a.toml", "-c", "b.toml"]), ErrorKind::ArgumentConflict);
    }

    #[test]
    fn an_output_file_is_replaced_only_with_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program.toml");
        let write = |line: &[&str], text: &str| {
            let Line { output } = Line::parse_from([&["init"], line].concat());
            output.write(output.path_or(&path), text)
        };
        write(&[], "first").unwrap();
        let error = write(&[path.to_str().unwrap()], "second").unwrap_err().to_string();
        assert!(error.contains("already exists") && error.contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
        write(&["--force"], "third").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "third");
    }
}
