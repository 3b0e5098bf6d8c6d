//! What all binaries say alike when something goes wrong.

use anyhow::Context;
use std::{fs, io::Write, path::Path, process::ExitCode};

/// Shows an error with what it was about, and turns the result into an exit code: 0 for success,
/// 1 for failure. Misuse of the command line ends with 2 before anything runs.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a new file that only its owner may read; never over one that is there.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file =
        options.open(path).with_context(|| format!("{} cannot be made", path.display()))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
    Ok(())
}
