//! The tools around a program file, as somebody meets them who begins: init, check, schema.

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

/// What a command printed; it must have gone well.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = sottovoce(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_new_program_can_be_checked_at_once_and_says_what_to_replace() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, file) in [("feedback", "program.toml"), ("red-team", "red.toml")] {
        let init = ["init", "--kind", kind, "--name", "support", "--output", file];
        assert_eq!(printed(folder.path(), &init), "", "standard output is for data");
        let words = printed(folder.path(), &["check", file]);
        assert!(words.starts_with("support: "), "{words}");
        for part in
            ["MIND", "https://leader.example/ is an example's", "key is an example's", "OVER TIME"]
        {
            assert!(words.contains(part), "{part} is not in {words}");
        }
        assert!(!printed(folder.path(), &["tasks", file]).is_empty());
    }
}

#[test]
fn what_is_there_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("program.toml"), "mine").unwrap();
    let refused = sottovoce(folder.path(), &["init"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("move it away"), "{refused:?}");
    assert_eq!(fs::read_to_string(folder.path().join("program.toml")).unwrap(), "mine");
    let refused = sottovoce(folder.path(), &["init", "--name", "Our App", "--output", "new.toml"]);
    assert!(text(&refused.stderr).contains("a-z, 0-9"), "{refused:?}");
    assert!(!folder.path().join("new.toml").exists());
}

#[test]
fn a_check_is_for_offices_for_users_and_for_machines() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init"]);
    let users = printed(folder.path(), &["check", "program.toml", "--for-users"]);
    assert!(users.starts_with("You are asked to take part in \"my-app\""), "{users}");
    let machine = json(&sottovoce(folder.path(), &["check", "program.toml", "--json"]));
    assert_eq!(machine["questions"][0]["kind"], "thumbs");
    assert_eq!(machine["at_worst"].as_array().unwrap().len(), 3);
    assert_eq!(machine["composed"][0]["trust"], "OC");
    let both = sottovoce(folder.path(), &["check", "program.toml", "--json", "--for-users"]);
    assert_eq!(both.status.code(), Some(2), "misuse of the command line");
}

#[test]
fn a_check_refuses_what_is_wrong_and_a_budget_that_allows_more_than_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init"]);
    let path = folder.path().join("program.toml");
    let program = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("window = \"1 day\"", "windw = \"1 day\"", "program.toml:18:1"),
        ("min_batch_size = 3000", "min_batch_size = 300", "use min_batch_size = "),
        ("windows = 45", "windows = 45\ncentral = { epsilon = 1.0, delta = 1e-6 }", "OAMC budget"),
    ] {
        assert!(program.contains(from), "{from}");
        fs::write(&path, program.replacen(from, to, 1)).unwrap();
        let refused = sottovoce(folder.path(), &["check", "program.toml"]);
        let err = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{to}");
        assert!(err.contains(words) && refused.stdout.is_empty(), "{to}: {err}");
    }
}

#[test]
fn the_schema_is_one_document_that_an_editor_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let schema = json(&sottovoce(folder.path(), &["schema"]));
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "sottovoce program");
    let kinds = schema["$defs"]["MetricTable"]["properties"]["kind"]["enum"].as_array().unwrap();
    for kind in ["thumbs", "joint", "finding"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}");
    }
}
