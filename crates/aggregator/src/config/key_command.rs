//! A command that prints the database key: for a key management service, an HSM's tool or a vault.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    fmt,
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// A program with its arguments, run without a shell. Only the program's name is ever shown: arguments may be
/// secrets themselves.
#[derive(Clone)]
pub struct KeyCommand {
    program: String,
    arguments: Vec<String>,
}

/// A command that gave no key.
#[derive(Debug, Error)]
pub enum KeyCommandError {
    /// It cannot be run.
    #[error(
        "database_key_command: {program} cannot be started: {source}; install it or correct the path"
    )]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with an error.
    #[error(
        "database_key_command: {program} failed ({status}); run it by hand as the server's user to see why: what it \
         prints is never shown here, since the key may be in it"
    )]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It does not end.
    #[error(
        "database_key_command: {program} did not end within {} s and was killed; it must print the key and exit \
         without asking anything", within.as_secs()
    )]
    TooSlow {
        /// The program.
        program: String,
        /// How long it may take.
        within: Duration,
    },
    /// It prints too much.
    #[error(
        "database_key_command: {program} printed more than {LONGEST} bytes; it must print only the keys, one a line"
    )]
    TooLong {
        /// The program.
        program: String,
    },
    /// It prints no text.
    #[error(
        "database_key_command: {program} printed bytes that are not UTF-8; it must print the key as `database new-key` does"
    )]
    NotText {
        /// The program.
        program: String,
    },
}

/// Bytes of keys: some dozens of them.
const LONGEST: usize = 4096;

/// How long a command may take: services answer in seconds.
pub const KEY_COMMAND_TIME: Duration = Duration::from_secs(30);

impl KeyCommand {
    /// Its program, for messages.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Makes a path of the program relative to `folder`; a bare name is looked up in `PATH`.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if self.program.contains('/') {
            self.program = folder.join(&self.program).to_string_lossy().into_owned();
        }
    }

    /// Runs the command; gives what it printed, wiped after use. It has no input, and what it says on standard
    /// error is dropped. It is killed after `within`.
    pub fn run(&self, within: Duration) -> Result<Zeroizing<String>, KeyCommandError> {
        let until = Instant::now() + within;
        let program = || self.program.clone();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| KeyCommandError::Start { program: program(), source })?;
        let ended =
            printed(&mut child, until).and_then(|bytes| Some((bytes, end(&mut child, until)?)));
        let Some((bytes, status)) = ended else {
            // Both fail only if it is gone already.
            let _ = child.kill();
            let _ = child.wait();
            return Err(KeyCommandError::TooSlow { program: program(), within });
        };
        match std::str::from_utf8(&bytes) {
            _ if bytes.len() > LONGEST => Err(KeyCommandError::TooLong { program: program() }),
            _ if !status.success() => Err(KeyCommandError::Failed { program: program(), status }),
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(KeyCommandError::NotText { program: program() }),
        }
    }
}

/// What a command prints, and a byte more than it may; nothing if it is not over in time. In a thread, since a
/// grandchild may hold the pipe open for as long as it likes.
fn printed(child: &mut Child, until: Instant) -> Option<Zeroizing<Vec<u8>>> {
    let pipe = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        // All of it at once: a buffer that grows would leave copies of the key.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
        let read = pipe.take(LONGEST as u64 + 1).read_to_end(&mut bytes);
        let _ = send.send(read.map(|_| bytes));
    });
    let left = until.saturating_duration_since(Instant::now());
    receive.recv_timeout(left).ok()?.ok()
}

/// How a command ended; nothing if it does not in time.
fn end(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl<'de> Deserialize<'de> for KeyCommand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut words = Vec::<String>::deserialize(deserializer)?.into_iter();
        let none = "database_key_command must be a program and its arguments, such as [\"vault\", \"kv\", \"get\"]";
        let program = words.next().filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| D::Error::custom(none))?;
        Ok(Self { program, arguments: words.collect() })
    }
}

impl fmt::Debug for KeyCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyCommand({} ..)", self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> KeyCommand {
        KeyCommand { program: "/bin/sh".to_owned(), arguments: vec!["-c".into(), script.into()] }
    }

    fn refused(script: &str) -> KeyCommandError {
        shell(script).run(KEY_COMMAND_TIME).unwrap_err()
    }

    #[test]
    fn what_a_command_prints_is_the_key() {
        let text = shell("printf 'key\\n'; echo other >&2").run(KEY_COMMAND_TIME).unwrap();
        assert_eq!(text.as_str(), "key\n");
    }

    #[test]
    fn a_command_that_fails_says_how_it_ended_and_nothing_that_it_printed() {
        let error = refused("echo hunter2; echo hunter2 >&2; exit 3");
        assert!(
            matches!(error, KeyCommandError::Failed { status, .. } if status.code() == Some(3))
        );
        let said = format!("{error} {error:?} {:?}", shell("hunter2"));
        assert!(said.contains("exit status: 3") && said.contains("/bin/sh"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(matches!(refused("kill -9 $$"), KeyCommandError::Failed { .. }));
    }

    #[test]
    fn a_command_that_prints_without_end_is_cut_off() {
        assert!(matches!(refused("exec yes"), KeyCommandError::TooLong { .. }));
        assert!(matches!(refused("printf '\\377'"), KeyCommandError::NotText { .. }));
    }

    #[test]
    fn a_command_that_waits_is_killed_and_so_is_one_whose_child_holds_the_pipe() {
        for script in ["exec sleep 600", "sleep 600 & exit 0", "exec >&-; exec sleep 600"] {
            let error = shell(script).run(Duration::from_millis(200)).unwrap_err();
            assert!(matches!(error, KeyCommandError::TooSlow { .. }), "{script}: {error}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let none =
            KeyCommand { program: "/nowhere/vault".into(), arguments: vec!["hunter2".into()] };
        let error = none.run(KEY_COMMAND_TIME).unwrap_err().to_string();
        assert!(error.contains("/nowhere/vault") && !error.contains("hunter2"), "{error}");
    }
}
