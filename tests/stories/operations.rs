//! What an operator does and sees: looks in, lists, asks the doctor, turns keys.

use crate::{
    device::Keys,
    http::Ask,
    server::{Server, free_port, poll},
    task::{TaskSpec, sample},
    world::{World, WorldOptions, seeded},
};
use reqwest::Method;
use serde_json::Value;
use sottovoce_dap::{media_type::MediaType, problem::ProblemType, upload::ReportError};
use std::{fs, process::Output};

fn succeeds(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[track_caller]
fn fails(output: &Output, words: &[&str]) {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in words {
        assert!(said.contains(words), "no {words:?} in: {said}");
    }
}

/// Runs a command of the server's about its own configuration.
fn tell(server: &Server, command: &[&str]) -> Output {
    server.tell(command)
}

fn admin(port: u16) -> String {
    format!("\n[admin]\nlisten = \"127.0.0.1:{port}\"\n")
}

#[test]
fn metrics_tell_what_was_accepted_rejected_and_released() {
    let ports = [free_port(), free_port()];
    let world = World::start(WorldOptions { tables: ports.map(admin), ..Default::default() });
    let look =
        |at: usize, path: &str| Ask::get(&format!("http://127.0.0.1:{}/{path}", ports[at])).send();
    assert_eq!(look(0, "readyz").status, 200);
    let measurements = sample(&world.task().configuration.vdaf, 7, &mut seeded(1));
    let reports = world.reports(&measurements);
    world.upload_all(&reports);
    assert_eq!(world.upload(&reports[..2]), [ReportError::ReportReplayed; 2]);
    world.expect(&measurements);

    let task = format!("task=\"{}\",name=\"\",program=\"\"", world.task().id);
    let expect = |at: usize, lines: &[String]| {
        poll("metrics", || {
            let text = look(at, "metrics").text();
            lines.iter().all(|line| text.contains(line)).then_some(())
        });
    };
    let rejected = format!("{{{task},stage=\"upload\",reason=\"report_replayed\"}} 2");
    expect(
        0,
        &[
            format!("sottovoce_reports_accepted_total{{{task}}} 7"),
            format!("sottovoce_reports_rejected_total{rejected}"),
            format!("sottovoce_reports_aggregated_total{{{task}}} 7"),
            format!("sottovoce_releases_total{{{task}}} 1"),
            format!("sottovoce_waiting_reports{{{task}}} 0"),
        ],
    );
    expect(
        1,
        &[
            format!("sottovoce_reports_accepted_total{{{task}}} 7"),
            format!("sottovoce_reports_aggregated_total{{{task}}} 7"),
            format!("sottovoce_releases_total{{{task}}} 1"),
        ],
    );
    let url = format!("http://127.0.0.1:{}/metrics", ports[0]);
    for (accept, media_type, is_open) in [
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text",
            true,
        ),
        ("text/plain", "text/plain; version=0.0.4", false),
        ("*/*", "text/plain; version=0.0.4", false),
    ] {
        let answer = Ask::get(&url).header("accept", accept).send();
        assert!(answer.header("content-type").unwrap().starts_with(media_type), "{accept}");
        let text = answer.text();
        assert_eq!(text.ends_with("# EOF\n"), is_open, "{text}");
        assert_eq!(text.contains("# TYPE sottovoce_reports_accepted counter"), is_open);
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
        assert!(text.contains("route=\"/tasks/{task_id}/reports\",code=\"2xx\"} 2"), "{text}");
    }
    // Strangers do not see them.
    let outside = format!("http://127.0.0.1:{}/metrics", world.leader.port);
    assert_eq!(Ask::get(&outside).send().status, 404);
}

#[test]
fn the_log_level_is_changed_while_the_server_runs() {
    let port = free_port();
    let tables = [admin(port), String::new()];
    let world = World::start(WorldOptions { tables, ..Default::default() });
    let set = |filter: &str| {
        let url = format!("http://127.0.0.1:{port}/log");
        Ask::new(Method::PUT, &url).body(filter.as_bytes().to_vec()).send()
    };
    let refused = set("a=b=c");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("info"), "{}", refused.text());
    assert!(!world.leader.log().contains("DEBUG"));
    assert_eq!(set("debug").status, 200);
    Ask::get(&format!("http://127.0.0.1:{}/hpke_config", world.leader.port)).send();
    world.leader.wait_for_log("DEBUG");
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let limits = "requests_per_second = 1\nrequest_burst = 3";
    let world = World::start(WorldOptions { limits, ..Default::default() });
    let url = format!("http://127.0.0.1:{}/hpke_config", world.leader.port);
    let refused = poll("a refusal", || {
        let answer = Ask::get(&url).send();
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.problem().status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    // The helper's leader, which proves who it is, may ask as often as it likes.
    let missing = world.task().at_helper("aggregation_jobs/AAAAAAAAAAAAAAAAAAAAAA?step=0");
    for _ in 0..20 {
        let answer = Ask::get(&missing).token(&world.task().leader_token).send();
        answer.refused_as(ProblemType::UnrecognizedAggregationJob);
    }
}

#[test]
fn web_pages_of_the_configured_origins_may_report() {
    let tables = [0, 1].map(|_| "\n[cors]\norigins = [\"https://app.example\"]\n".to_owned());
    let world = World::start(WorldOptions { tables, ..Default::default() });
    let url = world.task().at_leader("reports");
    let preflight = |origin: &str, url: &str| {
        Ask::new(Method::OPTIONS, url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type")
            .send()
    };
    let allowed = preflight("https://app.example", &url);
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("content-type"));
    let other = preflight("https://evil.example", &url);
    assert_eq!(other.header("access-control-allow-origin"), None);
    // What only the collector may ask is not for web pages at all.
    let jobs = preflight("https://app.example", &world.task().at_leader("collection_jobs"));
    assert_eq!(jobs.header("access-control-allow-origin"), None);
    let keys = Ask::get(&format!("http://127.0.0.1:{}/hpke_config", world.leader.port));
    let keys = keys.header("origin", "https://app.example").send();
    assert_eq!(keys.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(keys.header("access-control-expose-headers"), Some("retry-after,location"));
}

#[test]
fn the_doctor_agrees_and_names_what_is_wrong() {
    let world = World::start(WorldOptions::default());
    for server in [&world.leader, &world.helper] {
        assert!(succeeds(&tell(server, &["doctor"])).contains("has the same draft, clock"));
    }
    let file = world.folder.path().join("helper.task-0.json");
    let good = fs::read_to_string(&file).unwrap();
    let relearn = |text: &str| {
        world.helper.kill();
        fs::remove_file(world.folder.path().join("helper.db")).unwrap();
        fs::write(&file, text).unwrap();
        world.helper.start();
    };
    let mut other: Value = serde_json::from_str(&good).unwrap();
    other["leader_token"] = "another-token-than-the-leader-has".into();
    relearn(&other.to_string());
    fails(&tell(&world.leader, &["doctor"]), &["leader_token", " checks failed"]);
    let mut other: Value = serde_json::from_str(&good).unwrap();
    other["vdaf_verify_key"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
    relearn(&other.to_string());
    for server in [&world.leader, &world.helper] {
        fails(&tell(server, &["doctor"]), &["verify_key_seed"]);
    }
    let mut other: Value = serde_json::from_str(&good).unwrap();
    other["aggregator_noise"] = serde_json::json!({"kind": "discrete-laplace", "scale": 2.0});
    relearn(&other.to_string());
    fails(&tell(&world.leader, &["doctor"]), &["noise differs from ours"]);
    world.helper.kill();
    fails(&tell(&world.leader, &["doctor"]), &["did not answer"]);
}

#[test]
fn secrets_are_sealed_anew_and_the_old_key_is_no_longer_needed() {
    let world = World::start(WorldOptions::default());
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(2));
    world.upload_all(&world.reports(&measurements));
    world.leader.kill();
    let path = world.folder.path().join("leader.key");
    let old = fs::read_to_string(&path).unwrap();
    let new = succeeds(&world.leader.run(&["database", "new-key"]));
    fs::write(&path, format!("{new}{old}")).unwrap();
    world.leader.start();
    let said = succeeds(&tell(&world.leader, &["database", "reseal"]));
    // The task, the HPKE key and the key the public log is signed with.
    assert!(
        said.contains("3 secrets were encrypted again") && said.contains("can be removed"),
        "{said}"
    );
    let again = succeeds(&tell(&world.leader, &["database", "reseal"]));
    assert!(again.contains("0 secrets were encrypted again"), "{again}");
    world.leader.kill();
    fs::write(&path, &new).unwrap();
    world.leader.start();
    world.expect(&measurements);
    // The old one alone opens nothing now.
    world.leader.kill();
    fs::write(&path, &old).unwrap();
    fails(&tell(&world.leader, &["tasks", "list"]), &["wrong database key", "leader.key holds"]);
}

#[test]
fn a_new_hpke_key_takes_over_and_the_old_one_still_opens() {
    let world = World::start(WorldOptions::default());
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(3));
    let reports = world.reports(&measurements);
    let old = Keys::fetch(world.task());
    let said = succeeds(&tell(&world.leader, &["hpke", "rotate"]));
    assert!(said.contains("active") && said.contains("pending until"), "{said}");
    let said = succeeds(&tell(&world.leader, &["hpke", "rotate", "--at-once"]));
    assert!(said.contains("expired since") && said.contains("active"), "{said}");
    // The running server takes it over by itself, within seconds.
    poll("the new key on offer", || {
        (Keys::fetch(world.task()).leader.id != old.leader.id).then_some(())
    });
    world.upload_all(&reports);
    world.expect(&measurements);
    let id = old.leader.id.0.to_string();
    succeeds(&tell(&world.leader, &["hpke", "destroy", &id]));
    poll("the end of the old key", || {
        let refused = world.upload(&world.reports(&measurements[..1]));
        (refused == [ReportError::HpkeUnknownConfigId]).then_some(())
    });
}

#[test]
fn lists_follow_reports_on_their_way() {
    let spec = TaskSpec { min_batch_size: 5, ..TaskSpec::default() };
    let world = World::with_task(spec);
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(4));
    world.upload_all(&world.reports(&measurements));
    world.wait_until_aggregated();
    let row = |server: &Server, command: &[&str]| -> Value {
        let said = succeeds(&tell(server, &[command, &["--json"]].concat()));
        serde_json::from_str(said.lines().next().expect("a row")).unwrap()
    };
    let id = world.task().id.to_string();
    for server in [&world.leader, &world.helper] {
        assert!(succeeds(&tell(server, &["tasks", "list"])).contains(&id));
        let status = row(server, &["reports", "status"]);
        assert_eq!(status["verified_not_collected"], 6);
        assert_eq!(status["waiting"], 0);
    }
    // Both sides see the same batch, to the checksum.
    let [leader, helper] =
        [&world.leader, &world.helper].map(|server| row(server, &["batches", "list"]));
    assert_eq!(leader, helper);
    assert_eq!(leader["reports"], 6);
    world.expect(&measurements);
    for server in [&world.leader, &world.helper] {
        assert_eq!(row(server, &["collections", "list"])["stage"], "finished");
        assert_eq!(succeeds(&tell(server, &["batches", "list"])), "");
    }
    fails(&tell(&world.leader, &["reports", "status", "--task", "nobody"]), &["nobody", &id]);
    let said = succeeds(&tell(&world.leader, &["reports", "retry-stuck"]));
    assert!(said.contains("0 reports will be retried"), "{said}");
}

#[test]
fn a_configuration_is_checked_without_being_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leader.toml");
    let leader = Server::new(crate::server::LEADER, free_port(), path.clone());
    let config = path.to_str().unwrap();
    succeeds(&leader.run(&["init", "--output", config]));
    fails(&leader.run(&["init", config]), &["already exists"]);
    let check = || tell(&leader, &["serve", "--check-config"]);
    fails(&check(), &["leader.secrets.toml", "cannot be read"]);
    let keygen = std::process::Command::new(env!("CARGO_BIN_EXE_sottovoce"))
        .arg("keygen")
        .arg(folder.path())
        .output()
        .unwrap();
    succeeds(&keygen);
    assert!(succeeds(&check()).contains("is valid"));
    let before = fs::read_dir(folder.path()).unwrap().count();
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("log = \"info\"", "log = \"a=b=c\"", "is not a filter"),
        ("programs = []", "programs = [\"none.toml\"]", "none.toml"),
        ("127.0.0.1:8080", "0.0.0.0:8080", "plain_http"),
        (
            "log = \"info\"",
            "log = \"info\"\n[tls]\ncertificate = \"no.pem\"\nkey = \"no\"",
            "no.pem",
        ),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        fails(&check(), &[words]);
    }
    // Secrets are for programs; plain task files have their own.
    let without = text.replace("secrets = \"leader.secrets.toml\"", "");
    fs::write(&path, &without).unwrap();
    assert!(succeeds(&check()).contains("is valid"));
    fs::write(&path, without.replace("programs = []", "programs = [\"program.toml\"]")).unwrap();
    fails(&check(), &["program.toml", "keygen", "`secrets`"]);
    // Not even a database was made.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), before);
}

#[test]
fn more_bodies_than_there_is_room_for_are_told_to_come_again() {
    // Room for one body of the longest kind, and not for two.
    let limits = "upload_bytes = 300000\naggregation_job_bytes = 300000\nwaiting_bytes = 300000";
    let world = World::start(WorldOptions { limits, ..Default::default() });
    let url = world.task().at_leader("reports");
    let hold = |bytes: usize| {
        use std::io::Write;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", world.leader.port)).unwrap();
        let path = url.split_once(&format!(":{}", world.leader.port)).unwrap().1;
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 290000\r\n\
             Content-Type: application/ppm-dap;message=upload-req\r\n\r\n"
        )
        .unwrap();
        stream.write_all(&vec![0; bytes]).unwrap();
        stream
    };
    let body = vec![0; 100_000];
    let mut held = Vec::new();
    let refused = poll("a refusal", || {
        // Each time anew: if the request comes before the one to be held, it is that one which is
        // refused, and then nothing is held.
        held.push(hold(280_000));
        let answer = Ask::post(&url, MediaType::UploadReq, body.clone()).send();
        (answer.status == 503).then_some(answer)
    });
    assert!(refused.header("retry-after").is_some());
    drop(held);
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(5));
    let reports = world.reports(&measurements);
    poll("room", || {
        let body = crate::device::request(&reports);
        (Ask::post(&url, MediaType::UploadReq, body).send().status == 200).then_some(())
    });
    world.expect(&measurements);
}

#[test]
fn a_backup_made_under_load_serves_in_place_of_the_database_and_counts_right() {
    let world = World::start(WorldOptions::default());
    let measurements = sample(&world.task().configuration.vdaf, 60, &mut seeded(6));
    let reports = world.reports(&measurements);
    // What is aggregated after the backup would be known to the helper and not to the backup.
    world.helper.kill();
    world.upload_all(&reports[..20]);
    let copy = world.folder.path().join("backup.db");
    let to = copy.to_str().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| reports[20..].chunks(1).for_each(|one| world.upload_all(one)));
        let said = succeeds(&tell(&world.leader, &["database", "backup", to]));
        assert!(said.contains("is a complete copy") && said.contains("leader.key"), "{said}");
    });
    fails(&tell(&world.leader, &["database", "backup", to]), &["backup.db", "exists"]);
    world.leader.kill();
    let text = fs::read_to_string(&world.leader.config).unwrap();
    assert!(text.contains("\"leader.db\""), "{text}");
    fs::write(&world.leader.config, text.replace("\"leader.db\"", "\"backup.db\"")).unwrap();
    world.start_both();
    // What it has it knows again, and what it lacks is counted now.
    let refused = world.upload(&reports);
    assert!(refused.len() >= 20, "{refused:?}");
    assert!(refused.iter().all(|error| *error == ReportError::ReportReplayed), "{refused:?}");
    world.expect(&measurements);
}

#[test]
fn a_comparison_names_the_reports_that_a_restored_database_has_forgotten() {
    let world = World::start(WorldOptions::default());
    let measurements = sample(&world.task().configuration.vdaf, 8, &mut seeded(5));
    let reports = world.reports(&measurements);
    let database = |name: &str| world.folder.path().join(name);
    let upload = |reports| {
        world.upload_all(reports);
        world.wait_until_aggregated();
    };
    // A copy of the file alone is a copy of the database once nothing is left in its log.
    let stop = || {
        assert!(world.leader.terminate().success());
        let stopped = rusqlite::Connection::open(database("leader.db")).unwrap();
        stopped.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    };
    upload(&reports[..6]);
    for server in [&world.leader, &world.helper] {
        let said = succeeds(&tell(server, &["batches", "compare"]));
        assert!(said.contains("1 batches are identical"), "{said}");
    }
    stop();
    fs::copy(database("leader.db"), database("backup.db")).unwrap();
    world.leader.start();
    upload(&reports[6..]);
    stop();
    fs::copy(database("backup.db"), database("leader.db")).unwrap();
    world.leader.start();

    for server in [&world.leader, &world.helper] {
        let said = tell(server, &["batches", "compare"]);
        fails(&said, &["the leader has 6 reports, the helper 8", "restore it"]);
        let rows = tell(server, &["batches", "compare", "--json"]);
        let row: Value =
            serde_json::from_slice(rows.stdout.split(|byte| *byte == b'\n').next().unwrap())
                .unwrap();
        let mut lost: Vec<_> = reports[6..]
            .iter()
            .map(|report| report.report_metadata.report_id.to_string())
            .collect();
        let mut named: Vec<_> =
            row["helper_only"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        lost.sort();
        named.sort_unstable();
        assert_eq!(named, lost);
        assert_eq!(row["leader_only"], serde_json::json!([]));
    }
    world.collection_refused(world.query(), ProblemType::BatchMismatch);
    world.leader.wait_for_log("batches compare");
    // Whoever does not hold the verify key is told nothing.
    let url = world.task().at_leader("comparison");
    let question = r#"{"asker":"helper","milliseconds":0,"wanted":"batches","proof":"AAAA"}"#;
    let refused = Ask::new(Method::POST, &url).body(question.as_bytes().to_vec()).send();
    assert_eq!(refused.status, 401);
}
