//! A probe of programs that speak the lines: the example client, with and without faults, and others that
//! are no clients.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const AUDITOR: &str = env!("CARGO_BIN_EXE_sottovoce-auditor");

/// Loud enough for a probe that is quick.
const PROGRAM: &str = r#"
name = "probed"
leader = "https://leader.example/"
helper = "https://helper.example/"
collector = "AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
window = "1 day"
min_batch_size = 5000

[privacy]
epsilon0 = 2.0
epsilon = 4.0

[metrics.helpful]
kind = "thumbs"
question = "Did this help?"
"#;

/// The example, which `cargo test` builds, and `cargo test --test stories` does not.
fn example() -> PathBuf {
    let folder = Path::new(AUDITOR).parent().unwrap();
    let path = folder.join("examples").join("probed_client");
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--example", "probed_client", "--target-dir"]);
        build.arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
    }
    path
}

/// The exit code, the rules that were broken, and what was said.
fn probe(client: &str, reports: u32) -> (Option<i32>, Vec<String>, String) {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("program.toml");
    fs::write(&program, PROGRAM).unwrap();
    let Output { status, stdout, stderr } = Command::new(AUDITOR)
        .arg("probe")
        .arg(&program)
        .args(["--json", "--exec", client, "--reports", &reports.to_string()])
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&stdout).unwrap_or_default();
    let faults = json[0]["judgement"]["faults"].as_array().cloned().unwrap_or_default();
    let rules = faults.iter().map(|fault| fault["rule"].as_str().unwrap().to_owned()).collect();
    (status.code(), rules, String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn a_right_client_is_not_suspected_and_each_fault_is_named() {
    let client = example().display().to_string();
    let (code, rules, error) = probe(&client, 4096);
    assert_eq!((code, &rules[..]), (Some(3), &[][..]), "not decided by so few: {error}");
    for (fault, rule) in [("reuse", "dependent"), ("retry", "redrawn-on-retry")] {
        let (code, rules, error) = probe(&format!("{client} --fault {fault}"), 100_000);
        assert_eq!(code, Some(1), "{fault}: {rules:?} {error}");
        assert!(rules.iter().any(|found| found == rule), "{fault}: {rules:?}");
    }
}

#[test]
fn what_is_no_client_is_neither_right_nor_wrong() {
    for (command, told) in [
        (
            "echo hello",
            "the client must write {\"report\": …} with base64url, and wrote: \"hello\"",
        ),
        ("true", "the client exited, or closed its standard output, before it had responded"),
        (
            "/nowhere/client --fault none",
            "the client \"/nowhere/client --fault none\" cannot be run",
        ),
    ] {
        let (code, rules, error) = probe(command, 4096);
        assert_eq!((code, rules.len()), (Some(3), 0), "{command}: {error}");
        assert!(error.contains(told) && error.contains("helpful"), "{command}: {error}");
    }
}
