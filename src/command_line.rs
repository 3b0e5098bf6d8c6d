//! What all binaries say alike when something goes wrong.

use sottovoce_dap::printable::lines;
use sottovoce_whole_file::{self as whole_file, Readers};
use std::{
    io::{ErrorKind, Write},
    path::Path,
    process::ExitCode,
};

/// Shows an error with what it was about, and turns the result into an exit code: 0 for success,
/// 1 for failure. Misuse of the command line ends with 2 before anything runs.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", story(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes; those that an error has quoted already are not told twice. It may quote
/// others, and is made fit for a terminal.
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

/// Prints data for whoever reads standard output; no error if they have stopped reading.
pub fn print(text: impl std::fmt::Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Writes a new file that only its owner may read; never over one that is there.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    write_new(path, text, Readers::Owner)
}

/// Writes a new file; never over one that is there.
pub fn write_new(path: &Path, text: &str, readers: Readers) -> anyhow::Result<()> {
    // Under its own name only once it is whole: half a key would be taken for one.
    whole_file::create(path, text.as_bytes(), readers).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{} is there already; move it away first", path.display())
        }
        _ => anyhow::Error::new(error).context(format!("{} cannot be made", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn no_cause_is_told_twice() {
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
    fn a_secret_is_never_written_over_another() {
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
