//! Programs that do not do as they are told, as scripts of a few lines.

use super::*;
use crate::probe::{client::Library, tests::rating};
use sottovoce_program::Program;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};
use tempfile::TempDir;

/// A program to probe, and a folder for a client of it.
struct Setting {
    program: Program,
    aggregators: TestAggregators,
    folder: TempDir,
}

impl Setting {
    fn new() -> Self {
        let program = rating();
        let aggregators = TestAggregators::new(&program.tasks()[0]).unwrap();
        Self { program, aggregators, folder: TempDir::new().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client that is this script.
    fn client(&self, script: &str, patience: Duration) -> Executable {
        let path = self.file("client");
        fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", self.folder.path().display()))
            .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let (task, command) = (&self.program.tasks()[0], path.display().to_string());
        Executable::start(&command, "name = \"probed\"", task, &self.aggregators, patience).unwrap()
    }

    /// A line with a right report, in the file `line`.
    fn line(&self) {
        let mut library = Library::new(&self.program.tasks()[0], &self.aggregators).unwrap();
        let report = library.reports(&[&Answer::none()], later()).unwrap().remove(0);
        let line = format!("{{\"report\":\"{}\"}}\n", URL_SAFE_NO_PAD.encode(report));
        fs::write(self.file("line"), line).unwrap();
    }
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// Long for a script that has only to begin, short for whoever waits.
const PATIENCE: Duration = Duration::from_secs(4);
/// Never waited for.
const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_program_that_is_silent_is_not_waited_for() {
    let setting = Setting::new();
    let mut client = setting.client("exec sleep 600", PATIENCE);
    let error = client.reports(&[&Answer::none()], later()).unwrap_err();
    assert!(matches!(error, ClientError::Silent(PATIENCE)), "{error}");
}

#[test]
fn a_program_that_answers_without_reading_is_not_told_for_ever() {
    let setting = Setting::new();
    setting.line();
    let script = "while :; do cat line line line line; done";
    let mut client = setting.client(script, PATIENCE);
    let none = Answer::none();
    let error = client.reports(&vec![&none; 20_000], later()).unwrap_err();
    assert!(matches!(error, ClientError::Deaf(PATIENCE)), "{error}");
}

#[test]
fn a_line_without_an_end_is_not_read_to_its_end() {
    let setting = Setting::new();
    let mut client = setting.client("exec cat /dev/zero", LONG);
    let error = client.reports(&[&Answer::none()], later()).unwrap_err();
    assert!(matches!(error, ClientError::Long(_)), "{error}");
}

#[test]
fn what_a_program_says_is_told_without_its_control_characters() {
    let setting = Setting::new();
    let mut client = setting.client("printf '\\033[2Jno report\\n'", LONG);
    let error = client.reports(&[&Answer::none()], later()).unwrap_err().to_string();
    assert!(error.contains("and wrote") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_deadline_comes_before_patience_ends() {
    let setting = Setting::new();
    setting.line();
    let mut client = setting.client("cat line line line; exec sleep 600", LONG);
    let (none, began) = (Answer::none(), Instant::now());
    let reports = client.reports(&[&none; 9], began + Duration::from_secs(1)).unwrap();
    assert!(reports.len() <= 3, "{}", reports.len());
    let retried = client.retried(&none, Instant::now()).unwrap();
    assert!(retried.is_none() && began.elapsed() < Duration::from_secs(60));
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_is_ended_with_what_it_started() {
    let setting = Setting::new();
    setting.line();
    let script = "sleep 600 & echo $! >child; echo $$ >self; cat line; cat >input; wait";
    let mut client = setting.client(script, LONG);
    client.reports(&[&Answer::none()], later()).unwrap();
    client.restart().unwrap();
    client.reports(&[&Answer::none()], later()).unwrap();
    drop(client);
    assert!(fs::read_to_string(setting.file("input")).unwrap().starts_with("{\"program\":"));
    for name in ["child", "self"] {
        let id = fs::read_to_string(setting.file(name)).unwrap();
        let until = later();
        while runs(id.trim()) {
            assert!(Instant::now() < until, "{name} still runs");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether it does more than wait to be buried by whoever inherited it.
#[cfg(target_os = "linux")]
fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}
