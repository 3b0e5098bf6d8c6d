//! `sottovoce load --program`: invented users report to servers that run already.

use super::collector::{Parties, json, text};
use std::process::{Command, Output};

/// An hour, no grace, and a question with an observation beside it.
const PROGRAM: &str = r#"
window = "1 hour"
grace = "0 seconds"
min_batch_size = 20

[privacy]
epsilon = 4.0

[metrics.helpful]
kind = "rating"
question = "Did this help?"
levels = ["no", "somewhat", "yes"]

[metrics.behaviour]
kind = "signals"
question = "What was done with the answer?"
signals = ["copied", "abandoned"]
"#;

fn load(parties: &Parties, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
    command.arg("load").arg("--program").arg(&parties.program).args(arguments).output().unwrap()
}

#[test]
fn invented_users_report_once_to_each_metric_and_all_of_it_is_collected() {
    let parties = Parties::asking(PROGRAM);
    let secrets = parties.folder.path().join("collector.secrets.toml");
    let arguments = ["--devices", "30", "--secrets", secrets.to_str().unwrap(), "--json"];
    let driven = load(&parties, &arguments);
    assert!(driven.status.success(), "{}", text(&driven.stderr));
    let driven = json(&driven);
    assert_eq!(driven["devices"], 30);
    for task in driven["tasks"].as_array().unwrap() {
        assert_eq!((&task["sent"], &task["collected"]), (&30.into(), &30.into()), "{driven}");
    }
    // The collector gets the same again.
    let start = driven["window"].as_str().unwrap();
    let collected = parties.collect(&["--start", start, "--json"]);
    assert!(collected.status.success(), "{}", text(&collected.stderr));
    // What is collected takes no more reports.
    let again = load(&parties, &arguments);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("collected already"), "{}", text(&again.stderr));
}

#[test]
fn without_secrets_the_open_window_is_reported_at_no_more_than_the_rate() {
    let parties = Parties::asking(PROGRAM);
    let driven = load(&parties, &["--devices", "21", "--rate", "10", "--json"]);
    assert!(driven.status.success(), "{}", text(&driven.stderr));
    let driven = json(&driven);
    assert!(driven["seconds"].as_f64().unwrap() >= 2.0, "{driven}");
    assert!(driven["tasks"].as_array().unwrap().iter().all(|task| task["sent"] == 21), "{driven}");
    for (wrong, words) in [
        (&["--devices", "0"][..], "0 is not in 1.."),
        (&[], "--devices"),
        (&["--devices", "1", "--postgres"], "cannot be used with"),
    ] {
        let refused = load(&parties, wrong);
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
    }
}
