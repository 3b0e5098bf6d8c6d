//! With `log_format = "json"` whatever a server says is a line of JSON, from the first to the last.

use crate::{
    server::{LEADER, Server},
    task::sample,
    world::{World, WorldOptions, seeded},
};
use serde_json::Value;
use std::{fs, net::TcpListener};

/// Each line, as an object with a time, a level and a message.
#[track_caller]
fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}\n{text}"));
        assert!(
            ["timestamp", "level", "message"].iter().all(|key| value[key].is_string()),
            "{line}"
        );
        value
    };
    text.lines().map(parse).collect()
}

#[test]
fn each_line_of_a_server_is_json_also_when_it_starts_and_when_it_cannot() {
    // The text goes between the quotes of `log`.
    let log = "info\"\nlog_format = \"json";
    let world = World::start(WorldOptions { log, ..Default::default() });
    let measurements = sample(&world.task().configuration.vdaf, 6, &mut seeded(91));
    world.upload_all(&world.reports(&measurements[..3]));
    world.helper.kill();
    world.upload_all(&world.reports(&measurements[3..]));
    world.leader.wait_for_log("outage begins");
    assert!(world.leader.terminate().success());
    let said = lines(&world.leader.log());
    let has =
        |words: &str| said.iter().any(|line| line["message"].as_str().unwrap().contains(words));
    for words in ["added", "leader listening on http://", "outage begins", "stopped"] {
        assert!(has(words), "{words}: {said:#?}");
    }
    assert!(said.iter().any(|line| line["level"] == "WARN"), "{said:#?}");

    let refused = |server: &Server, words: &str| {
        let output = server.run(&["serve", server.config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let said = [output.stdout, output.stderr].concat();
        let said = lines(std::str::from_utf8(&said).unwrap());
        let last = said.last().unwrap();
        assert!(last["message"].as_str().unwrap().contains(words), "{said:#?}");
        assert_eq!(last["level"], "ERROR");
    };
    let occupied = TcpListener::bind(("127.0.0.1", world.leader.port)).unwrap();
    refused(&world.leader, "in use");
    drop(occupied);
    let text = fs::read_to_string(&world.leader.config).unwrap();
    let broken = world.folder.path().join("broken.toml");
    fs::write(&broken, format!("no_such_key = 1\n{text}")).unwrap();
    refused(&Server::new(LEADER, world.leader.port, broken), "no_such_key");
}
