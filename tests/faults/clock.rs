//! The clocks of servers jump ahead and are put back, by an hour and by days.

use crate::{
    reports::Reports,
    stage::{Setting, Stage, databases, postgres, two_modes},
    support::{
        device::{Shares, request},
        http::Ask,
        server::poll,
        task::{PRECISION, TaskSpec, now, sample},
        world::seeded,
    },
    tally::{first_seed, rounds},
};
use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use rusqlite::Connection;
use sottovoce_aggregator::test_support::postgres::TemporaryPostgres;
use sottovoce_collector::collect::request as collection_request;
use sottovoce_dap::{
    codec::{Decode, Encode},
    media_type::MediaType,
    problem::ProblemType,
    upload::UploadErrors,
};
use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const REPORTS: [usize; 2] = [1600, 800];
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const JUMPS: [i64; 4] = [-10 * DAY, -HOUR, HOUR, 10 * DAY];
const ROUNDS: u64 = 2;

#[test]
fn a_clock_that_jumps_loses_and_repeats_no_report_on_sqlite() {
    jump_in_rounds(None, first_seed(7000));
}

#[test]
fn a_clock_that_jumps_loses_and_repeats_no_report_on_postgres() {
    if let Some(server) = postgres() {
        jump_in_rounds(Some(&server), first_seed(8000));
    }
}

fn jump_in_rounds(postgres: Option<&TemporaryPostgres>, first_seed: u64) {
    for seed in first_seed..first_seed + rounds(ROUNDS) {
        let mut rng = seeded(seed);
        let stage = Stage::start(&Setting {
            // A leader-selected batch that closes before a late report could leave too few behind.
            tasks: vec![TaskSpec { min_batch_size: 100, ..TaskSpec::default() }; 2],
            postgres: postgres.map(|server| databases(server, seed)),
            shimmed: true,
            ..Setting::default()
        });
        let mut reports = Reports::draw(&stage, &REPORTS, 4, &mut rng);
        reports.pause = Duration::from_millis(200);
        let mut jumps = [0, 1].map(|role| JUMPS.map(|ahead| (role, ahead))).concat();
        // The first meets uploads for certain: a leader that is behind. The others come in any order.
        jumps[1..].shuffle(&mut rng);
        reports.upload(|| {
            for (number, jump_of) in jumps.iter().enumerate() {
                reports.wait_for(number * reports.uploads() / jumps.len());
                jump(&stage, *jump_of, &mut rng);
            }
        });
        assert!(reports.too_early() > 0, "no upload met a clock that was behind");
        jumps.shuffle(&mut rng);
        thread::scope(|scope| {
            scope.spawn(|| reports.expect(&stage));
            jumps[..4].iter().for_each(|jump_of| jump(&stage, *jump_of, &mut rng));
        });
        reports.replay();
        println!("after seed {seed}: {} uploads too early for a while", reports.too_early());
    }
}

/// A jump and, a moment later, the jump back; now and then with a restart in between, so that
/// whatever the server had in hand was put down at a time yet to come.
fn jump(stage: &Stage, (role, ahead): (usize, i64), rng: &mut StdRng) {
    let (shim, server) = (&stage.shims.as_ref().unwrap()[role], stage.server(role));
    shim.set_clock(ahead);
    thread::sleep(Duration::from_millis(rng.random_range(100..900)));
    let killed = rng.random_bool(0.4);
    if killed {
        server.kill();
    }
    shim.set_clock(0);
    if killed {
        server.start();
    }
}

#[test]
fn a_replay_is_not_taken_after_a_clock_that_was_ahead_is_put_back() {
    let mut rng = seeded(first_seed(9000));
    let stage = Stage::start(&Setting {
        tasks: two_modes(100),
        shimmed: true,
        lines: "[retention]\nreport_days = 2",
        ..Setting::default()
    });
    let reports = Reports::draw(&stage, &[600, 300], 4, &mut rng);
    reports.upload(|| ());
    stage.wait_until_aggregated();
    set_both(&stage, 10 * DAY);
    poll("the IDs of reports to be forgotten", || {
        let left = |role| remembered(&stage, role) > 0;
        (!left("leader") && !left("helper")).then_some(())
    });
    reports.replay();
    set_both(&stage, 0);
    reports.replay();
    // What was aggregated before is still there, once.
    reports.expect(&stage);
    reports.replay();
}

#[test]
fn a_helper_whose_clock_is_a_little_behind_is_waited_for_and_one_far_behind_refuses() {
    let mut rng = seeded(first_seed(9500));
    let tasks = vec![TaskSpec { min_batch_size: 100, ..TaskSpec::default() }];
    let stage = Stage::start(&Setting { tasks, shimmed: true, ..Setting::default() });
    let reports = Reports::draw(&stage, &[300], 1, &mut rng);
    reports.upload(|| ());
    stage.wait_until_aggregated();
    let end = i64::try_from((stage.window.0 + 1) * PRECISION).unwrap();
    let helper_at = |before_end: i64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let ahead = end - before_end - i64::try_from(now).unwrap();
        stage.shims.as_ref().unwrap()[1].set_clock(ahead);
    };
    let task = &stage.tasks[0];
    let ask = || {
        let request = collection_request(Stage::query(stage.window)).to_bytes();
        let url = task.at_leader("collection_jobs");
        Ask::post(&url, MediaType::CollectionJobReq, request).token(&task.collector_token).send()
    };
    helper_at(1000);
    // Asked for in the same words, it would be tried again.
    let location = ask().location();
    let refused = poll("the helper's refusal", || {
        let answer = Ask::get(&location).token(&task.collector_token).send();
        (answer.status != 200).then_some(answer)
    });
    refused.refused_as(ProblemType::BatchInvalid);
    assert!(refused.text().contains("the helper refused"), "{}", refused.text());
    helper_at(100);
    assert_eq!((ask().status, ask().body.len()), (200, 0));
    poll("the leader's patience", || {
        stage.leader().log().contains("retrying a collection job later").then_some(())
    });
    let answer = Ask::get(&location).token(&task.collector_token).send();
    assert_eq!((answer.status, answer.body.len()), (200, 0), "put off, and not given up");
    stage.shims.as_ref().unwrap()[1].set_clock(0);
    reports.expect(&stage);
}

#[test]
fn a_clock_that_is_ten_minutes_wrong_is_said_on_both_sides_and_reports_grow_old_from_their_arrival()
{
    let mut rng = seeded(first_seed(9700));
    let lines = "[admin]\nlisten = \"127.0.0.1:0\"";
    let tasks = vec![TaskSpec { min_batch_size: 4, ..TaskSpec::default() }];
    let stage = Stage::start(&Setting { tasks, shimmed: true, lines, ..Setting::default() });
    let (task, helper) = (&stage.tasks[0], &stage.shims.as_ref().unwrap()[1]);
    // Of a moment ago: ten minutes early by a clock that is as far behind.
    let upload = |rng: &mut StdRng| {
        let measurements = sample(&task.configuration.vdaf, 4, rng);
        let seal = |m| Shares::new(task, m, now()).seal(task, stage.keys());
        let body = request(&measurements.iter().map(seal).collect::<Vec<_>>());
        let answer = Ask::post(&task.at_leader("reports"), MediaType::UploadReq, body).send();
        assert!(UploadErrors::from_bytes(&answer.ok()).unwrap().status.is_empty());
    };
    let skews = |ahead: f64| {
        for (role, ahead) in [(0, ahead), (1, -ahead)] {
            poll("the measured skew", || {
                let skew = metric(&stage, role, "sottovoce_peer_clock_skew_seconds", "peer=")?;
                ((skew - ahead).abs() <= 5.0).then_some(())
            });
        }
    };
    helper.set_clock(600);
    upload(&mut rng);
    skews(600.0);
    stage.wait_until_aggregated();
    helper.set_clock(-600);
    let done = metric(&stage, 0, "sottovoce_aggregation_jobs_total", "\"done\"");
    upload(&mut rng);
    skews(-600.0);
    let of_leader = |name, label| metric(&stage, 0, name, label);
    poll("a deferred job", || {
        of_leader("sottovoce_aggregation_jobs_total", "\"deferred\"").filter(|count| *count >= 1.0)
    });
    assert_eq!(of_leader("sottovoce_aggregation_jobs_total", "\"done\""), done);
    poll("the age of the queue", || {
        of_leader("sottovoce_oldest_waiting_report_age_seconds", "task=").filter(|age| *age >= 3.0)
    });
    helper.set_clock(0);
    stage.wait_until_aggregated();
    skews(0.0);
    let words = "the clocks of both aggregators differ";
    for role in [0, 1] {
        let server = stage.server(role);
        poll("the end of it", || {
            server.log().contains(&format!("outage is over: {words}")).then_some(())
        });
        let log = server.log();
        let said = log.lines().filter(|line| line.contains(words) && !line.contains(" DEBUG "));
        assert!(said.count() <= 4, "{log}");
    }
}

/// The sum of a server's series of this name with a label.
fn metric(stage: &Stage, role: usize, name: &str, label: &str) -> Option<f64> {
    let log = stage.server(role).log();
    let (_, address) = log.rsplit_once("admin interface listening on ")?;
    let text = Ask::get(&format!("{}/metrics", address.lines().next()?)).send().text();
    let of_name = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let values = of_name
        .filter(|line| line.contains(label))
        .map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.reduce(|sum, value| Some(sum? + value?))?
}

/// Puts both clocks this far ahead and starts the servers again, which begin by forgetting.
fn set_both(stage: &Stage, ahead: i64) {
    for role in [1, 0] {
        stage.server(role).kill();
        stage.shims.as_ref().unwrap()[role].set_clock(ahead);
        stage.server(role).start();
    }
}

/// Rows of report IDs in a server's database.
fn remembered(stage: &Stage, role: &str) -> i64 {
    let database = Connection::open(stage.folder.path().join(format!("{role}.db"))).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    let sql = "SELECT (SELECT count(*) FROM fresh_runs) + (SELECT count(*) FROM parted_runs)";
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}
