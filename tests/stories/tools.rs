//! The tools around a program file, as somebody meets them who begins: init, check, schema.

use super::collector::{json, text};
use sottovoce_program::Program;
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
        let init = ["init", file, "--kind", kind, "--name", "support"];
        assert_eq!(printed(folder.path(), &init), "", "standard output is for data");
        let words = printed(folder.path(), &["check", file]);
        assert!(words.starts_with("support: "), "{words}");
        for part in [
            "WARNINGS",
            "https://leader.example/ is a placeholder",
            "key is a placeholder",
            "WHAT ONE DEVICE RISKS",
        ] {
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
    assert!(text(&refused.stderr).contains("--force"), "{refused:?}");
    assert_eq!(fs::read_to_string(folder.path().join("program.toml")).unwrap(), "mine");
    let refused = sottovoce(folder.path(), &["init", "new.toml", "--name", "Our App"]);
    assert!(text(&refused.stderr).contains("a-z, 0-9"), "{refused:?}");
    assert!(!folder.path().join("new.toml").exists());
}

/// As people type it: a file, or nothing at all.
#[test]
fn a_new_program_goes_where_it_is_told_under_a_name_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("Chat App");
    fs::create_dir(&app).unwrap();
    for (words, file, name) in [
        (&["init"][..], "program.toml", "chat-app"),
        (&["init", "support.toml"], "support.toml", "support"),
        (&["init", "-o", "other.toml"], "other.toml", "other"),
        (&["init", "other.toml", "--force", "--name", "again"], "other.toml", "again"),
    ] {
        printed(&app, words);
        let program = fs::read_to_string(app.join(file)).unwrap();
        assert!(program.contains(&format!("name = \"{name}\"\n")), "{words:?}: {program}");
    }
}

/// For packagers: what they install beside the five binaries.
#[test]
fn completions_and_manual_pages_are_of_all_binaries() {
    let all = [
        "sottovoce",
        "sottovoce-leader",
        "sottovoce-helper",
        "sottovoce-collector",
        "sottovoce-auditor",
    ];
    let folder = tempfile::tempdir().unwrap();
    for (shell, start, end) in
        [("bash", "", ".bash"), ("zsh", "_", ""), ("fish", "", ".fish"), ("elvish", "", ".elv")]
    {
        let said = printed(folder.path(), &["completions", shell, shell]);
        for name in all {
            let file = format!("{shell}/{start}{name}{end}");
            assert!(said.contains(&file), "{file} is not in {said}");
            let script = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(script.contains(name), "{script}");
        }
    }
    let said = printed(folder.path(), &["man", "man1"]);
    for name in all {
        assert!(said.contains(&format!("man1/{name}.1")), "{said}");
        let page = fs::read_to_string(folder.path().join(format!("man1/{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let page = folder.path().join("man1/sottovoce-leader-batches-repair.1");
    assert!(fs::read_to_string(page).unwrap().contains("BATCH"));
}

#[test]
fn a_check_is_for_offices_for_users_and_for_machines() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init", "--name", "my-app"]);
    let users = printed(folder.path(), &["check", "program.toml", "--for-users"]);
    assert!(users.starts_with("You are asked to take part in \"my-app\""), "{users}");
    let machine = json(&sottovoce(folder.path(), &["check", "program.toml", "--json"]));
    assert_eq!(machine["questions"][0]["kind"], "thumbs");
    assert_eq!(machine["at_worst"].as_array().unwrap().len(), 3);
    assert_eq!(machine["composed"][0]["trust"], "OC");
    let period = &machine["period"];
    assert_eq!((&period["windows"], &period["of_windows"]), (&1.into(), &13.into()));
    assert!(period["guarantees"][2]["epsilon"].as_f64().unwrap() <= 1.0, "{period}");
    assert!(machine["rhythm"]["devices_needed"].as_u64().unwrap() <= 100_000);
    let both = sottovoce(folder.path(), &["check", "program.toml", "--json", "--for-users"]);
    assert_eq!(both.status.code(), Some(2), "misuse of the command line");
}

#[test]
fn a_program_is_compiled_for_devices_under_the_name_that_it_has_or_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    printed(folder.path(), &["init", "support.toml"]);
    printed(folder.path(), &["compile", "support.toml"]);
    printed(folder.path(), &["compile", "support.toml", "-o", "device.bin"]);
    let form = fs::read(path("support.svp")).unwrap();
    assert_eq!(form, fs::read(path("device.bin")).unwrap(), "the same program is the same bytes");
    let program = Program::from_device_form(&form).unwrap();
    let tasks = json(&sottovoce(folder.path(), &["tasks", "support.toml", "--json"]));
    let ids =
        tasks["tasks"].as_array().unwrap().iter().map(|task| task["task_id"].as_str().unwrap());
    let devices = program.tasks().iter().map(|task| task.task_id.to_string());
    assert!(ids.eq(devices), "the tasks that the servers have");
    // What was there is replaced, but not by what is refused.
    let text = fs::read_to_string(path("support.toml")).unwrap();
    fs::write(path("support.toml"), text.replace("min_batch_size", "max_batch_size")).unwrap();
    let refused = sottovoce(folder.path(), &["compile", "support.toml"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("max_batch_size"));
    assert_eq!(fs::read(path("support.svp")).unwrap(), form);
}

#[test]
fn a_check_refuses_what_is_wrong_and_a_budget_that_allows_more_than_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init"]);
    let path = folder.path().join("program.toml");
    let program = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("window = \"7 days\"", "windw = \"7 days\"", "program.toml:20:1"),
        ("min_batch_size = 3500", "min_batch_size = 300", "use min_batch_size = "),
        ("\nwindows = 1\n", "\nwindows = 2\n", "most devices (OAMC)"),
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
fn a_new_program_is_one_for_a_hundred_thousand_devices_and_says_so_to_fewer() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init"]);
    let plan =
        json(&sottovoce(folder.path(), &["plan", "program.toml", "--devices", "100000", "--json"]));
    assert!(plan["all_batches"].as_f64().unwrap() >= 0.99, "{plan}");
    assert!(plan["period"]["guarantees"][2]["epsilon"].as_f64().unwrap() <= 1.0);
    let few = sottovoce(folder.path(), &["plan", "program.toml", "--devices", "50000"]);
    let err = text(&few.stderr);
    assert!(
        err.contains("no window reaches min_batch_size") && err.contains("devices would be enough"),
        "{err}"
    );
    let words = printed(folder.path(), &["tasks", "program.toml"]);
    let [period, report] = ["over 91 days, with all metrics", "one report in one batch"]
        .map(|p| words.find(p).unwrap());
    assert!(period < report, "{words}");
}

#[test]
fn what_a_plan_proposes_can_be_pasted_and_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    printed(folder.path(), &["init"]);
    let asked = ["plan", "program.toml", "--devices", "20000", "--precision", "4pp", "--json"];
    let proposal = json(&sottovoce(folder.path(), &asked));
    let path = folder.path().join("program.toml");
    let pasted = paste(&fs::read_to_string(&path).unwrap(), proposal["toml"].as_str().unwrap());
    fs::write(&path, pasted).unwrap();
    let checked = json(&sottovoce(folder.path(), &["check", "program.toml", "--json"]));
    assert_eq!(checked["period"], proposal["period"]);
    let plan =
        json(&sottovoce(folder.path(), &["plan", "program.toml", "--devices", "20000", "--json"]));
    for part in ["period", "min_batch_size", "window_seconds"] {
        assert_eq!(plan[part], proposal[part], "{part}");
    }
    assert!(plan["all_batches"].as_f64().unwrap() >= 0.99);
    for metric in plan["metrics"].as_array().unwrap() {
        assert!(metric["half_width"].as_f64().unwrap() <= 0.04, "{metric}");
    }
}

/// A program with lines in the place of those of the same key in the same table; new ones first in it.
fn paste(program: &str, lines: &str) -> String {
    let mut program: Vec<String> = program.lines().map(str::to_owned).collect();
    let mut table = 0;
    for line in lines.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('[') {
            table = program.iter().position(|known| known == line).unwrap() + 1;
            continue;
        }
        let key = &line[..=line.find('=').unwrap()];
        let end = program[table..].iter().position(|known| known.starts_with('['));
        let end = end.map_or(program.len(), |end| table + end);
        match program[table..end].iter().position(|known| known.starts_with(key)) {
            Some(found) => line.clone_into(&mut program[table + found]),
            None => program.insert(table, line.to_owned()),
        }
    }
    program.join("\n") + "\n"
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
