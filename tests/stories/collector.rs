//! The collector's binary: what people see of a program's batches, and what it keeps when some fail.

use super::server::{HELPER, LEADER, Server, free_port};
use sottovoce_client::report::Reporter;
use sottovoce_courier::uploader::Uploader;
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{
    Program,
    answer::{Answer, Given, Thumb},
};
use sottovoce_transport::http::HttpClient;
use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// Two metrics in windows of an hour, each with its own randomizer.
const METRICS: &str = r#"
window = "1 hour"
grace = "1 minute"
min_batch_size = 20

[privacy]
epsilon = 4.0

[metrics.first]
kind = "thumbs"
question = "Did this help?"

[metrics.second]
kind = "thumbs"
question = "And this?"
randomizer = "bits"
"#;

/// Everything that a program's parties have, by the program's own tools.
pub(crate) struct Parties {
    pub(crate) folder: TempDir,
    pub(crate) program: PathBuf,
    /// The helper and the leader. They run until they are dropped.
    pub(crate) servers: [Server; 2],
}

impl Parties {
    fn start(more: &str) -> Self {
        Self::asking(&format!("{more}{METRICS}"))
    }

    pub(crate) fn asking(rest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let keygen = Command::new(env!("CARGO_BIN_EXE_sottovoce")).arg("keygen").arg(path).output();
        let line = String::from_utf8(keygen.unwrap().stdout).unwrap();
        let (leader, helper) = (free_port(), free_port());
        let endpoints = format!(
            "name = \"story\"\nleader = \"http://127.0.0.1:{leader}/\"\n\
             helper = \"http://127.0.0.1:{helper}/\"\n"
        );
        let program = path.join("program.toml");
        fs::write(&program, format!("{endpoints}{line}{rest}")).unwrap();
        let server = |binary, role: &str, port| {
            let config = path.join(format!("{role}.toml"));
            let text = format!(
                "listen = \"127.0.0.1:{port}\"\ndatabase = \"{role}.db\"\n\
                 database_key = \"{role}.key\"\nsecrets = \"{role}.secrets.toml\"\n\
                 programs = [\"program.toml\"]\n"
            );
            fs::write(&config, text).unwrap();
            let server = Server::new(binary, port, config);
            server.start();
            server
        };
        let servers = [server(HELPER, "helper", helper), server(LEADER, "leader", leader)];
        Self { folder, program, servers }
    }

    /// Sends `ups` thumbs up and as many without an answer, two hours ago.
    pub(crate) fn report(&self, task: &str, ups: usize) {
        let answers = [Answer::given(Given::Thumbs(Thumb::Up)), Answer::none()];
        self.send(task, &answers.iter().cycle().take(2 * ups).cloned().collect::<Vec<_>>());
    }

    /// Sends answers as they were given two hours ago, with the proofs that are beside the program.
    fn send(&self, task: &str, answers: &[Answer]) {
        self.send_of(task, answers, 2);
    }

    /// Likewise of so many hours ago.
    pub(crate) fn send_of(&self, task: &str, answers: &[Answer], hours: u64) {
        let program = Program::read(&self.program).unwrap();
        let reporter = Reporter::new(program.task(task).unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let http = HttpClient::new(Duration::from_secs(30)).unwrap();
            let proofs = fs::read_to_string(self.program.with_extension("proofs")).ok();
            let uploader = Uploader::new(http, &program, proofs.as_deref(), 3).unwrap();
            let now =
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - hours * 3600;
            let keys = uploader.hpke_configs(now).await.unwrap();
            let mut rng = DeviceRng::new().unwrap();
            let mut reports = Vec::new();
            for answer in answers {
                reports.push(reporter.prepare(answer, now, &keys, &mut rng).unwrap());
            }
            let uploaded = uploader.upload(&reporter, &mut reports, now).await.unwrap();
            assert_eq!((uploaded.accepted, uploaded.refused.len()), (answers.len(), 0));
            assert!(reports.is_empty());
        });
    }

    pub(crate) fn collect(&self, arguments: &[&str]) -> Output {
        self.collector().args(["--patience", "60"]).args(arguments).output().unwrap()
    }

    fn collector(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce-collector"));
        command.arg(&self.program).arg("--secrets");
        command.arg(self.folder.path().join("collector.secrets.toml"));
        command
    }

    /// The start of the window that was reported in.
    pub(crate) fn window(&self) -> String {
        self.window_of(2)
    }

    /// The start of the window of so many hours ago.
    fn window_of(&self, hours: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - hours * 3600;
        sottovoce_program::format_moment(now - now % 3600)
    }
}

pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_metric_that_fails_keeps_no_other_back() {
    let parties = Parties::start("");
    parties.report("first", 3);
    parties.report("second", 40);
    let window = parties.window();
    let collected = parties.collect(&["--start", &window]);
    let (out, err) = (text(&collected.stdout), text(&collected.stderr));
    assert_eq!(collected.status.code(), Some(4), "some are collected: {err}");
    assert!(out.contains(&format!("second · 80 reports · {window}")), "{out}");
    assert!(out.contains("no answer") && out.contains("OAMC"), "{out}");
    let named = err.contains("first (") && err.contains(&format!("from {window} to "));
    assert!(named && err.contains("minimum of 20") && err.contains("1 of 2"), "{err}");
    // The first one grows and is collected then; the other says the same again.
    parties.report("first", 20);
    let again = json(&parties.collect(&["--start", &window, "--json"]));
    assert_eq!(again["metrics"][0]["reports"], 46);
    assert_eq!(again["metrics"][1]["reports"], 80);
    assert_eq!(again["metrics"][1]["start"], window);
    let figures = &again["findings"][1]["batches"][0]["figures"];
    assert_eq!(figures[0]["name"], "share of devices that answered");
    // What was written down is read back, and says the same.
    let file = parties.folder.path().join("releases.json");
    fs::write(&file, again.to_string()).unwrap();
    let analyse = |file: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
        command.arg("analyse").arg(&parties.program).arg(file).arg("--json").output().unwrap()
    };
    assert_eq!(json(&analyse(&file))["metrics"], again["findings"]);
    let nothing = analyse(&parties.program);
    assert!(text(&nothing.stderr).contains("what the collector writes"), "{nothing:?}");
}

/// Metrics whose answers are more than a choice; a budget so large that noise is rare.
const RICHER: &str = r#"
window = "1 hour"
grace = "1 minute"
min_batch_size = 20

[privacy]
epsilon0 = 18.0
epsilon = 18.0

[metrics.seen]
kind = "signals"
question = "What was done with the answer?"
signals = ["copied", "edited"]

[metrics.aspects]
kind = "ratings"
question = "How was it?"
aspects = ["accuracy", "tone"]
stars = 5

[metrics.turns]
kind = "count"
question = "How many turns did it take?"
max = 3

[metrics.problem]
kind = "triage"
question = "What was wrong?"
categories = ["bug", "prompt"]

[dimensions.cohort]
kind = "held-out"
share = 0.1
salt = "autumn"

[metrics.helpful]
kind = "thumbs"
question = "Did it help?"
dimensions = ["cohort"]

[metrics.both]
kind = "joint"
joins = ["helpful", "seen.copied"]
"#;

#[test]
fn every_kind_of_answer_goes_all_the_way() {
    let parties = Parties::asking(RICHER);
    let signals = |names: &[&str]| {
        Answer::given(Given::Signals(names.iter().map(|name| (*name).to_owned()).collect()))
    };
    let of = |answer: Answer, count: usize| vec![answer; count];
    let both = signals(&["copied", "edited"]);
    let seen = [of(both, 40), of(signals(&["copied"]), 30), of(Answer::none(), 30)].concat();
    parties.send("seen", &seen);
    let rated = Given::Ratings([("tone".to_owned(), "5 stars".to_owned())].into());
    parties.send("aspects", &[of(Answer::given(rated), 60), of(Answer::none(), 40)].concat());
    let turns = |count| Answer::given(Given::Count(count));
    parties.send("turns", &[of(turns(1), 50), of(turns(9), 50)].concat());
    let problem = |name: &str| Answer::given(Given::Triage(name.to_owned()));
    parties.send("problem", &[of(problem("bug"), 70), of(Answer::none(), 30)].concat());
    let up = Answer::given(Given::Thumbs(Thumb::Up));
    let cohorts = [
        of(up.clone().with_segment("cohort", "rest"), 60),
        of(up.with_segment("cohort", "held-out"), 40),
    ];
    parties.send("helpful", &cohorts.concat());
    let joint = |thumb: Option<Thumb>, copied: bool| {
        let copied = copied.then(|| Box::new(Given::Signals(["copied".to_owned()].into())));
        let first = thumb.map(|thumb| Box::new(Given::Thumbs(thumb)));
        Answer::given(Given::Joint { first, second: copied })
    };
    let [silent, content, not] =
        [joint(None, true), joint(Some(Thumb::Up), true), joint(Some(Thumb::Down), false)];
    parties.send(
        "both",
        &[of(silent, 20), of(content, 40), of(not, 20), of(Answer::none(), 20)].concat(),
    );

    let collected = json(&parties.collect(&["--start", &parties.window(), "--json"]));
    let expected = [
        ("seen", vec![("no answer", 30), ("copied", 70), ("edited", 40)]),
        ("aspects", vec![("no answer", 40), ("tone: 5 stars", 60), ("accuracy: 1 star", 0)]),
        ("turns", vec![("1", 50), ("3 or more", 50), ("0", 0)]),
        ("problem", vec![("bug", 70), ("prompt", 0), ("no answer", 30)]),
        ("helpful", vec![("rest · up", 60), ("held-out · up", 40), ("no answer", 0)]),
        ("both", vec![("nothing · copied", 20), ("up · copied", 40), ("down · nothing", 20)]),
    ];
    for (metric, (name, bins)) in collected["metrics"].as_array().unwrap().iter().zip(expected) {
        assert_eq!((metric["name"].as_str(), &metric["reports"]), (Some(name), &100.into()));
        for (label, truth) in bins {
            let all = metric["bins"].as_array().unwrap();
            let bin = all.iter().find(|bin| bin["label"] == label).unwrap();
            let estimate = bin["estimate"].as_f64().unwrap();
            // A bit of a signal is flipped once in 400 times, a choice never in practice.
            assert!((estimate - f64::from(truth)).abs() < 5.0, "{name} {label}: {bin}");
        }
    }
    let mean = &collected["findings"][2]["batches"][0]["figures"][1];
    assert_eq!(mean["name"], "mean, 3 and more taken as that");
    assert!((mean["value"].as_f64().unwrap() - 2.0).abs() < 0.2, "{mean}");
    let held_out = &collected["findings"][4]["batches"][0]["held_out"][0];
    assert_eq!(
        (&held_out["dimension"], &held_out["is_supported"]),
        (&"cohort".into(), &false.into())
    );
    // Those who copied are content, those who did neither are not: 60 % against 67 % of answers.
    let corrected = &collected["findings"][5]["batches"][0]["correction"]["corrected"]["value"];
    assert!((corrected.as_f64().unwrap() - 0.6).abs() < 0.05, "{corrected}");
}

/// Reporters of a small red team.
const CHANNEL: &str = r#"
kind = "red-team"
window = "1 hour"
grace = "1 minute"
min_batch_size = 20

[privacy]
epsilon0 = 18.0
epsilon = 18.0

[metrics.harm]
kind = "finding"
question = "What did you find, and how grave is it?"
categories = ["bias", "data leak"]
severities = ["mild", "serious", "grave"]
"#;

#[test]
fn what_a_red_team_found_is_counted_by_category_and_severity() {
    let parties = Parties::asking(CHANNEL);
    let found = |category: &str, severity: &str| {
        let (category, severity) = (category.to_owned(), severity.to_owned());
        Answer::given(Given::Finding { category, severity })
    };
    let of = |answer: Answer, count: usize| vec![answer; count];
    let reports = [
        of(found("bias", "mild"), 30),
        of(found("data leak", "grave"), 20),
        of(Answer::none(), 50),
    ];
    parties.send("harm", &reports.concat());
    let program = Program::read(&parties.program).unwrap();
    let encoding = program.task("harm").unwrap().encoding();
    let unknown = encoding.encode(&found("bias", "fatal")).unwrap_err().to_string();
    assert!(unknown.contains("mild, serious, grave"), "{unknown}");

    let collected = json(&parties.collect(&["--start", &parties.window(), "--json"]));
    let bins = collected["metrics"][0]["bins"].as_array().unwrap();
    for (label, truth) in [("no answer", 50), ("bias: mild", 30), ("data leak: grave", 20)] {
        let bin = bins.iter().find(|bin| bin["label"] == label).unwrap();
        assert!((bin["estimate"].as_f64().unwrap() - f64::from(truth)).abs() < 5.0, "{bin}");
    }
    let figures = &collected["findings"][0]["batches"][0]["figures"];
    for (name, truth) in
        [("share of grave among findings", 0.4), ("share of bias among findings", 0.6)]
    {
        let figure = figures.as_array().unwrap().iter().find(|figure| figure["name"] == name);
        let value = figure.unwrap_or_else(|| panic!("{figures}"))["value"].as_f64().unwrap();
        assert!((value - truth).abs() < 0.1, "{name}: {value}");
    }
}

#[test]
fn windows_are_united_only_if_each_is_full_and_the_refusal_says_what_to_do() {
    let parties = Parties::start("");
    let (small, full) = (parties.window_of(3), parties.window());
    parties.send_of("first", &[Answer::none(), Answer::given(Given::Thumbs(Thumb::Up))], 3);
    parties.report("first", 20);
    let both = ["--task", "first", "--start", &small, "--windows", "2"];
    let refused = parties.collect(&both);
    let err = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{err}");
    for part in ["invalidBatchSize", &small, "needs at least 20", "one by one"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(!err.contains(&full), "{err}");
    // More reports of the small one, and it is as if nothing had been.
    parties.send_of("first", &vec![Answer::none(); 18], 3);
    let united = json(&parties.collect(&[&both[..], &["--json"]].concat()));
    assert_eq!(united["metrics"][0]["reports"], 60);
}

#[test]
fn a_programs_grace_is_kept_by_its_aggregators_and_renewed_at_their_start() {
    let parties = Parties::asking(&METRICS.replace("1 minute", "5 hours"));
    parties.report("first", 20);
    let [patient, hasty] = ["5 hours", "1 minute"];
    let program = fs::read_to_string(&parties.program).unwrap();
    fs::write(&parties.program, program.replace(patient, hasty)).unwrap();
    let window = parties.window();
    let ask = ["--task", "first", "--start", &window, "--json"];
    // The collector holds a program of the same tasks, and would not wait.
    let err = text(&parties.collect(&ask).stderr);
    for part in ["batchInvalid", "18000 seconds: it", "can be collected from"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    for server in &parties.servers {
        server.kill();
        server.start();
    }
    let collected = json(&parties.collect(&ask));
    assert_eq!(collected["metrics"][0]["reports"], 40);
}

#[test]
fn leader_selected_batches_come_one_after_the_other() {
    let parties = Parties::start("batch_mode = \"leader-selected\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
    command.arg("analyse").arg(&parties.program);
    for ups in [12, 15] {
        for task in ["first", "second"] {
            parties.report(task, ups);
        }
        let batches = json(&parties.collect(&["--json"]));
        assert_eq!(batches["metrics"][0]["reports"], 2 * ups);
        assert_eq!(batches["metrics"][1]["reports"], 2 * ups);
        let file = parties.folder.path().join(format!("{ups}.json"));
        fs::write(&file, batches.to_string()).unwrap();
        command.arg(file);
    }
    // Both may begin in one window, and are two all the same.
    let found = json(&command.arg("--json").output().unwrap());
    let [first, second] = [0, 1].map(|index| &found["metrics"][0]["batches"][index]["batch"]);
    assert!(first.is_string() && second.is_string() && first != second, "{found}");
    let refused = parties.collect(&["--windows", "2"]);
    assert!(text(&refused.stderr).contains("leader selects"), "{refused:?}");
}

#[test]
fn a_window_that_may_still_grow_is_refused_in_the_words_it_was_asked_for() {
    let parties = Parties::start("");
    let refused = parties.collect(&["--start", "2999-01-01T00:00:00Z"]);
    let err = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(3), "not yet");
    assert!(err.contains("2999-01-01T00:00:00Z ends at 2999-01-01T01:00:00Z"), "{err}");
    let refused = parties.collect(&["--start", "2001-01-01T00:30:00Z"]);
    let err = text(&refused.stderr);
    assert!(err.contains("2001-01-01T00:00:00Z and 2001-01-01T01:00:00Z"), "{err}");
    let other = parties.folder.path().join("helper.secrets.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce-collector"));
    let output = command.arg(&parties.program).arg("--secrets").arg(other).output().unwrap();
    assert!(text(&output.stderr).contains("not a collector's file of secrets"), "{output:?}");
}

#[test]
fn the_doctor_agrees_with_the_leader_and_names_what_is_wrong() {
    let parties = Parties::start("");
    let secrets = parties.folder.path().join("collector.secrets.toml");
    let doctor = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce-collector"));
        let output = command.arg("doctor").arg(&parties.program).arg("--secrets").arg(&secrets);
        let output = output.output().unwrap();
        (output.status.code(), text(&[output.stdout, output.stderr].concat()))
    };
    let (code, said) = doctor();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("✓").count(), 2, "{said}");

    let good = fs::read_to_string(&secrets).unwrap();
    let at = good.find("collector_token = \"").unwrap() + "collector_token = \"".len();
    let wrong = format!("{}{}{}", &good[..at], "x".repeat(20), &good[at + 20..]);
    fs::write(&secrets, wrong).unwrap();
    let (code, said) = doctor();
    assert!(code == Some(1) && said.contains("rejects our bearer token"), "{said}");

    fs::write(&secrets, good).unwrap();
    let program = fs::read_to_string(&parties.program).unwrap();
    fs::write(&parties.program, program.replace("And this?", "Something else?")).unwrap();
    let (code, said) = doctor();
    assert!(code == Some(1) && said.contains("does not have this task"), "{said}");
    assert!(said.contains("1 of 2 tasks have problems"), "{said}");
    parties.servers[1].kill();
    let (code, said) = doctor();
    assert!(
        code == Some(1) && said.contains("2 of 2") && said.contains("did not answer"),
        "{said}"
    );
}

#[test]
fn a_leader_that_is_started_again_while_it_is_waited_for_costs_no_batch() {
    let parties = Parties::start("");
    let [helper, leader] = &parties.servers;
    parties.report("first", 15);
    // Nothing is collected without a helper: the collector waits.
    helper.kill();
    let window = parties.window();
    let mut collector = parties
        .collector()
        .args(["--task", "first", "--start", &window, "--patience", "80"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    super::server::poll("the collector's request", || {
        let listed = leader.tell(&["collections", "list"]);
        text(&listed.stdout).contains("pending").then_some(())
    });
    leader.kill();
    let mut line = String::new();
    BufReader::new(collector.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("did not answer") && line.contains("retrying for up to"), "{line}");
    leader.start();
    helper.start();
    let ended = collector.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stdout));
    assert!(text(&ended.stdout).contains("first"), "{}", text(&ended.stdout));
}

#[test]
fn a_collector_gives_up_when_its_patience_is_over_and_at_once_when_it_is_refused() {
    let parties = Parties::start("");
    parties.servers.iter().for_each(Server::kill);
    let window = parties.window();
    let arguments = ["--task", "first", "--start", &window];
    let ended = parties.collector().args(["--patience", "1"]).args(arguments).output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "not yet");
    let said = text(&ended.stderr);
    for words in ["gave up after retries for 1 s", "when it is back", "first (", &window] {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
    parties.servers[1].start();
    // A wrong token is not made right by waiting.
    let secrets = parties.folder.path().join("collector.secrets.toml");
    let kept = fs::read_to_string(&secrets).unwrap();
    let wrong: Vec<_> = kept
        .lines()
        .map(|line| match line.split_once("collector_token = ") {
            Some((before, _)) => format!("{before}collector_token = \"wrong\""),
            None => line.to_owned(),
        })
        .collect();
    assert_ne!(kept.trim_end(), wrong.join("\n").trim_end());
    fs::write(&secrets, wrong.join("\n")).unwrap();
    let ended = parties.collector().args(["--patience", "86400"]).args(arguments).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(!text(&ended.stderr).contains("retrying"), "{}", text(&ended.stderr));
}
