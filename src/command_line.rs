//! What all binaries say alike when something goes wrong.

use std::process::ExitCode;

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
