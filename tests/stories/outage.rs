//! The helper is away, or is not the helper: nothing is lost, and all is well when it is back.

use super::{
    http::Ask,
    impostor::{Impostor, Reply},
    server::{free_port, poll},
    task::{Task, TaskSpec, sample, total},
    world::{World, WorldOptions, seeded},
};
use sottovoce_collector::collect::request as collection;
use sottovoce_dap::{
    aggregate::{AggregationJobResp, VerifyAnswer, VerifyResp},
    codec::Encode,
    ids::ReportId,
    media_type::MediaType,
    problem::{ProblemDocument, ProblemType},
    task::{BatchMode, VdafConfig},
    vdaf::shard::Measurement,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

#[test]
fn the_leader_takes_reports_while_the_helper_is_away() {
    let world = World::with_task(TaskSpec::default());
    let measurements = sample(&super::task::HISTOGRAM, 20, &mut seeded(60));
    let reports = world.reports(&measurements);
    world.helper.kill();
    world.upload_all(&reports[..10]);
    world.leader.wait_for_log("outage begins: the helper fails");
    world.upload_all(&reports[10..]);
    world.leader.kill();
    world.leader.start();
    world.helper.start();
    world.expect(&measurements);
}

/// However often it is tried, and whatever is.
#[test]
fn an_outage_of_the_helper_is_one_line_of_the_log_and_one_when_it_is_over() {
    let port = free_port();
    let tables = [format!("\n[admin]\nlisten = \"127.0.0.1:{port}\"\n"), String::new()];
    let world = World::start(WorldOptions { tables, ..Default::default() });
    let measurements = sample(&super::task::HISTOGRAM, 12, &mut seeded(61));
    let reports = world.reports(&measurements);
    world.helper.kill();
    for some in reports.chunks(4) {
        world.upload_all(some);
    }
    let metrics = || Ask::get(&format!("http://127.0.0.1:{port}/metrics")).send().text();
    poll("attempts", || {
        let failed = |line: &str| {
            let count = line.strip_prefix("sottovoce_aggregation_jobs_total{")?;
            let (labels, count) = count.split_once("} ")?;
            Some(labels.contains("\"put_off\"") && count.parse::<u64>().ok()? >= 4)
        };
        metrics().lines().filter_map(failed).any(|enough| enough).then_some(())
    });
    assert!(metrics().contains("\nsottovoce_peer_failing_seconds{peer=\"http://127.0.0.1:"));
    world.helper.start();
    world.expect(&measurements);
    world.leader.wait_for_log("outage is over: the helper fails");
    let log = world.leader.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("the helper fails")).collect();
    assert!(lines.len() == 2 && lines[1].contains("times="), "{lines:#?}");
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
}

/// Answers that no helper gives; `trap` is where nobody must go.
fn nonsense(kind: usize, trap: u16) -> Option<Reply> {
    let elsewhere = || ("Location", format!("http://127.0.0.1:{trap}/stolen"));
    let of = |media_type: MediaType| ("Content-Type", media_type.to_string());
    let foreign = AggregationJobResp {
        verify_resps: vec![VerifyResp {
            report_id: ReportId::new([9; 16]),
            answer: VerifyAnswer::Continue(vec![1].try_into().unwrap()),
        }],
    };
    let html = ("Content-Type", "text/html".to_owned());
    Some(match kind {
        0 => Reply::HangUp,
        1 => Reply::Say(200, vec![html], b"<html>Welcome to the hotel's network</html>".into()),
        2 => Reply::Say(302, vec![elsewhere()], Vec::new()),
        3 => Reply::Say(307, vec![elsewhere()], Vec::new()),
        4 => Reply::Say(200, vec![elsewhere()], Vec::new()),
        5 => Reply::Say(200, Vec::new(), Vec::new()),
        6 => Reply::Say(200, vec![of(MediaType::AggregationJobResp)], vec![0xff; 50]),
        7 => Reply::Say(200, vec![of(MediaType::AggregationJobResp)], foreign.to_bytes()),
        8 => Reply::Say(200, vec![of(MediaType::AggregateShare)], vec![0xff; 50]),
        9 => Reply::Say(200, vec![html], vec![b'x'; 30 << 20]),
        10 => Reply::Say(500, Vec::new(), b"\x1b[31mout of order".into()),
        11 => Reply::Say(404, vec![html], b"not here".into()),
        _ => return None,
    })
}

const KINDS: usize = 12;

/// A world with one task for each kind of nonsense, and each task's measurements.
fn world_of_nonsense(seed: u64) -> (World, Vec<Vec<Measurement>>) {
    let mut rng = seeded(seed);
    let vdaf = VdafConfig::Prio3Count;
    let tasks = vec![TaskSpec::new(vdaf, BatchMode::TimeInterval); KINDS];
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    world.keys();
    (world, (0..KINDS).map(|_| sample(&vdaf, 6, &mut rng)).collect())
}

fn upload_each(world: &World, measurements: &[Vec<Measurement>]) {
    for (task, measurements) in world.tasks.iter().zip(measurements) {
        let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
        assert_eq!(world.upload_to(task, &reports), []);
    }
}

fn expect_each(world: &World, measurements: &[Vec<Measurement>]) {
    for (kind, (task, measurements)) in world.tasks.iter().zip(measurements).enumerate() {
        let collected = world
            .collect_of(task, world.query())
            .unwrap_or_else(|answer| panic!("{kind}: {}", answer.text()));
        let expected = total(&task.configuration.vdaf, measurements);
        assert_eq!((collected.count, collected.result), (6, expected), "nonsense {kind}");
    }
}

/// Talks nonsense in the helper's place until every task has heard its kind.
fn talk_nonsense(world: &World, path: &str, meanwhile: impl FnOnce()) {
    let trap = Impostor::start(free_port(), |_| Reply::HangUp);
    let trap_port = trap.port();
    let places: Vec<_> = world.tasks.iter().map(|task| format!("{}/{path}", task.id)).collect();
    let kinds = places.clone();
    let impostor = Impostor::start(world.helper.port, move |request| {
        let kind = kinds.iter().position(|place| request.path.contains(place));
        nonsense(kind.expect("a task's resource"), trap_port).expect("a kind for each task")
    });
    meanwhile();
    poll("nonsense for every task", || {
        let seen = impostor.seen();
        places.iter().all(|place| seen.iter().any(|r| r.path.contains(place))).then_some(())
    });
    drop(impostor);
    assert!(trap.seen().is_empty(), "the leader followed a stranger: {:?}", trap.seen());
}

#[test]
fn nonsense_in_place_of_an_aggregation_job_loses_nothing() {
    let (world, measurements) = world_of_nonsense(61);
    world.helper.kill();
    talk_nonsense(&world, "aggregation_jobs", || upload_each(&world, &measurements));
    world.helper.start();
    expect_each(&world, &measurements);
    assert!(!world.leader.log().contains('\u{1b}'), "a stranger's words reach the terminal");
}

#[test]
fn nonsense_in_place_of_an_aggregate_share_loses_nothing() {
    let (world, measurements) = world_of_nonsense(62);
    upload_each(&world, &measurements);
    world.wait_until_aggregated();
    world.helper.kill();
    let ask = |task: &Task| {
        let answer = world.ask_collection_of(task, &collection(world.query())).send();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    };
    talk_nonsense(&world, "aggregate_shares", || world.tasks.iter().for_each(ask));
    world.helper.start();
    expect_each(&world, &measurements);
}

#[test]
fn a_helper_that_refuses_its_share_is_named_and_not_quoted_and_may_be_asked_again() {
    let world = World::with_task(TaskSpec::default());
    let measurements = sample(&super::task::HISTOGRAM, 8, &mut seeded(63));
    world.upload_all(&world.reports(&measurements));
    world.wait_until_aggregated();
    world.helper.kill();
    let impostor = Impostor::start(world.helper.port, |_| {
        let problem = ProblemDocument::new(ProblemType::BatchMismatch, None, "a bad day");
        let media_type = ("Content-Type", ProblemDocument::MEDIA_TYPE.to_owned());
        Reply::Say(400, vec![media_type], serde_json::to_vec(&problem).unwrap())
    });
    let refusal = world.collect_of(world.task(), world.query()).unwrap_err();
    refusal.refused_as(ProblemType::BatchMismatch);
    // Its words are for the operator: they may say more than the collector may know.
    let said = refusal.text();
    assert!(said.contains("the helper refused") && !said.contains("a bad day"), "{said}");
    drop(impostor);
    world.helper.start();
    world.expect(&measurements);
}

#[test]
fn lost_messages_are_sent_again_byte_for_byte_and_count_once() {
    let mut rng = seeded(64);
    let port = free_port();
    let mode = [BatchMode::TimeInterval, BatchMode::LeaderSelected];
    let tasks = mode.map(|mode| TaskSpec::new(super::task::HISTOGRAM, mode)).to_vec();
    // The impostor comes before the helper's port is known.
    let real_port = Arc::new(Mutex::new(0));
    let attempts = Mutex::new(HashMap::<_, u32>::new());
    let impostor = {
        let real_port = Arc::clone(&real_port);
        Impostor::start(port, move |request| {
            let to = *real_port.lock().unwrap();
            let key = (request.method.clone(), request.path.clone(), request.body.clone());
            let attempt = *attempts.lock().unwrap().entry(key).and_modify(|n| *n += 1).or_default();
            match attempt {
                _ if request.method != reqwest::Method::POST => request.pass_on(to).unwrap().into(),
                // The request arrives, its answer does not.
                0 => {
                    request.pass_on(to).unwrap();
                    Reply::HangUp
                }
                1 => Reply::HangUp,
                _ => request.pass_on(to).unwrap().into(),
            }
        })
    };
    let world =
        World::start(WorldOptions { tasks, helper_seen_at: Some(port), ..Default::default() });
    *real_port.lock().unwrap() = world.helper.port;
    for task in &world.tasks {
        let measurements = sample(&super::task::HISTOGRAM, 30, &mut rng);
        let reports: Vec<_> = measurements.iter().map(|m| world.report_of(task, m)).collect();
        assert_eq!(world.upload_to(task, &reports), []);
        let query = match task.configuration.batch_mode {
            BatchMode::TimeInterval => world.query(),
            BatchMode::LeaderSelected => sottovoce_dap::collect::Query::LeaderSelected,
        };
        let collected = world.collect_of(task, query).unwrap();
        assert_eq!(collected.result, total(&super::task::HISTOGRAM, &measurements));
    }
    let posts = impostor.seen().into_iter().filter(|r| r.method == reqwest::Method::POST);
    let mut times = HashMap::<_, u32>::new();
    posts.for_each(|request| *times.entry((request.path, request.body)).or_default() += 1);
    assert_eq!(times.len(), 4, "a job and a share for each task, and nothing else");
    assert!(times.values().all(|times| *times == 3), "{:?}", times.values());
}
