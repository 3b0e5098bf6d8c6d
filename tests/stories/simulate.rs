//! The simulator's binary: from a program and a scenario to figures beside the truth.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const PROGRAM: &str = r#"
name = "story"
leader = "https://leader.example/"
helper = "https://helper.example/"
collector = "AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
window = "1 hour"
grace = "10 minutes"
min_batch_size = 100

[privacy]
epsilon = 5.0

[dimensions.segment]
kind = "private"
values = ["new", "returning"]

[metrics.helpful]
kind = "thumbs"
question = "Did this help?"
dimensions = ["segment"]

[metrics.behaviour]
kind = "signals"
question = "What happened?"
signals = ["copied", "edited"]
"#;

/// One response a window, so that what a device reports is its user's doing alone.
const SCENARIO: &str = r#"
consent = 0.9
offline = 0.1
changed = 0.2
lost_answer = 0.1

[[segments]]
share = 1.0
satisfied = 0.9
values = { segment = "new" }

[metrics.helpful.satisfied]
rate = 0.5
says = { up = 1.0 }

[metrics.helpful.unsatisfied]
rate = 1.0
says = { down = 1.0 }

[dishonest]
forged = 0.1
metric = "helpful"
bin = "new · up"
"#;

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn with(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("program.toml"), PROGRAM).unwrap();
        fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
        command.current_dir(self.folder.path()).args(["simulate", "program.toml"]);
        command.args(arguments).output().unwrap()
    }

    fn simulate(&self, seed: &str) -> Value {
        let scenario = ["--scenario", "scenario.toml", "--json", "out.json"];
        let size = ["--devices", "600", "--windows", "3", "--seed", seed];
        let output = self.run(&[scenario.as_slice(), &size].concat());
        assert!(output.status.success(), "{}", said(&output.stderr));
        assert!(said(&output.stdout).contains("of the 95 % intervals hold the truth"));
        read(&self.path("out.json"))
    }
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn each<'a>(outcome: &'a Value, key: &'a str) -> Vec<&'a Value> {
    let releases = outcome["releases"].as_array().unwrap().iter();
    releases.flat_map(|release| release["bins"].as_array().unwrap()).map(|bin| &bin[key]).collect()
}

#[test]
fn released_figures_stand_beside_the_truth_and_forged_votes_are_refused() {
    let outcome = Desk::with(SCENARIO).simulate("3");
    let count = |key: &str| outcome[key].as_u64().unwrap();
    assert!((480..=600).contains(&count("took_part")), "{outcome}");
    assert!((100..=200).contains(&count("forged")), "{outcome}");
    assert_eq!((count("refused"), count("late")), (count("forged"), 0));
    assert!(count("replayed") > 10 && count("lost") > count("replayed") / 2, "{outcome}");
    assert_eq!(outcome["problems"].as_array().unwrap().len(), 0);

    assert_eq!(outcome["releases"].as_array().unwrap().len(), 6);
    let reports = |release: &Value| release["reports"].as_u64().unwrap();
    let releases = outcome["releases"].as_array().unwrap();
    assert_eq!(releases.iter().map(reports).sum::<u64>(), count("accepted"));
    for release in releases {
        assert_eq!(release["honest"], release["reports"], "{release}");
        assert!(release["everybody"].as_u64().unwrap() > reports(release), "silence counts too");
    }
    let helpful = releases.iter().find(|release| release["task"] == "helpful").unwrap();
    assert_eq!(helpful["bins"][3]["label"], "returning · up");
    assert_eq!(helpful["bins"][3]["truth"], 0.0, "nobody is returning");
    let everybody = helpful["measure"]["everybody"].as_f64().unwrap();
    let truth = helpful["measure"]["truth"].as_f64().unwrap();
    assert!((everybody - 0.9).abs() < 0.06 && (truth - 0.45 / 0.55).abs() < 0.1, "{helpful}");

    let accuracy = &outcome["accuracy"];
    assert_eq!(accuracy["figures"], 3 * (5 + 3));
    assert!(accuracy["coverage"].as_f64().unwrap() > 0.7, "{accuracy}");
    let error = |key: &str| accuracy[key].as_f64().unwrap();
    assert!(error("stated_error") < error("planned_error"), "{accuracy}");
}

#[test]
fn a_seed_gives_the_same_users_and_never_the_same_noise() {
    let desk = Desk::with(&SCENARIO.replace("lost_answer = 0.1", ""));
    let [one, same, other] = ["1", "1", "2"].map(|seed| desk.simulate(seed));
    for key in ["truth", "everybody"] {
        assert_eq!(each(&one, key), each(&same, key));
        assert_ne!(each(&one, key), each(&other, key));
    }
    assert_ne!(each(&one, "estimate"), each(&same, "estimate"));
}

/// Ten windows and a budget of four: no window goes without figures, and each has its share of the devices.
#[test]
fn with_a_budget_of_some_windows_every_window_of_the_period_has_figures() {
    let desk = Desk::with(SCENARIO);
    let budget = "[budget]\nperiod = \"10 hours\"\nwindows = 4\n\n[dimensions";
    let program = PROGRAM.replacen("[dimensions", budget, 1);
    fs::write(desk.path("program.toml"), program).unwrap();
    let size = ["--devices", "1200", "--windows", "10", "--seed", "5"];
    let output =
        desk.run(&[&["--scenario", "scenario.toml", "--json", "out.json"][..], &size].concat());
    assert!(output.status.success(), "{}", said(&output.stderr));
    let words = said(&output.stdout);
    assert!(words.contains("each device takes part in 4 of the 10 windows"), "{words}");
    let outcome = read(&desk.path("out.json"));
    assert_eq!(outcome["participation"], serde_json::json!([4, 10]));
    let windows = outcome["releases"].as_array().unwrap();
    assert_eq!((windows.len(), outcome["too_small"].as_array().unwrap().len()), (2 * 10, 0));
    // Nine of ten consent and nine of ten forge nothing; nine of ten are there in each window: 350 or so of each
    // window, of which one in ten is not there when it is over.
    for release in windows {
        let reports = release["reports"].as_u64().unwrap();
        assert!((270..=460).contains(&reports), "{reports} in {}", release["window"]);
    }
    assert_eq!(outcome["problems"].as_array().unwrap().len(), 0, "{}", outcome["problems"]);
}

#[test]
fn the_example_scenario_runs_and_a_wrong_one_is_refused_at_its_line() {
    let desk = Desk::with(SCENARIO);
    let example = desk.run(&["--example-scenario"]);
    fs::write(desk.path("example.toml"), &example.stdout).unwrap();
    let output = desk.run(&["--scenario", "example.toml", "--devices", "200"]);
    assert!(output.status.success(), "{}", said(&output.stderr));

    fs::write(desk.path("wrong.toml"), "consent = 1\noffline = 1.2\n").unwrap();
    let output = desk.run(&["--scenario", "wrong.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let error = said(&output.stderr);
    assert!(error.contains("wrong.toml:2:11: a probability is from 0 to 1"), "{error}");
}
