//! What all binaries have in common: errors, exit codes, and files on the command line.

pub mod file_argument;

use sottovoce_dap::printable::lines;
use sottovoce_whole_file::{self as whole_file, Readers};
use std::{
    io::{ErrorKind, Write},
    path::Path,
    process::ExitCode,
    sync::OnceLock,
};
use thiserror::Error;

/// An end that is neither success nor plain failure, with an exit code of its own.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct Ended {
    /// The exit code: 3 or more, for 2 is the command line's misuse.
    pub code: u8,
    /// What is said, for people.
    pub message: String,
}

impl Ended {
    /// An error that ends the program with `code`.
    pub fn with(code: u8, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { code, message: message.into() })
    }
}

/// Shows an error with what it was about, and turns the result into an exit code: 0 for success,
/// 1 for failure, others for an [`Ended`]. Misuse of the command line ends with 2 before anything runs.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let story = story(&error);
            match REPORT.get() {
                Some(report) => report(&story),
                None => eprintln!("error: {story}"),
            }
            error.downcast_ref().map_or(ExitCode::FAILURE, |ended: &Ended| ended.code.into())
        }
    }
}

/// Who is told of the error that ends the program, if it is not written to standard error.
static REPORT: OnceLock<fn(&str)> = OnceLock::new();

/// Has the error that ends the program reported by `report`, as a line of a log for example.
pub fn report_errors_by(report: fn(&str)) {
    let _ = REPORT.set(report);
}

/// The error with its causes, each once: a cause that an outer error quotes already is left out. Control
/// characters are replaced, since errors may quote other parties.
pub fn story(error: &anyhow::Error) -> String {
    let story = error.chain().fold(String::new(), |mut story, cause| {
        let cause = cause.to_string();
        if !story.contains(&cause) {
            story.push_str(if story.is_empty() { "" } else { ": " });
            story.push_str(&cause);
        }
        story
    });
    lines(&story)
}

/// Prints data on standard output. A closed pipe is no error.
pub fn print(text: impl std::fmt::Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes a new file that only its owner may read. An existing file is an error.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    write_new(path, text, Readers::Owner)
}

/// Writes a new file. An existing file is an error.
pub fn write_new(path: &Path, text: &str, readers: Readers) -> anyhow::Result<()> {
    // It gets its name only once it is complete: half a key would look like a key.
    whole_file::create(path, text.as_bytes(), readers).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{} already exists; move it away first", path.display())
        }
        _ => anyhow::Error::new(error).context(format!("cannot write {}", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn no_cause_is_printed_twice() {
        let inner = anyhow::anyhow!("the disk is full");
        let quoted = inner.context("saving failed (the disk is full)").context("task 7");
        assert_eq!(story(&quoted), "task 7: saving failed (the disk is full)");
        let plain: anyhow::Result<()> =
            Err(anyhow::anyhow!("no such file")).context("program.toml");
        assert_eq!(story(&plain.unwrap_err()), "program.toml: no such file");
        let quoted = anyhow::anyhow!("it says \u{202e}live\u{1b}[2J");
        assert_eq!(story(&quoted), "it says \u{fffd}live\u{fffd}[2J");
    }

    #[test]
    fn a_secret_never_overwrites_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        write_secret(&path, "first").unwrap();
        let error = write_secret(&path, "second").unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), "first");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_not_written_through_what_was_planted_beside_it() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, theirs) = (folder.path().join("secret"), folder.path().join("theirs"));
        std::fs::write(&theirs, "theirs").unwrap();
        symlink(&theirs, folder.path().join("secret.new")).unwrap();
        write_secret(&path, "ours").unwrap();
        assert_eq!(std::fs::read_to_string(theirs).unwrap(), "theirs");
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
