//! The program's own tools, from an empty folder to a program that a privacy office has read.

use super::collector::{json, text};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn sottovoce(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
    command.current_dir(folder).args(arguments).output().unwrap()
}

#[track_caller]
fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = sottovoce(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_program_to_begin_with_can_be_checked_planned_and_compiled_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    said(folder, &["init", "--name", "clinic"]);
    let channel = ["init", "--kind", "red-team", "--name", "probe", "--output", "channel.toml"];
    said(folder, &channel);
    for (file, tasks) in [
        (
            "program.toml",
            &[
                "helpful/version=current",
                "helpful/version=candidate",
                "behaviour",
                "helpful_by_copied",
            ][..],
        ),
        ("channel.toml", &["harm"]),
    ] {
        let compiled = said(folder, &["tasks", file]);
        let planned = said(folder, &["plan", file]);
        for task in tasks {
            for out in [&compiled, &planned] {
                assert!(out.lines().any(|line| line == *task), "{task} is not in\n{out}");
            }
        }
        let words = said(folder, &["check", file]);
        for part in ["WHAT LEAVES A DEVICE", "AT WORST", "in at most", "All reports of a period"] {
            assert!(words.contains(part), "{part} is not in\n{words}");
        }
        let explained = json(&sottovoce(folder, &["check", file, "--json"]));
        let composed = explained["budget"]["composed"].as_array().unwrap();
        assert_eq!(composed.len(), 3, "{explained}");
        let warnings = explained["warnings"].to_string();
        for part in ["leader.example", "helper.example", "keygen"] {
            assert!(warnings.contains(part), "what is to be replaced is named: {warnings}");
        }
    }
    assert!(said(folder, &["check", "program.toml"]).contains("1 device in 10 is held out"));
    assert!(said(folder, &["check", "channel.toml"]).contains("Gaussian noise"));
    let users = said(folder, &["check", "program.toml", "--for-users"]);
    assert!(users.starts_with("You are asked") && users.contains("Did this answer help?"));
}

#[test]
fn nothing_that_is_there_is_written_over_and_what_promises_too_much_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = folder.join("program.toml");
    fs::write(&file, "mine").unwrap();
    let refused = sottovoce(folder, &["init"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("program.toml is not written"), "{refused:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    let refused = sottovoce(folder, &["init", "--name", "My App", "--output", "other.toml"]);
    assert!(text(&refused.stderr).contains("a-z"), "{refused:?}");
    assert!(!folder.join("other.toml").exists());

    fs::remove_file(&file).unwrap();
    said(folder, &["init"]);
    let template = fs::read_to_string(&file).unwrap();
    let limit = "windows = 45\ncentral = { epsilon = 1.0, delta = 1e-6 }";
    fs::write(&file, template.replace("windows = 45", limit)).unwrap();
    let refused = sottovoce(folder, &["check", "program.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("allows more than it promises"), "{refused:?}");
    fs::write(&file, template.replace("share = 0.1", "share = 0.9")).unwrap();
    let refused = text(&sottovoce(folder, &["check", "program.toml"]).stderr);
    assert!(refused.contains("program.toml:") && refused.contains("at most 0.5"), "{refused}");
}

#[test]
fn editors_get_a_schema_that_knows_every_key() {
    let folder = tempfile::tempdir().unwrap();
    let schema: serde_json::Value =
        serde_json::from_str(&said(folder.path(), &["schema"])).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    assert!(schema["$schema"].as_str().is_some_and(|draft| draft.contains("2020-12")));
    for definition in schema["$defs"].as_object().unwrap().values() {
        let is_open = definition["type"] == "object" && definition["additionalProperties"] != false;
        assert!(!is_open, "{definition}");
    }
}
