//! What is written for operators stays true: commands exist, and alerts name metrics that are there.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn binary(name: &str) -> Option<&'static str> {
    Some(match name {
        "sottovoce" => env!("CARGO_BIN_EXE_sottovoce"),
        "sottovoce-leader" => env!("CARGO_BIN_EXE_sottovoce-leader"),
        "sottovoce-helper" => env!("CARGO_BIN_EXE_sottovoce-helper"),
        "sottovoce-collector" => env!("CARGO_BIN_EXE_sottovoce-collector"),
        _ => return None,
    })
}

/// A command with its subcommands, and the flags that are given to it.
fn check(line: &str) {
    let mut words = line.split_whitespace().map(|word| word.trim_start_matches("/usr/local/bin/"));
    let Some(program) = words.next().and_then(binary) else { panic!("{line}: which program?") };
    let words: Vec<_> = words.take_while(|word| !matches!(*word, ">" | "|")).collect();
    let is_word = |word: &&&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let subcommands: Vec<_> =
        words.iter().take_while(|w| !w.starts_with('-')).filter(is_word).collect();
    let help = Command::new(program).args(&subcommands).arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    // An argument that looks like a word is not a subcommand.
    assert!(help.status.success() || subcommands.len() > 1, "{line}: {text}");
    for flag in words.iter().filter(|word| word.starts_with("--")) {
        assert!(text.contains(flag), "{line}: there is no {flag} in: {text}");
    }
}

/// The commands in a text's blocks of shell.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap().trim());
    lines.filter(|line| line.starts_with("sottovoce")).map(str::to_owned).collect()
}

#[test]
fn every_command_that_operators_are_told_exists() {
    let mut found = commands(&read("deploy/RUNBOOK.md"));
    found.extend(commands(&read("README.md")).into_iter().filter(|line| line.contains("-")));
    for role in ["leader", "helper"] {
        let unit = read(&format!("deploy/systemd/sottovoce-{role}.service"));
        let lines = unit.lines().filter_map(|line| line.strip_prefix("ExecStart"));
        found.extend(lines.map(|line| line.split_once('=').unwrap().1.to_owned()));
    }
    assert!(found.len() > 15, "{found:?}");
    found.iter().for_each(|line| check(line));
}

#[test]
fn every_metric_of_an_alert_is_exported() {
    let source = read("src/aggregator/metrics.rs");
    let exported: BTreeSet<_> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .collect();
    let alerts = read("deploy/prometheus/alerts.yml");
    let named: BTreeSet<_> = alerts
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter_map(|word| word.strip_prefix("sottovoce_"))
        .collect();
    assert!(named.len() >= 5, "{named:?}");
    for name in named {
        let bare = name.strip_suffix("_total").unwrap_or(name);
        assert!(exported.contains(bare), "sottovoce_{name} is not exported");
    }
}

#[test]
fn every_alert_leads_to_a_section_of_the_runbook() {
    let runbook = read("deploy/RUNBOOK.md");
    let anchors: BTreeSet<_> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    let alerts = read("deploy/prometheus/alerts.yml");
    let targets: Vec<_> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: \"RUNBOOK.md#"))
        .map(|rest| rest.trim_end_matches('"'))
        .collect();
    assert_eq!(targets.len(), alerts.matches("- alert:").count());
    for target in targets {
        assert!(anchors.contains(target), "no section {target}");
    }
}
