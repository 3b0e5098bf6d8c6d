//! A server that cannot start says once why and what to do, and gives nothing away.

use super::{
    http::Ask,
    server::{LEADER, Server, free_port, poll, serve},
    task::{HISTOGRAM, Task, TaskSpec, sample, total},
    world::{World, seeded, write_secret},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sottovoce_dap::{
    media_type::MediaType, problem::ProblemType::UnrecognizedTask, task::BatchMode,
};
use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

/// Starts a server that must not start; gives its one message.
fn fails(server: &Server) -> String {
    let mut command = serve(LEADER, &server.config);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = poll("the end of a server that cannot start", || child.try_wait().unwrap());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    // Several mistakes are a list below it.
    let mut after = said.lines().skip_while(|line| *line != errors[0]).skip(1);
    assert!(after.all(|line| line.starts_with("  - ")), "more follows the message: {said}");
    said
}

#[track_caller]
fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

/// A world whose leader is not running.
fn leaderless() -> World {
    let world = World::with_task(TaskSpec::default());
    world.leader.kill();
    world
}

/// Changes the leader's configuration.
fn configure(world: &World, from: &str, to: &str) {
    let text = fs::read_to_string(&world.leader.config).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&world.leader.config, text.replace(from, to)).unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    let world = leaderless();
    let _other = TcpListener::bind(("127.0.0.1", world.leader.port)).unwrap();
    says(&fails(&world.leader), &[&world.leader.port.to_string(), "in use", "`listen`"]);
}

#[test]
fn a_second_server_on_one_configuration_leaves_the_first_alone() {
    let world = World::with_task(TaskSpec::default());
    let measurements = sample(&HISTOGRAM, 6, &mut seeded(80));
    let reports = world.reports(&measurements);
    world.helper.kill();
    world.upload_all(&reports);
    world.leader.wait_for_log("outage begins: the helper fails");
    says(&fails(&world.leader), &["in use"]);
    world.helper.start();
    world.expect(&measurements);
}

#[test]
fn a_database_of_a_newer_version_is_left_as_it_is() {
    let world = leaderless();
    let path = world.folder.path().join("leader.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 9999).unwrap();
    drop(database);
    says(&fails(&world.leader), &["leader.db", "9999", "newer version"]);
    fs::write(&path, "not a database, but long enough to look at ".repeat(50)).unwrap();
    fs::remove_file(world.folder.path().join("leader.db-wal")).unwrap_or_default();
    says(&fails(&world.leader), &["leader.db", "not an SQLite database", "another file"]);
}

#[test]
fn a_wrong_database_key_is_told_from_damage_and_not_shown() {
    let world = leaderless();
    let key = world.folder.path().join("leader.key");
    let right = fs::read_to_string(&key).unwrap();
    let wrong = URL_SAFE_NO_PAD.encode([5; 32]);
    for (text, words) in [(wrong.as_str(), "key"), ("hunter2", "leader.key"), ("", "leader.key")] {
        fs::write(&key, text).unwrap();
        let message = fails(&world.leader);
        says(&message, &[words]);
        let shown = message.contains(right.trim()) || message.contains(&wrong);
        assert!(!shown && !message.contains("hunter2"), "{message}");
    }
    fs::write(&key, right).unwrap();
    world.leader.start();
}

#[test]
fn a_program_that_contradicts_itself_or_lacks_its_secrets_is_refused() {
    let world = leaderless();
    let folder = world.folder.path();
    let program = include_str!("../../examples/support-assistant.toml");
    let bad = program.replace("min_batch_size = 3000", "min_batch_size = 200");
    assert_ne!(bad, program);
    fs::write(folder.join("program.toml"), bad).unwrap();
    // Until now the leader had plain task files, which have their own.
    configure(&world, "tasks = ", "programs = [\"program.toml\"]\ntasks = ");
    says(&fails(&world.leader), &["program.toml", "`secrets`", "keygen"]);
    configure(&world, "tasks = ", "secrets = \"leader.secrets.toml\"\ntasks = ");
    says(&fails(&world.leader), &["program.toml", "use min_batch_size = "]);

    fs::write(folder.join("program.toml"), program).unwrap();
    says(&fails(&world.leader), &["leader.secrets.toml", "cannot be read"]);

    let secret = "verify_key_seed = \"hunter2\"";
    write_secret(&folder.join("leader.secrets.toml"), secret);
    let message = fails(&world.leader);
    says(&message, &["leader.secrets.toml"]);
    assert!(!message.contains("hunter2"), "{message}");

    fs::remove_file(folder.join("leader.secrets.toml")).unwrap();
    keygen(folder);
    world.leader.start();
    assert!(world.leader.log().matches(" added").count() >= 5, "{}", world.leader.log());

    // Other secrets for tasks that are there.
    world.leader.kill();
    fs::remove_file(folder.join("leader.secrets.toml")).unwrap();
    fs::remove_file(folder.join("helper.secrets.toml")).unwrap();
    fs::remove_file(folder.join("collector.secrets.toml")).unwrap();
    keygen(folder);
    says(&fails(&world.leader), &["already exists with another verify key or token"]);
}

fn keygen(folder: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
    let output = command.arg("keygen").arg(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_configuration_is_read_strictly() {
    let world = leaderless();
    configure(&world, "database_key", "databse_key");
    says(&fails(&world.leader), &["leader.toml", "line ", "databse_key"]);
    configure(&world, "databse_key", "database_key");
    configure(&world, "log = \"info\"", "log = \"a=b=c\"");
    says(&fails(&world.leader), &["log = ", "\"info\""]);
    fs::remove_file(&world.leader.config).unwrap();
    says(&fails(&world.leader), &["leader.toml", "cannot be read"]);
}

#[test]
fn a_task_file_is_read_strictly_and_its_secrets_are_not_shown() {
    let world = leaderless();
    let path = world.folder.path().join("leader.task-0.json");
    let good = fs::read_to_string(&path).unwrap();
    let token = &world.task().leader_token;
    let key = URL_SAFE_NO_PAD.encode(world.task().verify_key.secret_bytes());
    for (from, to, words) in [
        (token.as_str(), "hunter2", "bearer token"),
        (key.as_str(), &key[1..], "vdaf_verify_key"),
        (key.as_str(), "@@", "vdaf_verify_key"),
        ("\"task_id\"", "\"taskid\"", "taskid"),
        ("collector_token", "collectors_token", "collectors_token"),
    ] {
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let message = fails(&world.leader);
        says(&message, &["leader.task-0.json", words]);
        let shown = message.contains(token) || message.contains(&key[1..]);
        assert!(!shown && !message.contains("hunter2"), "{message}");
    }
    let lonely = TaskSpec { min_batch_size: 1, ..TaskSpec::default() };
    let task = Task::new(&lonely, "http://127.0.0.1/", "http://127.0.0.1/");
    fs::write(&path, task.file(true)).unwrap();
    says(&fails(&world.leader), &["at least 2"]);
}

#[test]
fn a_task_that_is_added_to_running_servers_is_usable_within_seconds() {
    let world = World::with_task(TaskSpec::default());
    let old = world.task();
    let new = Task::new(
        &TaskSpec::new(HISTOGRAM, BatchMode::TimeInterval),
        old.configuration.leader_aggregator_endpoint.as_str(),
        old.configuration.helper_aggregator_endpoint.as_str(),
    );
    let upload = Ask::post(&new.at_leader("reports"), MediaType::UploadReq, Vec::new());
    upload.clone().send().refused_as(UnrecognizedTask);
    for (server, is_leader) in [(&world.leader, true), (&world.helper, false)] {
        let file = server.config.with_extension("new.json");
        fs::write(&file, new.file(is_leader)).unwrap();
        let config = server.config.to_str().unwrap();
        let add = || server.run(&["tasks", "add", "--config", config, file.to_str().unwrap()]);
        for words in ["added", "already exists"] {
            let output = add();
            assert!(output.status.success(), "{output:?}");
            assert_eq!(
                String::from_utf8(output.stderr).unwrap(),
                format!("task {} {words}\n", new.id)
            );
        }
        let list = server.run(&["tasks", "list", "--config", config]);
        let list = String::from_utf8(list.stdout).unwrap();
        assert!(list.contains(&new.id.to_string()) && list.contains(&old.id.to_string()), "{list}");
        assert!(!list.contains(&new.leader_token) && list.lines().count() == 2, "{list}");
    }
    // Somebody asked for it before it was there, which is believed for two seconds.
    poll("the task", || (upload.clone().send().status != 404).then_some(()));
    let measurements = sample(&HISTOGRAM, 7, &mut seeded(81));
    let reports: Vec<_> = measurements.iter().map(|m| world.report_of(&new, m)).collect();
    assert_eq!(world.upload_to(&new, &reports), []);
    let collected = world.collect_of(&new, world.query()).unwrap();
    assert_eq!(collected.result, total(&HISTOGRAM, &measurements));
}

#[test]
fn a_server_that_is_told_to_stop_stops_in_good_order() {
    let world = World::with_task(TaskSpec::default());
    for server in [&world.leader, &world.helper] {
        assert!(server.terminate().success());
        assert!(server.log().contains("stopped"), "{}", server.log());
        server.start();
    }
    let measurements = sample(&HISTOGRAM, 5, &mut seeded(82));
    world.upload_all(&world.reports(&measurements));
    world.expect(&measurements);
}

#[test]
fn a_server_on_port_zero_says_where_it_listens() {
    let world = leaderless();
    configure(&world, &format!(":{}\"", world.leader.port), ":0\"");
    world.leader.launch();
    world.leader.wait_for_log("leader listening on http://127.0.0.1:");
    assert!(free_port() > 0);
}
