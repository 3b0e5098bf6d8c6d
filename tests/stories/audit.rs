//! An audit of real logs: two servers, a program that names their logs, and an auditor who trusts
//! nobody.

use super::{collector::Parties, server::poll};
use sottovoce_log::note::VerifierKey;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const AUDITOR: &str = env!("CARGO_BIN_EXE_sottovoce-auditor");

const METRIC: &str = r#"
window = "1 hour"
grace = "1 minute"
min_batch_size = 20

[privacy]
epsilon = 4.0

[metrics.first]
kind = "thumbs"
question = "Did this help?"
"#;

/// Has the proofs of its tasks written beside a program.
fn prove(parties: &Parties) -> std::path::PathBuf {
    let (program, output) = (&parties.program, parties.program.with_extension("proofs"));
    let done = auditor(&["prove", program.to_str().unwrap(), "--output", output.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    output
}

/// Names the logs' keys in the program, as its author would once the aggregators gave theirs. Neither a
/// task nor a manifest changes by that.
pub(crate) fn name_logs(parties: &Parties, more: &str) -> [VerifierKey; 2] {
    let [helper, leader] = &parties.servers;
    let key = |server: &super::server::Server| -> VerifierKey {
        let config = server.config.to_str().unwrap();
        let printed = server.run(&["log", "key", "-c", config]).stdout;
        String::from_utf8(printed).unwrap().trim().parse().unwrap()
    };
    let (leader, helper) = (key(leader), key(helper));
    let text = fs::read_to_string(&parties.program).unwrap();
    let table = format!("\n[log]\nleader = [\"{leader}\"]\nhelper = [\"{helper}\"]\n{more}\n");
    fs::write(&parties.program, text + &table).unwrap();
    [leader, helper]
}

fn auditor(arguments: &[&str]) -> Output {
    Command::new(AUDITOR).args(arguments).output().unwrap()
}

pub(crate) fn verify(program: &Path, more: &[&str]) -> (Option<i32>, serde_json::Value, String) {
    let program = program.to_str().unwrap();
    let done = auditor(&[&["verify", program, "--json"], more].concat());
    let json = serde_json::from_slice(&done.stdout).unwrap_or_default();
    (done.status.code(), json, String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn honest_servers_are_verified_and_each_figure_carries_its_proofs() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "required_by = [\"collector\", \"devices\"]");
    let state = parties.folder.path().join("audit.json");
    let state = ["--state", state.to_str().unwrap()];
    let (code, first, error) = verify(&parties.program, &state);
    assert_eq!(code, Some(0), "{first:#} {error}");
    prove(&parties);
    parties.report("first", 20);
    let collected = parties.collect(&["--json", "--start", &parties.window()]);
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
    let json: serde_json::Value = serde_json::from_slice(&collected.stdout).unwrap();
    let proofs = &json["metrics"][0]["proofs"];
    for side in ["leader", "helper"] {
        let proof = proofs[side]["proof"].as_str().unwrap();
        assert!(proof.starts_with("c2sp.org/tlog-proof@v1\n"), "{proof}");
    }
    let (code, second, _) = verify(&parties.program, &state);
    assert_eq!(code, Some(0), "{second:#}");
    assert_eq!(second["logs"][0]["releases"], 1);
    let new = |outcome: &serde_json::Value| outcome["logs"][0]["new"].as_u64().unwrap();
    assert!(new(&second) < new(&first) && new(&second) >= 1, "{second:#}");
    // What a machine did with it, people can read too.
    let table = parties.collect(&["--start", &parties.window()]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("logged as entry"), "{table}");
}

#[test]
fn devices_get_the_proofs_of_their_tasks_with_the_program() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "required_by = [\"devices\"]");
    let text = fs::read_to_string(prove(&parties)).unwrap();
    let read = sottovoce_program::Program::read(&parties.program).unwrap();
    sottovoce_client::logged::verify(&read, &text).unwrap();
    // A program that asks something else is proved by nothing of this.
    let other =
        fs::read_to_string(&parties.program).unwrap().replace("Did this help?", "Did it help?");
    let other = sottovoce_program::Program::parse("other.toml", &other).unwrap();
    let error = sottovoce_client::logged::verify(&other, &text).unwrap_err();
    assert!(error.to_string().contains("the proofs lack"), "{error}");
}

#[test]
fn a_figure_without_proofs_is_held_back_where_the_program_demands_them() {
    let parties = Parties::asking(METRIC);
    let [leader, _] = name_logs(&parties, "required_by = [\"collector\"]");
    parties.report("first", 20);
    let text = fs::read_to_string(&parties.program).unwrap();
    // The key of somebody else, under the leader's name.
    let stranger = VerifierKey::new(
        leader.name().clone(),
        leader.kind(),
        *"example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
            .parse::<VerifierKey>()
            .unwrap()
            .public_key(),
    );
    let forged = text.replace(&leader.to_string(), &stranger.unwrap().to_string());
    fs::write(&parties.program, &forged).unwrap();
    let refused = parties.collect(&["--start", &parties.window()]);
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("figures withheld") && error.contains("the leader's log"), "{error}");
    // Who does not insist gets the figures, and why they are not proved, also as a machine.
    fs::write(&parties.program, forged.replace("required_by", "# required_by")).unwrap();
    let collected = parties.collect(&["--json", "--start", &parties.window()]);
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
    let json: serde_json::Value = serde_json::from_slice(&collected.stdout).unwrap();
    let metric = &json["metrics"][0];
    assert_eq!(metric["proofs"], serde_json::Value::Null);
    let reason = metric["unproved"]["leader"].as_str().unwrap();
    assert!(reason.contains("the leader's log"), "{reason}");
    assert_eq!(metric["unproved"]["helper"], serde_json::Value::Null, "that one is fine");
    // Nothing is lost: with the right key the same batch is there.
    fs::write(&parties.program, text).unwrap();
    let collected = parties.collect(&["--start", &parties.window()]);
    assert!(collected.status.success(), "{}", String::from_utf8_lossy(&collected.stderr));
}

#[test]
fn what_cannot_be_looked_at_is_neither_right_nor_wrong() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "");
    let (code, _, error) = verify(&parties.program, &["--leader", "/nowhere"]);
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("/nowhere") && error.contains("could not be verified"), "{error}");
    parties.servers[0].kill();
    let (code, outcome, error) = verify(&parties.program, &[]);
    assert_eq!((code, &outcome), (Some(3), &serde_json::Value::Null), "{error}");
    assert!(error.contains("did not answer"), "{error}");
}

/// An archive of the leader's log, and what makes its checkpoint another than the one that was signed.
fn archive(parties: &Parties) -> (PathBuf, impl Fn()) {
    let archive = parties.folder.path().join("archive");
    let leader = &parties.servers[1];
    let config = leader.config.to_str().unwrap();
    let export = leader.run(&["log", "export", "-c", config, archive.to_str().unwrap()]);
    assert!(export.status.success());
    let checkpoint = archive.join("checkpoint");
    let alter = move || {
        let text = fs::read_to_string(&checkpoint).unwrap();
        let size = text.lines().nth(1).unwrap();
        fs::write(&checkpoint, text.replacen(&format!("\n{size}\n"), "\n1\n", 1)).unwrap();
    };
    (archive, alter)
}

#[test]
fn an_archive_that_was_altered_is_told_with_what_was_altered() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "");
    let (archive, alter) = archive(&parties);
    let place = ["--leader", archive.to_str().unwrap()];
    let (code, outcome, error) = verify(&parties.program, &place);
    assert_eq!(code, Some(0), "{outcome:#} {error}");
    alter();
    let (code, outcome, _) = verify(&parties.program, &place);
    assert_eq!(code, Some(1));
    let message = outcome["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("was changed"), "{message}");
    // What is wrong with one log shows, even if the other cannot be read.
    let (code, outcome, _) = verify(&parties.program, &[&place[..], &["--helper", "/no"]].concat());
    assert_eq!(code, Some(1));
    let rules: Vec<_> =
        outcome["findings"].as_array().unwrap().iter().map(|f| &f["rule"]).collect();
    assert!(rules.iter().any(|rule| *rule == "unverified"), "{outcome:#}");
}

/// Takes one call of a webhook: its head, and its body.
fn received(hook: &TcpListener) -> (String, Vec<u8>) {
    let (mut stream, _) = hook.accept().unwrap();
    let (mut told, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&buffer[..read]);
        let Some(end) = told.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(told[..end].to_vec()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let body = &told[end + 4..];
        if body.len() == length.parse::<usize>().unwrap() {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            return (head, body.to_vec());
        }
    }
}

#[test]
fn a_watch_calls_its_webhook_and_its_verdict_does_not_depend_on_that() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "");
    let (archive, alter) = archive(&parties);
    alter();
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", hook.local_addr().unwrap());
    let (program, secrets) =
        (parties.program.to_str().unwrap(), parties.folder.path().join("hook.toml"));
    let key = "a key that both sides have, and nobody else";
    fs::write(&secrets, format!("hmac_key = \"{key}\"\nbearer = \"a-token-of-this-story\"\n"))
        .unwrap();
    let place = ["--leader", archive.to_str().unwrap(), "--webhook", &url];
    let signed = ["--webhook-secrets", secrets.to_str().unwrap(), "--json"];
    let watch = [&["watch", program][..], &place, &signed].concat();
    let called = std::thread::spawn(move || received(&hook));
    assert_eq!(auditor(&watch).status.code(), Some(1));
    let (head, body) = called.join().unwrap();
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    assert!(head.contains("authorization: bearer a-token-of-this-story"), "{head}");
    // As the receiver would.
    let tag =
        ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_bytes()), &body);
    let tag = tag.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert!(head.contains(&format!("x-sottovoce-signature: sha256={tag}")), "{head}");
    let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&told["holds"], &told["what"]), (&false.into(), &"violation".into()));
    assert_eq!(told["programs"], serde_json::json!(["story"]));
    let finding = &told["findings"][0];
    assert_eq!((&finding["rule"], &finding["log"]), (&"log".into(), &"leader".into()), "{told:#}");
    sottovoce_program::parse_moment(told["time"].as_str().unwrap()).unwrap();
    // Nobody listens there any more.
    let done = auditor(&watch);
    assert_eq!(done.status.code(), Some(1));
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(error.contains("could not be called") && !error.contains(key), "{error}");
}

#[test]
fn a_report_is_written_also_if_a_log_cannot_be_read() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "");
    let output = parties.folder.path().join("audit");
    let program = parties.program.to_str().unwrap();
    let report = |more: &[&str]| {
        let line =
            ["report", program, "--output", output.to_str().unwrap(), "--auditor", "A. Auditor"];
        let done = auditor(&[&line[..], more].concat());
        let read = |end| fs::read_to_string(output.join(format!("story.{end}"))).unwrap();
        (done.status.code(), read("md"), read("html"), read("registry.yaml"))
    };
    let (code, markdown, html, registry) = report(&[]);
    assert_eq!(code, Some(0), "{markdown}");
    assert!(markdown.contains("No violation was found: both logs"), "{markdown}");
    assert!(markdown.contains("| audited by | A. Auditor |"), "{markdown}");
    assert!(html.contains("@media print") && registry.contains("publication_date: \"REPLACE"));
    let (code, markdown, ..) = report(&["--helper", "/nowhere"]);
    assert_eq!(code, Some(3), "{markdown}");
    assert!(markdown.contains("1 log could not be verified"), "{markdown}");
    assert!(markdown.contains("## What could not be read") && markdown.contains("/nowhere"));
}

#[test]
fn a_watch_ends_when_something_is_violated_and_says_so() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "");
    let state = parties.folder.path().join("watch.json");
    let program = parties.program.to_str().unwrap();
    let mut watch = Command::new(AUDITOR)
        .args(["watch", program, "--every", "1", "--state", state.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    poll("the first audit", || state.exists().then_some(()));
    assert!(watch.try_wait().unwrap().is_none(), "all is well");
    // The helper loses its database, and so its log begins anew.
    let helper = &parties.servers[0];
    helper.kill();
    for file in ["helper.db", "helper.db-wal", "helper.db-shm", "helper.key"] {
        let _ = fs::remove_file(parties.folder.path().join(file));
    }
    helper.start();
    let status = poll("the watch's end", || watch.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_watch_remembers_what_a_log_was_without_a_file() {
    let parties = Parties::asking(METRIC);
    name_logs(&parties, "");
    let leader = &parties.servers[1];
    let folder = parties.folder.path();
    let export = |name: &str| {
        let (config, to) = (leader.config.to_str().unwrap(), folder.join(name));
        let done = leader.run(&["log", "export", "-c", config, to.to_str().unwrap()]);
        assert!(done.status.success());
        to
    };
    let early = export("early");
    parties.report("first", 20);
    assert!(parties.collect(&["--start", &parties.window()]).status.success());
    let late = export("late");
    let (shown, printed) = (folder.join("shown"), folder.join("printed"));
    std::os::unix::fs::symlink(late, &shown).unwrap();
    let (program, place) = (parties.program.to_str().unwrap(), shown.to_str().unwrap());
    let mut watch = Command::new(AUDITOR)
        .args(["watch", program, "--leader", place, "--every", "1"])
        .stdout(fs::File::create(&printed).unwrap())
        .spawn()
        .unwrap();
    let told = |words: &str| fs::read_to_string(&printed).unwrap().contains(words).then_some(());
    poll("the first audit", || told("No violation found"));
    // An old copy, signed as it should be, in the place of what was seen.
    std::os::unix::fs::symlink(early, folder.join("next")).unwrap();
    fs::rename(folder.join("next"), &shown).unwrap();
    let status = poll("the watch's end", || watch.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    told("rolled back").expect("the reason");
}
