//! A batch that the two hold differently is repaired by what both hold, if both operators agree.

use super::{
    server::Server,
    task::{HISTOGRAM, TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use serde_json::Value;
use sottovoce_dap::{
    collect::Query,
    problem::ProblemType::{BatchMismatch, InvalidBatchSize},
    task::BatchMode,
    upload::{Report, ReportError},
    vdaf::shard::Measurement,
};
use std::{fs, process::Output};

/// A world whose one database was replaced by an older copy of itself.
struct Restored {
    world: World,
    measurements: Vec<Measurement>,
    reports: Vec<Report>,
}

impl Restored {
    /// The first part of the reports is in the copy, the second came after it, the third after it was
    /// restored.
    fn new(role: &str, mode: BatchMode, parts: [usize; 3]) -> Self {
        let tasks = vec![TaskSpec::new(HISTOGRAM, mode)];
        let world = World::start(WorldOptions { tasks, ..Default::default() });
        let all = parts.iter().sum();
        let measurements = sample(&HISTOGRAM, all, &mut seeded(60));
        let reports = world.reports(&measurements);
        let [copied, lost, _] = parts;
        let story = Self { world, measurements, reports };
        story.upload(0..copied);
        let server = story.server(role);
        let [database, copy] =
            ["", ".copy"].map(|end| story.world.folder.path().join(format!("{role}.db{end}")));
        let stop = || {
            assert!(server.terminate().success());
            // A copy of the file alone is a copy of the database once nothing is left in its log.
            let stopped = rusqlite::Connection::open(&database).unwrap();
            stopped.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        };
        stop();
        fs::copy(&database, &copy).unwrap();
        server.start();
        story.upload(copied..copied + lost);
        stop();
        fs::copy(&copy, &database).unwrap();
        server.start();
        story.upload(copied + lost..all);
        story
    }

    fn server(&self, role: &str) -> &Server {
        if role == "leader" { &self.world.leader } else { &self.world.helper }
    }

    fn upload(&self, range: std::ops::Range<usize>) {
        if !range.is_empty() {
            self.world.upload_all(&self.reports[range]);
            self.world.wait_until_aggregated();
        }
    }

    fn repair(&self, role: &str, more: &[&str]) -> Output {
        let task = self.world.task().id.to_string();
        let batch = self.differing();
        let command = ["batches", "repair", "--task", &task, "--batch", &batch, "--json"];
        self.server(role).tell(&[&command[..], more].concat())
    }

    /// The first batch that differs, as it is printed.
    fn differing(&self) -> String {
        let said = self.world.leader.tell(&["batches", "compare", "--json"]);
        let line = said.stdout.split(|byte| *byte == b'\n').next().unwrap();
        let row: Option<Value> = serde_json::from_slice(line).ok();
        // Once repaired, none differs: the list names it.
        let row = row.unwrap_or_else(|| {
            let said = self.world.leader.tell(&["batches", "list", "--json"]);
            serde_json::from_slice(said.stdout.split(|byte| *byte == b'\n').next().unwrap())
                .unwrap()
        });
        row["batch"].as_str().unwrap().to_owned()
    }

    /// Both operators look, agree, and repair, last the one whose side has something to drop: until
    /// then, nothing is released.
    fn agree(&self, query: &Query, first: &str) -> Value {
        let plans = ["leader", "helper"].map(|role| plan(&self.repair(role, &[])));
        assert_eq!(plans[0], plans[1], "they see different plans");
        let digest = plans[0]["plan"].as_str().unwrap();
        let wrong = self.repair(first, &["--agree", &"0".repeat(64)]);
        assert!(!wrong.status.success(), "a plan that nobody has seen was carried out");
        let second = if first == "leader" { "helper" } else { "leader" };
        for role in [first, second] {
            self.world.collection_refused(*query, BatchMismatch);
            let done = plan(&self.repair(role, &["--agree", digest]));
            assert_eq!(done["repaired"], true);
            // Again, as after an answer that was lost.
            let again = plan(&self.repair(role, &["--agree", digest]));
            assert_eq!(again["plan"], plans[0]["plan"]);
        }
        plans[0].clone()
    }

    fn expect(&self, query: Query, counted: &[Measurement]) {
        let collected = self.world.collect(query);
        assert_eq!(collected.count, counted.len() as u64);
        assert_eq!(collected.result, total(&HISTOGRAM, counted));
    }
}

fn plan(said: &Output) -> Value {
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

#[test]
fn a_helper_that_was_restored_counts_what_both_have() {
    let story = Restored::new("helper", BatchMode::TimeInterval, [6, 7, 5]);
    let query = story.world.query();
    let plan = story.agree(&query, "helper");
    assert_eq!(plan["kept_reports"], 11);
    assert_eq!([&plan["leader_drops_reports"], &plan["helper_drops_reports"]], [7, 0]);
    // What was dropped is never counted, not even if it comes again.
    let again = story.world.upload(&story.reports[6..13]);
    assert_eq!(again, [ReportError::ReportReplayed; 7]);
    let both = [&story.measurements[..6], &story.measurements[13..]].concat();
    story.expect(query, &both);
}

#[test]
fn a_leader_that_was_restored_counts_what_both_have() {
    let story = Restored::new("leader", BatchMode::TimeInterval, [6, 7, 5]);
    let query = story.world.query();
    // Devices whose answers were lost send again what the leader has forgotten.
    story.upload(6..8);
    let plan = story.agree(&query, "leader");
    assert_eq!(plan["kept_reports"], 11);
    assert_eq!([&plan["leader_drops_reports"], &plan["helper_drops_reports"]], [0, 7]);
    story.upload(8..13);
    let both = [&story.measurements[..6], &story.measurements[13..]].concat();
    story.expect(query, &both);
}

#[test]
fn what_is_left_is_not_released_below_the_minimum() {
    let story = Restored::new("helper", BatchMode::TimeInterval, [3, 7, 0]);
    let query = story.world.query();
    let task = story.world.task();
    let digest = plan(&story.repair("leader", &[]));
    let digest = digest["plan"].as_str().unwrap().to_owned();
    story.world.collection_refused(query, InvalidBatchSize);
    for role in ["leader", "helper"] {
        assert_eq!(plan(&story.repair(role, &["--agree", &digest]))["kept_reports"], 3);
    }
    story.world.collection_refused(query, InvalidBatchSize);
    assert_eq!(task.configuration.min_batch_size, 5);
}

#[test]
fn a_batch_that_cannot_be_collected_blocks_none_behind_it() {
    let story = Restored::new("helper", BatchMode::LeaderSelected, [6, 6, 6]);
    // The second batch is the leader's alone.
    let mut counts = Vec::new();
    let mut refused = 0;
    for _ in 0..3 {
        match story.world.collect_of(story.world.task(), Query::LeaderSelected) {
            Ok(collected) => {
                counts.push((collected.count, collected.result.clone()));
                story.world.delete(story.world.task(), &collected);
            }
            Err(answer) => {
                answer.refused_as(InvalidBatchSize);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1);
    let expected =
        |range: std::ops::Range<usize>| (6, total(&HISTOGRAM, &story.measurements[range]));
    assert_eq!(counts, [expected(0..6), expected(12..18)]);
    let listed = story.world.leader.tell(&["batches", "list"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("set aside"), "{listed}");
}
