//! `sottovoce completions` and `sottovoce man`: what packagers install beside the binaries.

use anyhow::Context;
use clap_complete::Shell;
use sottovoce::command_line::{
    self,
    file_argument::{FileArgument, Named, RequiredFile},
};
use std::path::Path;

/// Write a shell's completion scripts for all five binaries to a folder.
///
/// Packagers install them where the shell looks: bash in /usr/share/bash-completion/completions, zsh in
/// /usr/share/zsh/site-functions, fish in /usr/share/fish/vendor_completions.d.
#[derive(clap::Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
    #[command(flatten)]
    folder: RequiredFile<Folder>,
}

/// Write the manual pages of all five binaries and their commands to a folder.
///
/// Packagers install them in /usr/share/man/man1.
#[derive(clap::Args)]
pub(crate) struct ManArguments {
    #[command(flatten)]
    folder: RequiredFile<Folder>,
}

/// Where they are written.
#[derive(Debug)]
struct Folder;

impl Named for Folder {
    const FILE: FileArgument = FileArgument {
        name: "DIR",
        option: "output",
        short: Some('o'),
        help: "The folder to write to; created if it does not exist",
    };
}

pub(crate) fn completions(
    arguments: &CompletionsArguments,
    binaries: [clap::Command; 5],
) -> anyhow::Result<()> {
    let folder = make(&arguments.folder)?;
    for mut binary in binaries {
        let name = binary.get_name().to_owned();
        let written = clap_complete::generate_to(arguments.shell, &mut binary, name, folder);
        command_line::print(written.with_context(|| refused(folder))?.display())?;
    }
    Ok(())
}

pub(crate) fn man(arguments: &ManArguments, binaries: [clap::Command; 5]) -> anyhow::Result<()> {
    let folder = make(&arguments.folder)?;
    for binary in binaries {
        let page = folder.join(format!("{}.1", binary.get_name()));
        clap_mangen::generate_to(binary, folder).with_context(|| refused(folder))?;
        command_line::print(page.display())?;
    }
    Ok(())
}

fn make(folder: &RequiredFile<Folder>) -> anyhow::Result<&Path> {
    std::fs::create_dir_all(&folder.path).with_context(|| refused(&folder.path))?;
    Ok(&folder.path)
}

fn refused(folder: &Path) -> String {
    format!("cannot write to {}", folder.display())
}
